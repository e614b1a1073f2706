"""kill: signal by number, name, SIGNAME and real-time name; who is reached and who is not."""

import json
import os
import signal
import subprocess

import pytest

from tests.bundle import Bundle
from tests.peers import PEERS, differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id, runtime_name
from tests.waiting import comes_true, eventually, exit_code

TRAP = "trap 'echo got; exit 42' {}; echo ready; while :; do sleep 0.01; done"


@pytest.mark.parametrize("spelling", ["12", "USR2", "SIGUSR2"])
def test_signal_spelling(runtime: Runtime, bundle: Bundle, spelling: str) -> None:
    with runtime.running(bundle.shell(TRAP.format("USR2"))) as container:
        eventually(lambda: "ready" in container.output(), "the trap to be set")
        pid = container.pid
        container.kill(spelling)
        assert exit_code(pid) == 42


@pytest.mark.parametrize("spelling", ["usr2", "sigusr2", "Usr2"])
@differs(crun="wants upper case")
def test_signal_spelling_in_lower_case(runtime: Runtime, bundle: Bundle, spelling: str) -> None:
    test_signal_spelling(runtime, bundle, spelling)


@pytest.mark.parametrize(
    "spelling, number",
    [("RTMIN", 34), ("SIGRTMIN", 34), ("RTMIN+3", 37), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("RTMAX-1", 63)],
)
@differs(runc="1.1.5 knows real-time signals only by number")
def test_real_time_signal(runtime: Runtime, bundle: Bundle, spelling: str, number: int) -> None:
    with runtime.running(bundle.shell(TRAP.format(number))) as container:
        eventually(lambda: "ready" in container.output(), "the trap to be set")
        pid = container.pid
        container.kill(spelling)
        assert exit_code(pid) == 42


def test_default_is_sigterm(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell(TRAP.format("TERM"))) as container:
        eventually(lambda: "ready" in container.output(), "the trap to be set")
        pid = container.pid
        result = runtime.kill(container.id)
        assert result.returncode == 0, result.stderr
        assert exit_code(pid) == 42


@pytest.mark.parametrize("spelling", ["NONSENSE", "SIG", "-1", "65", "1000", "1x", "RTMIN+31"])
def test_bad_signal_reaches_nobody(runtime: Runtime, bundle: Bundle, spelling: str) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        error_text(runtime.call("kill", container.id, "--", spelling))
        assert container.status == "running"


@only_pyrunc("takes an empty signal as the default one")
def test_empty_signal_reaches_nobody(runtime: Runtime, bundle: Bundle) -> None:
    test_bad_signal_reaches_nobody(runtime, bundle, "")


