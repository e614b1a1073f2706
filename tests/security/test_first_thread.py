"""A container whose first thread ends while others run: it runs, and nothing of it outlives what ends a container.

Without privilege a container could make itself impossible to stop that way. /proc/PID/stat shows the first thread, and
cgroup.kill of Linux 6.18 passes over such a process.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.privatehost import CGROUP_ROOT
from tests.programs import FIRST_THREAD_ENDS, compiled
from tests.runtime import Container, Runtime, error_text, new_id
from tests.waiting import comes_true, eventually, exit_code

STOPPED = differs(crun="1.8.1 takes it for stopped", runc="1.1.5 takes it for stopped")


def first_thread_has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def box(runtime: Runtime, bundle: Bundle) -> Iterator[Container]:
    """A container of one such process."""
    compiled(FIRST_THREAD_ENDS, bundle.rootfs / "bin/threads")
    bundle.process["args"] = ["threads"]
    with runtime.running(bundle) as container:
        eventually(lambda: first_thread_has_ended(container.pid or 1), "the first thread to end")
        yield container


@STOPPED
def test_it_is_running(box: Container) -> None:
    assert box.status == "running"
    assert [(row["id"], row["status"]) for row in box.runtime.list_json()] == [(box.id, "running")]


@STOPPED
@pytest.mark.parametrize("words", ["kill ID KILL", "kill --all ID KILL", "kill ID TERM", "kill --all ID TERM"])
def test_it_can_be_killed(runtime: Runtime, bundle: Bundle, words: str) -> None:
    bundle.share("pid")  # in a pid namespace of its own it would be pid 1, which SIGTERM does not end
    compiled(FIRST_THREAD_ENDS, bundle.rootfs / "bin/threads")
    bundle.process["args"] = ["threads"]
    with runtime.running(bundle) as container:
        pid = container.pid
        eventually(lambda: first_thread_has_ended(pid), "the first thread to end")
        result = runtime.call(*words.replace("ID", container.id).split())
        assert result.returncode == 0, result.stderr
        assert exit_code(pid) == -signal.Signals[f"SIG{words.split()[-1]}"]
        assert container.status == "stopped"


@STOPPED
def test_it_is_not_deleted_without_force(box: Container) -> None:
    pid = box.pid
    error_text(box.runtime.delete(box.id), "not stopped")
    assert box.runtime.delete(box.id, "--force").returncode == 0
    assert exit_code(pid) == -signal.SIGKILL


@STOPPED
def test_exec_says_why_it_cannot(box: Container) -> None:
    error_text(box.runtime.call("exec", box.id, "true"), "first thread")


@STOPPED
def test_run_stays_until_it_is_killed(runtime: Runtime, bundle: Bundle) -> None:
    compiled(FIRST_THREAD_ENDS, bundle.rootfs / "bin/threads")
    bundle.process["args"] = ["threads"]
    bundle.save(container_id := new_id())
    process = runtime.popen("run", "--bundle", bundle.path, container_id)
    container = Container(runtime, container_id, bundle)
    comes_true(lambda: runtime.state(container_id).returncode == 0 and container.status == "running")
    eventually(lambda: first_thread_has_ended(container.pid), "the first thread to end")
    container.kill("KILL")
    assert process.wait(60) == 128 + signal.SIGKILL


@differs(runc="1.1.5 signals the first process alone", crun="1.8.1 relies on cgroup.kill")
@pytest.mark.parametrize("words", ["kill ID KILL", "kill --all ID KILL", "delete --force ID"])
def test_other_processes_are_reached(runtime: Runtime, bundle: Bundle, words: str) -> None:
    """Without a pid namespace only the cgroup holds them together."""
    compiled(FIRST_THREAD_ENDS, bundle.rootfs / "bin/threads")
    bundle.shell("threads & echo $!; exec sleep 1000").share("pid")
    with runtime.running(bundle) as container:
        other = int(eventually(container.output, "the pid of the second process"))
        eventually(lambda: first_thread_has_ended(other), "the first thread to end")
        result = runtime.call(*words.replace("ID", container.id).split())
        assert (result.returncode, result.stderr) == (0, "")
        assert exit_code(other) == -signal.SIGKILL


@differs(crun="1.8.1 relies on cgroup.kill", runc="leaves the cgroup of a create that failed")
def test_failed_create_leaves_none(runtime: Runtime, bundle: Bundle) -> None:
    """A hook may start what joins the container's cgroup."""
    threads = compiled(FIRST_THREAD_ENDS, bundle.path / "threads")
    bundle.linux["cgroupsPath"] = f"/{new_id()}"
    cgroup = CGROUP_ROOT / bundle.linux["cgroupsPath"].lstrip("/")
    script = f"setsid sh -c 'echo $$ > {cgroup}/cgroup.procs; echo $$ > {bundle.path}/pid; exec {threads}' & "
    wait = f"until grep -q Z /proc/$(cat {bundle.path}/pid)/stat; do sleep 0.01; done; exit 1"
    bundle.hook("createRuntime", script + wait)
    runtime.create_fails(bundle, "createRuntime")
    pid = int((bundle.path / "pid").read_text())
    assert exit_code(pid) == -signal.SIGKILL
    assert not cgroup.exists()
