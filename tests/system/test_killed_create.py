"""SIGKILL of create at any point: `delete --force` then leaves nothing, and the id can be used again."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import PID_OF_STATE, Bundle
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import COMMAND_DEADLINE, Result, Runtime, error_text, new_id
from tests.waiting import exit_code

LEAVES = differs(
    crun="1.8.1 knows nothing of a container whose status file is not written yet",
    runc="1.1.5 knows nothing of a container whose state file is not written yet",
)
NEEDS_STRACE = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
STEPS = 24
# What leaves traces: before each of them create is killed.
EFFECTS = {"clone3", "mkdir", "mknodat", "openat", "prlimit64", "renameat", "sendmsg", "sendto", "write", "exit_group"}


class SystemCall:
    """The nth call of its kind that create made, and its line in the trace."""

    def __init__(self, name: str, number: int, line: str) -> None:
        """Take it down."""
        self.name, self.number, self.line = name, number, line


def traced(runtime: Runtime, bundle: Bundle, container_id: str, *options: str) -> Result:
    """create under strace, which watches the command and not what it clones."""
    bundle.save(container_id)
    words = ["strace", "-o", str(bundle.path / "trace"), *options, "--"]
    words += runtime.argv("create", "--bundle", bundle.path, container_id)
    with open(bundle.path / "messages", "w+") as messages:  # the container keeps the streams
        result = subprocess.run(
            words, stdin=-3, stdout=-3, stderr=messages, text=True, check=False, timeout=COMMAND_DEADLINE
        )
        messages.seek(0)
        return subprocess.CompletedProcess(words, result.returncode, "", messages.read())


def calls_of_create(runtime: Runtime, bundle: Bundle) -> list[SystemCall]:
    """The system calls of a create of this bundle from where it makes the state directory, whether or not it fails."""
    for _ in range(2):  # the first one fills caches
        container_id = new_id()
        traced(runtime, bundle, container_id)
        assert runtime.delete(container_id, "--force").returncode == 0
    counts: Counter[str] = Counter()
    calls = []
    for line in (bundle.path / "trace").read_text(errors="replace").splitlines():
        if match := re.match(r"(\w+)\(", line):
            counts[match[1]] += 1
            calls.append(SystemCall(match[1], counts[match[1]], line))
    claim = next(i for i, call in enumerate(calls) if call.name == "mkdir" and container_id in call.line)
    return calls[claim:]


def create_killed_before(runtime: Runtime, bundle: Bundle, call: SystemCall) -> str:
    """The id of a container whose create got SIGKILL when it was about to make this call."""
    container_id = new_id()
    kill = f"inject={call.name}:signal=KILL:when={call.number}"
    result = traced(runtime, bundle, container_id, "-e", f"trace={call.name}", "-e", kill)
    assert result.returncode == -signal.SIGKILL, f"not killed before {call.line}: {result.stderr}"
    return container_id


@LEAVES
@NEEDS_STRACE
@pytest.mark.parametrize("step", range(STEPS))
def test_delete_by_force_clears_all(runtime: Runtime, bundle: Bundle, step: int) -> None:
    calls = [call for call in calls_of_create(runtime, bundle) if call.name in EFFECTS]
    container_id = create_killed_before(runtime, bundle, calls[step * len(calls) // STEPS])
    for command in ("state", "kill", "events --stats", "update --pids-limit 10", "pause", "resume", "ps", "start"):
        result = runtime.call(*command.split(), container_id)
        if result.returncode != 0:
            error_text(result)
    deleted = runtime.delete(container_id, "--force")
    assert (deleted.returncode, deleted.stderr) == (0, "")
    error_text(runtime.state(container_id))
    again = runtime.create(bundle, container_id)
    assert again.returncode == 0, again.stderr
    assert runtime.delete(container_id, "--force").returncode == 0


@contextlib.contextmanager
def cgroup_of_another(bundle: Bundle, *, used: bool) -> Iterator[Path]:
    """The cgroup that the bundle names, made by somebody else, maybe with a process in it that has to live on."""
    bundle.linux["cgroupsPath"] = path = f"{CGROUP_PARENT}/{new_id()}"
    cgroup = CGROUP_ROOT / path.strip("/")
    cgroup.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "1000"])
    try:
        if used:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
        yield cgroup
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    os.rmdir(cgroup)


@LEAVES
@NEEDS_STRACE
@pytest.mark.parametrize("used", [False, True], ids=["empty", "used"])
def test_cgroup_of_another_outlives_a_killed_create(runtime: Runtime, bundle: Bundle, *, used: bool) -> None:
    with cgroup_of_another(bundle, used=used) as cgroup:
        calls = [call for call in calls_of_create(runtime, bundle) if call.name in {"mkdir", "clone3"}]
        for call in calls:
            container_id = create_killed_before(runtime, bundle, call)
            assert runtime.delete(container_id, "--force").returncode == 0
            assert cgroup.is_dir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@LEAVES
def test_termination_of_create(runtime: Runtime, bundle: Bundle, number: signal.Signals) -> None:
    container_id = new_id()
    bundle.hook("createRuntime", f"touch {bundle.path}/reached; exec sleep 1000").save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    while not (bundle.path / "reached").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert runtime.delete(container_id, "--force").returncode == 0


@differs(crun="1.8.1 waits for ever")
def test_first_process_that_dies_during_create(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", f"kill -9 $({PID_OF_STATE})", drain=False)
    runtime.create_fails(bundle)


def test_first_process_dead_before_start(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        error_text(runtime.start(container.id))
        assert runtime.delete(container.id).returncode == 0


@only_pyrunc("ends without undoing anything")
def test_a_signal_that_ends_create_counts_once(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """The second one comes while the first is obeyed: what was begun is still undone."""
    bundle.hook("createRuntime", "kill -TERM $PPID; exec sleep 1000")
    bundle.hook("poststop", f"kill -INT $PPID; kill -TERM $PPID; echo undone > {area}/poststop")
    container_id = new_id()
    assert runtime.create(bundle, container_id).returncode == 128 + signal.SIGTERM
    assert (area / "poststop").read_text() == "undone\n"
    error_text(runtime.state(container_id), "does not exist")
