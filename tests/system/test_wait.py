"""wait: the end of a container's first process, and its exit status, for whoever asks."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import Container, Runtime, error_text
from tests.waiting import eventually, exit_code

pytestmark = only_pyrunc("has no wait")

KERNEL = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


class Waits:
    """Commands that wait for a container; ended with the test."""

    def __init__(self, runtime: Runtime) -> None:
        """None yet."""
        self.runtime, self.processes = runtime, list[subprocess.Popen[bytes]]()

    def begin(self, container: Container, *options: str) -> None:
        """Start one, and see that it waits."""
        process = self.runtime.popen("wait", *options, container.id, stderr=subprocess.PIPE)
        self.processes.append(process)
        eventually(lambda: has_pidfd(process.pid) and sleeps(process.pid), "wait to wait")

    def results(self) -> "list[tuple[int, bytes]]":
        """(exit status, standard error) of each."""
        return [(process.wait(30), process.stderr.read() if process.stderr else b"") for process in self.processes]


@pytest.fixture
def waits(runtime: Runtime) -> Iterator[Waits]:
    """For the container of the test."""
    begun = Waits(runtime)
    yield begun
    for process in begun.processes:
        process.kill()
        process.communicate()


def has_pidfd(pid: int) -> bool:
    """Whether the process holds a pidfd: nothing else of `wait` does."""
    try:
        return any("pidfd" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return False


def sleeps(pid: int) -> bool:
    """Whether the process sleeps."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
@pytest.mark.parametrize("reaped", ["before", "after"])
def test_the_status_is_that_of_the_first_process(
    runtime: Runtime, bundle: Bundle, waits: Waits, script: str, status: int, reaped: str
) -> None:
    """Its parent, which is the test, takes the status as well: before `wait` has come to ask, or only afterwards."""
    if reaped == "before" and KERNEL < (6, 15):
        pytest.skip("Linux before 6.15 tells nobody but the parent")
    with runtime.created(bundle.shell(script).share("pid")) as container:
        pid = container.pid
        for _ in range(3):
            waits.begin(container)
        container.start()
        if reaped == "before":
            exit_code(pid)
        assert waits.results() == [(status, b"")] * 3
        if reaped == "after":
            exit_code(pid)


def test_a_container_that_is_only_created_is_waited_for(runtime: Runtime, bundle: Bundle, waits: Waits) -> None:
    with runtime.created(bundle) as container:
        waits.begin(container)
        container.kill("KILL")
        assert waits.results() == [(137, b"")]


def test_a_deadline_passes(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        before = time.monotonic()
        result = runtime.call("wait", "--timeout", "0.3", container.id)
        assert (result.returncode, result.stderr) == (124, "")
        assert time.monotonic() - before >= 0.3
        assert container.status == "running"


@pytest.mark.parametrize("seconds", ["x", "-1", "nan", "inf", "1e9"])
def test_a_deadline_that_is_none(runtime: Runtime, bundle: Bundle, seconds: str) -> None:
    with runtime.created(bundle) as container:
        result = runtime.call("wait", f"--timeout={seconds}", container.id)
        assert f"invalid value `{seconds}` for flag --timeout" in error_text(result)


def test_after_its_end_nothing_is_waited_for(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("exit 3")) as container:
        pid = container.pid
        container.start()
        assert exit_code(pid) == 3
        assert f"container `{container.id}` has stopped already" in error_text(runtime.call("wait", container.id))


def test_while_it_waits_the_container_can_be_deleted(runtime: Runtime, bundle: Bundle, waits: Waits) -> None:
    """No lock is held."""
    with runtime.running(bundle.shell("exec sleep 1000").share("pid")) as container:
        waits.begin(container)
        result = runtime.delete(container.id, "--force")
        assert result.returncode == 0, result.stderr
        assert waits.results() == [(137, b"")]
