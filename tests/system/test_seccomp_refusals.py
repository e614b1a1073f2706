"""Seccomp profiles under which no program can be started: the container ends, and `start` says why."""

from typing import Any

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text
from tests.waiting import eventually, exit_code

KILLED = ("killed by SIGSYS", "the seccomp profile forbids a system call", "/linux/seccomp")
SPEECHLESS = ("could neither run its program nor report why", "the seccomp profile", "/linux/seccomp")
NOT_PERMITTED = ("exec true: operation not permitted",)

# name: default action, allowed calls, what pyrunc's `start` says
PROFILES: dict[str, tuple[dict[str, Any], list[str], tuple[str, ...]]] = {
    "EPERM": ({"defaultAction": "SCMP_ACT_ERRNO"}, [], SPEECHLESS),
    "EINTR": ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4}, [], SPEECHLESS),
    "success": ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0}, [], SPEECHLESS),
    "no tracer": ({"defaultAction": "SCMP_ACT_TRACE"}, [], SPEECHLESS),
    "exit": ({"defaultAction": "SCMP_ACT_ERRNO"}, ["exit"], SPEECHLESS),
    "exit_group": ({"defaultAction": "SCMP_ACT_ERRNO"}, ["exit_group"], SPEECHLESS),
    "write": ({"defaultAction": "SCMP_ACT_ERRNO"}, ["write"], NOT_PERMITTED),
    "kill": ({"defaultAction": "SCMP_ACT_KILL_PROCESS"}, [], KILLED),
    "kill thread": ({"defaultAction": "SCMP_ACT_KILL"}, [], KILLED),
    "trap": ({"defaultAction": "SCMP_ACT_TRAP"}, [], KILLED),
}


SPINS = differs(crun="its init tries again for ever")


@pytest.fixture(params=[pytest.param(name, marks=SPINS if name in ("EINTR", "success") else ()) for name in PROFILES])
def denying(request: pytest.FixtureRequest, bundle: Bundle) -> tuple[Bundle, tuple[str, ...]]:
    """A bundle with such a profile, and what `start` is to say of it."""
    profile, allowed, said = PROFILES[request.param]
    rules = [{"names": allowed, "action": "SCMP_ACT_ALLOW"}] if allowed else []
    bundle.linux["seccomp"] = profile | {"syscalls": rules}
    return bundle, said


@differs(runc="loads the filter in create, where its init ends, or hangs with a thread killed")
def test_container_ends(runtime: Runtime, denying: tuple[Bundle, tuple[str, ...]]) -> None:
    with runtime.created(denying[0]) as container:
        pid = container.pid
        runtime.start(container.id)
        assert exit_code(pid) != 0  # reaped by us, as an engine's monitor does
        eventually(lambda: container.status == "stopped", "the end of the container")


@only_pyrunc("crun's start succeeds before the filter is there, runc's init does not come that far")
def test_start_says_why(runtime: Runtime, denying: tuple[Bundle, tuple[str, ...]]) -> None:
    bundle, said = denying
    with runtime.created(bundle) as container:
        error_text(runtime.start(container.id), *said)


@only_pyrunc("crun's run gives the status of its own init, runc has other words")
def test_run_says_why(runtime: Runtime, denying: tuple[Bundle, tuple[str, ...]]) -> None:
    bundle, said = denying
    error_text(runtime.run(bundle), *said)


@differs(runc="loads the filter in create: there is nothing left to exec in", crun="says no more than `read pipe`")
def test_exec_says_why(runtime: Runtime, denying: tuple[Bundle, tuple[str, ...]]) -> None:
    """In a container that waits to be started, its first process not under the filter yet."""
    bundle, said = denying
    with runtime.created(bundle) as container:
        error_text(runtime.call("exec", container.id, "true"), *said)


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "kill -SYS $$", "kill -ILL $$"])
def test_end_of_the_program_is_not_that_of_its_start(runtime: Runtime, bundle: Bundle, script: str) -> None:
    """However soon it comes, and by whatever signal."""
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    bundle.share("pid")  # where a first process can be killed by its own signal
    for _ in range(5):
        with runtime.created(bundle.shell(script)) as container:
            container.start()


@only_pyrunc("has its process in the container before the filter is loaded")
def test_clone_that_only_seems_to_succeed(runtime: Runtime, bundle: Bundle) -> None:
    """Who clones would take itself for the child, outside of the pid namespace, and be waited for without end."""
    bundle.process.update(noNewPrivileges=False, args=["sleep", "1000"])
    rule = {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    with runtime.running(bundle) as container:
        said = ("makes clone(2) succeed but do nothing", "/linux/seccomp")
        error_text(runtime.call("exec", container.id, "true"), *said)
