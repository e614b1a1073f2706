"""A create that fails or is ended at any of its system calls leaves nothing: no cgroup, no directory, and a free id."""

import fcntl
import os
import re
import signal
import subprocess

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Runtime, error_text, new_id
from tests.system.test_killed_create import NEEDS_STRACE, SystemCall, calls_of_create, traced

pytestmark = [NEEDS_STRACE, only_pyrunc("the peers leave parts of a container, for `delete --force`")]
# What makes something, and what comes between that and its being known to be ours.
CALLS = {"mkdir", "openat", "flock", "write", "renameat2", "mknodat", "rename", "newfstatat", "fstat", "clone3"}
ERRORS = {"flock": "ENOLCK", "write": "ENOSPC", "mkdir": "ENOSPC", "clone3": "ENOMEM"}
STEPS = 16


def of_create(runtime: Runtime, bundle: Bundle) -> list[SystemCall]:
    return [call for call in calls_of_create(runtime, bundle) if call.name in CALLS]


def nothing_is_left(runtime: Runtime, bundle: Bundle, container_id: str, call: SystemCall) -> None:
    error_text(runtime.state(container_id), "does not exist")
    left = [path.name for path in runtime.root.iterdir() if path.name != ".seccomp-cache"]
    assert left == [], f"after {call.line}"
    assert not (CGROUP_ROOT / bundle.linux["cgroupsPath"].lstrip("/")).exists(), f"after {call.line}"


@pytest.mark.parametrize("step", range(STEPS))
def test_error_of_a_system_call(runtime: Runtime, bundle: Bundle, step: int) -> None:
    calls = of_create(runtime, bundle)
    calls = [call for call in calls if not re.search(r"(/proc/|/dev/null|\.(pyc?|so|modules)\")", call.line)]
    for call in calls[step::STEPS]:
        container_id = new_id()
        fault = f"inject={call.name}:error={ERRORS.get(call.name, 'EMFILE')}:when={call.number}"
        result = traced(runtime, bundle, container_id, "-e", f"trace={call.name}", "-e", fault)
        if result.returncode != 0:
            nothing_is_left(runtime, bundle, container_id, call)
        assert runtime.delete(container_id, "--force").returncode == 0


@pytest.mark.parametrize("step", range(STEPS))
def test_signal_at_a_system_call(runtime: Runtime, bundle: Bundle, step: int) -> None:
    calls = of_create(runtime, bundle)
    for call in calls[step::STEPS]:
        container_id = new_id()
        fault = f"inject={call.name}:signal=TERM:when={call.number}"
        result = traced(runtime, bundle, container_id, "-e", f"trace={call.name}", "-e", fault)
        if result.returncode != 0:
            assert result.returncode == 128 + signal.SIGTERM, result.stderr
            nothing_is_left(runtime, bundle, container_id, call)
        assert runtime.delete(container_id, "--force").returncode == 0


def slow_create(runtime: Runtime, bundle: Bundle, container_id: str, inject: str) -> "subprocess.Popen[bytes]":
    """A create that stays for a second in the system call, and has come to it."""
    bundle.save(container_id)
    trace = bundle.path / "slow"
    words = [
        "strace",
        "-f",
        "-o",
        str(trace),
        "-e",
        f"trace={inject.partition(':')[0]}",
        "-e",
        f"inject={inject}",
        "--",
    ]
    words += runtime.argv("create", "--bundle", bundle.path, container_id)
    process = subprocess.Popen(words, stdin=-3, stdout=-3, stderr=-3)
    while not any(container_id in line for line in (trace.read_text() if trace.exists() else "").splitlines()):
        assert process.poll() is None
    return process


@pytest.mark.parametrize(
    "inject", ["mkdir:delay_exit=1000000", "renameat2:delay_enter=1000000", "renameat2:delay_exit=1000000"]
)
def test_two_creates_and_a_delete_of_one_id(runtime: Runtime, bundle: Bundle, make_bundle, inject: str) -> None:
    """However slow the first create is, it never takes or removes what the second one has made."""
    container_id = new_id()
    first = slow_create(runtime, bundle.shell("exec sleep 1000"), container_id, inject)
    deleted = runtime.delete(container_id, "--force")
    assert deleted.returncode == 0, deleted.stderr
    other = make_bundle().shell("exec sleep 1000")
    second = runtime.create(other, container_id, timeout=60)
    ended = first.wait(60)
    assert 0 in (ended, second.returncode)
    running = runtime.state(container_id)
    assert running.returncode == 0, running.stderr
    assert runtime.delete(container_id, "--force").returncode == 0


@pytest.mark.parametrize("number", range(1, 7))
def test_delete_that_is_killed_leaves_nothing_for_ever(runtime: Runtime, bundle: Bundle, number: int) -> None:
    with runtime.created(bundle) as container:
        words = ["strace", "-o", "/dev/null", "-e", "trace=unlinkat,unlink,rename,rmdir"]
        words += ["-e", f"inject=unlink,unlinkat,rename,rmdir:signal=KILL:when={number}", "--"]
        subprocess.run([*words, *runtime.argv("delete", container.id)], check=False, stdin=-3, stderr=-3)
        deleted = runtime.delete(container.id, "--force")
        assert (deleted.returncode, deleted.stderr) == (0, "")
        assert not list(runtime.root.glob(".deleted-*"))


def test_what_another_command_removes_is_left_to_it(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        theirs = runtime.root / ".deleted-x-1"
        theirs.mkdir()
        fd = os.open(theirs, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert runtime.delete(container.id, "--force").returncode == 0
        assert theirs.exists()
        os.close(fd)
        assert runtime.delete(container.id, "--force").returncode == 0
        assert not theirs.exists()