def test_created_container_can_be_killed(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        assert exit_code(pid) == -signal.SIGKILL
        assert container.status == "stopped"


@pytest.mark.parametrize("words", [["ID"], ["ID", "KILL"], ["--all", "ID", "KILL"]], ids=" ".join)
def test_container_that_is_being_created_is_not_killed(runtime: Runtime, bundle: Bundle, words: list[str]) -> None:
    """runtime.md, "Kill": neither created nor running, so it is an error without effect. To the peers there is none."""
    container_id, reached, go_on = new_id(), bundle.path / "reached", bundle.path / "go on"
    waiting = f"touch {reached}; while [ ! -e '{go_on}' ]; do sleep 0.01; done"
    bundle.shell("exec sleep 1000").hook("createRuntime", waiting).save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    eventually(reached.exists, "the hook")
    message = error_text(runtime.call("kill", *(container_id if word == "ID" else word for word in words)))
    if runtime_name() not in PEERS:
        assert "container not running" in message  # which containerd knows
        assert "`create` is still in progress; `delete --force` ends it" in message
    go_on.touch()
    assert process.wait(60) == 0
    assert json.loads(runtime.state(container_id).stdout)["status"] == "created"
    assert runtime.delete(container_id, "--force").returncode == 0


@differs(crun="1.28 goes on")
def test_created_container_ends_by_sigterm(runtime: Runtime, bundle: Bundle) -> None:
    """Though it is the first process of a pid namespace, which default actions do not end: `podman stop` would wait."""
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("TERM")
        assert exit_code(pid) != 0
        assert container.status == "stopped"


@pytest.mark.parametrize("hook", [False, True])
def test_sigterm_of_the_program_has_its_default_action(runtime: Runtime, bundle: Bundle, hook: bool) -> None:
    """For the first process of a pid namespace: none."""
    bundle.shell("echo ready; while [ ! -e /end ]; do sleep 0.01; done; grep Sig /proc/self/status")
    if hook:
        bundle.hook("startContainer", "true")
    with runtime.running(bundle) as container:
        eventually(lambda: "ready" in container.output(), "the program")
        pid = container.pid
        container.kill("TERM")
        (bundle.rootfs / "end").touch()
        assert exit_code(pid) == 0
        masks = dict(line.split(":\t") for line in container.output().splitlines() if ":" in line)
        for name in ("SigIgn", "SigBlk"):
            assert not int(masks[name], 16) & 1 << signal.SIGTERM - 1


def test_signal_0_asks_whether_it_lives(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        container.kill("0")
        assert container.status == "running"
        container.kill("KILL")
        exit_code(pid)
        error_text(runtime.kill(container.id, "0"))


@differs(crun="1.28 says `no such process`")
def test_kill_reaches_what_a_first_process_without_pid_namespace_has_left(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("sleep 1000 & echo $!").share("pid")
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        comes_true(lambda: container.status == "stopped")
        container.kill("KILL")
        assert exit_code(other) == -signal.SIGKILL


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_kill_all_reaches_every_process(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.shell("sleep 1000 & echo $!; exec sleep 1000").share("pid")
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        pid = container.pid
        result = runtime.call("kill", "--all", container.id, name)
        assert result.returncode == 0, result.stderr
        assert exit_code(pid) == exit_code(other) == -signal.Signals[f"SIG{name}"]


@differs(runc="1.1.5 may leave the cgroup when its processes are still ending")
def test_without_pid_namespace_delete_ends_the_children_too(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("sleep 1000 & echo $!; exec sleep 1000").share("pid")
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        pid = container.pid
        assert runtime.delete(container.id, "--force").returncode == 0
        assert exit_code(pid) == -signal.SIGKILL
        assert exit_code(other) == -signal.SIGKILL


@differs(runc="1.1.5 may leave the cgroup when its processes are still ending")
def test_without_pid_namespace_children_of_a_dead_container_end_at_delete(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell("sleep 1000 & echo $!").share("pid")
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        comes_true(lambda: container.status == "stopped")
        assert runtime.delete(container.id, "--force").returncode == 0
        assert exit_code(other) == -signal.SIGKILL


@only_pyrunc("runc 1.1.5 cannot leave cgroups alone, crun 1.8.1 says nothing")
@pytest.mark.parametrize("words", ["kill ID KILL", "kill --all ID KILL", "delete --force ID"])
def test_processes_that_nothing_holds_together_are_warned_about(runtime: Runtime, bundle: Bundle, words: str) -> None:
    bundle.shell("sleep 1000 & echo $!; exec sleep 1000").share("pid", "cgroup").drop_mounts("/sys/fs/cgroup")
    runtime.flags += ["--cgroup-manager", "disabled"]
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        try:
            result = runtime.call(*words.replace("ID", container.id).split())
            assert result.returncode == 0
            assert "neither a cgroup nor a pid namespace" in result.stderr
        finally:
            os.kill(other, signal.SIGKILL)
            exit_code(other)


def test_pid_namespace_ends_with_its_first_process(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("sleep 1000 & echo started; exec sleep 1000")) as container:
        eventually(container.output, "the second process")
        cgroup = container.bundle.linux["cgroupsPath"]
        pid = container.pid
        container.kill("KILL")
        assert exit_code(pid) == -signal.SIGKILL
        left = [entry for entry in os.listdir("/proc") if entry.isdecimal() and cgroup in _cgroup_of(entry)]
        assert left == []


def _cgroup_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return file.read()
    except OSError:
        return ""


@only_pyrunc("keeps its state in another form")
def test_process_that_has_the_pid_by_now_is_another(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("true")) as container, subprocess.Popen(["sleep", "1000"]) as other:
        try:
            eventually(lambda: container.status == "stopped", "the end of the container")
            state, journal = (runtime.root / container.id / name for name in ("state.json", "journal"))
            value = json.loads(state.read_text())
            journal.write_text(journal.read_text().replace(f"[{value['pid']},", f"[{other.pid},"))
            state.write_text(json.dumps(value | {"pid": other.pid}))
            assert container.status == "stopped"
            error_text(runtime.kill(container.id, "KILL"), "not running")
            assert runtime.delete(container.id, "--force").returncode == 0
            assert other.poll() is None
        finally:
            other.kill()
