"""delete --force while another command keeps the container's lock: within seconds, whatever that waits for."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id
from tests.waiting import eventually, exit_code

LOCKS = "locks no container"
LEAVE = differs(crun="1.8.1 leaves the processes", runc="1.1.5 leaves the processes")


@LEAVE
@pytest.mark.parametrize("place", ["prestart", "createRuntime", "createContainer"])
def test_create_that_waits_for_a_hook(runtime: Runtime, bundle: Bundle, place: str) -> None:
    container_id, reached = new_id(), bundle.path / "reached"
    bundle.hook(place, f"touch {reached}; exec sleep 1000").save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    eventually(reached.exists, "the hook")
    deleted = runtime.delete(container_id, "--force")
    assert (deleted.returncode, deleted.stderr) == (0, "")
    assert process.wait(60) != 0
    error_text(runtime.state(container_id), "does not exist")


@LEAVE
@pytest.mark.parametrize("place", ["startContainer", "poststart"])
def test_start_that_waits_for_a_hook(runtime: Runtime, bundle: Bundle, place: str) -> None:
    reached = (bundle.rootfs if place == "startContainer" else bundle.path) / "reached"
    name = "/reached" if place == "startContainer" else reached
    bundle.shell("exec sleep 1000").hook(place, f"echo > {name}; exec sleep 1000")
    with runtime.created(bundle) as container:
        process = runtime.popen("start", container.id)
        eventually(reached.exists, "the hook")
        deleted = runtime.delete(container.id, "--force")
        assert (deleted.returncode, deleted.stderr) == (0, "")
        assert process.wait(60) != 0
        error_text(runtime.state(container.id), "does not exist")


@only_pyrunc(LOCKS)
def test_command_that_is_stopped(runtime: Runtime, bundle: Bundle) -> None:
    """SIGTERM does not reach it: it is killed, and the journal says what it has made."""
    container_id, reached = new_id(), bundle.path / "reached"
    bundle.hook("createRuntime", f"touch {reached}; exec sleep 1000").save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    eventually(reached.exists, "the hook")
    process.send_signal(signal.SIGSTOP)
    deleted = runtime.delete(container_id, "--force")
    assert (deleted.returncode, deleted.stderr) == (0, "")
    assert process.wait(60) == -signal.SIGKILL


HOLD = (
    "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(1); sys.stdin.read()"
)


@only_pyrunc(LOCKS)
def test_lock_of_a_stranger_is_not_broken_but_named(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        words = [sys.executable, "-uc", HOLD, str(runtime.root / container.id)]
        stranger = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "1\n"
        deleted = runtime.delete(container.id, "--force")
        error_text(deleted, f"`{container.id}` is locked by process {stranger.pid}", "LOCK_EX")
        assert stranger.poll() is None
        stranger.communicate()
        assert stranger.returncode == 0


@only_pyrunc(LOCKS)
def test_lock_that_is_kept_for_a_moment_is_waited_for(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        fd = os.open(runtime.root / container.id, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        process = runtime.popen("delete", "--force", container.id)
        os.close(fd)
        assert process.wait(60) == 0


@differs(runc="1.1.5 waits ten seconds for the first process, and gives up")
def test_zombie_that_nobody_reaps(runtime: Runtime, bundle: Bundle) -> None:
    """A detached exec's process is ours. Until we reap it, its pid namespace and the first process there do not end."""
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid_file = bundle.path / "pid"
        executed = runtime.call("exec", "--detach", "--pid-file", pid_file, container.id, "sleep", "1000")
        assert executed.returncode == 0, executed.stderr
        first, other = container.pid, int(pid_file.read_text())
        deleted = runtime.delete(container.id, "--force")
        assert (deleted.returncode, deleted.stderr) == (0, "")
        error_text(runtime.state(container.id))
        assert exit_code(other) == exit_code(first) == -signal.SIGKILL
