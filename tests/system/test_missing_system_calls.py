"""A kernel, or a seccomp filter around the runtime, that lacks a system call: it starts all the same, or says why."""

import os
import shutil
import subprocess

import pytest

from tests.bundle import Bundle
from tests.runtime import COMMAND_DEADLINE, Runtime, error_text, new_id

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")

WORKS_WITHOUT = ["pidfd_open", "pidfd_send_signal"]
NEEDED = ["openat2", "mount_setattr", "clone3", "close_range", "fsopen", "memfd_create", "open_tree", "execveat"]


def run_without(runtime: Runtime, bundle: Bundle, call: str, error: str) -> subprocess.CompletedProcess[str]:
    container_id = new_id()
    bundle.shell("echo started").save(container_id)
    words = ["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "--"]
    words += runtime.argv("run", "--bundle", bundle.path, container_id)
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_DEADLINE)


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("call", WORKS_WITHOUT)
def test_what_is_not_needed(runtime: Runtime, bundle: Bundle, call: str, error: str) -> None:
    result = run_without(runtime, bundle, call, error)
    assert (result.returncode, result.stdout) == (0, "started\n"), result.stderr


@pytest.mark.differs(crun="falls back to older system calls", runc="falls back to older system calls")
@pytest.mark.parametrize("call", NEEDED)
def test_what_is_needed(runtime: Runtime, bundle: Bundle, call: str) -> None:
    result = run_without(runtime, bundle, call, "ENOSYS")
    error_text(result, "Linux 5.12 or newer", "seccomp", "Function not implemented")


@pytest.mark.differs(crun="falls back to older system calls", runc="falls back to older system calls")
@pytest.mark.parametrize("call", NEEDED)
def test_what_is_forbidden(runtime: Runtime, bundle: Bundle, call: str) -> None:
    error_text(run_without(runtime, bundle, call, "EPERM"), "Operation not permitted")
