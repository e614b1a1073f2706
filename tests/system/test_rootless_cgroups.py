"""An ordinary user's cgroups, made by hand: with and without a part of the hierarchy that is delegated to him."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.ordinaryuser import DELEGATED, OrdinaryUser
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Runtime

RUNC_WANTS_A_NAMESPACE = "1.1.5 refuses a config without a user namespace"
TELLS = "drops the limits, or names neither controller nor key"


@pytest.fixture
def own(bundle: Bundle, user: OrdinaryUser) -> Bundle:
    """A bundle of the user's that sleeps."""
    return user.own(bundle).drop_mounts("/sys/fs/cgroup").shell("exec sleep 1000")


def current() -> str:
    """The cgroup of this process."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


@pytest.fixture
def delegated(runtime: Runtime, user: OrdinaryUser) -> Iterator[str]:
    """A cgroup that belongs to the user, in a child of which we, and so the runtime, are."""
    before, path = current(), f"{CGROUP_PARENT}-delegated"
    directory = CGROUP_ROOT / path.strip("/")
    (directory / "caller").mkdir(parents=True)
    for where in (directory, directory / "caller"):
        for name in ("", *DELEGATED):
            os.chown(where / name, user.id, user.id)
    (directory / "caller/cgroup.procs").write_text(str(os.getpid()))
    yield path
    (CGROUP_ROOT / before.strip("/") / "cgroup.procs").write_text(str(os.getpid()))
    (directory / "caller").rmdir()
    directory.rmdir()


def cgroup_of(pid: int) -> str:
    """The cgroup of a process in the unified hierarchy."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun="1.8.1 starts at the top")
def test_below_what_is_delegated(runtime: Runtime, own: Bundle, delegated: str) -> None:
    own.linux["cgroupsPath"] = "deep/box"
    with runtime.running(own) as container:
        assert cgroup_of(container.pid).startswith(f"{delegated}/deep/box")
        result = runtime.call("exec", container.id, "cat", "/proc/self/cgroup")
        assert result.returncode == 0, result.stderr
    (CGROUP_ROOT / delegated.strip("/") / "deep").rmdir()


@differs(runc=RUNC_WANTS_A_NAMESPACE, crun="1.8.1 makes none")
def test_without_a_path(runtime: Runtime, own: Bundle, delegated: str) -> None:
    with runtime.running(own) as container:
        assert cgroup_of(container.pid).startswith(f"{delegated}/{container.id}")


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_without_delegation_it_stays_in_the_callers(runtime: Runtime, own: Bundle) -> None:
    with runtime.running(own) as container:
        assert cgroup_of(container.pid) == current()
        result = runtime.call("exec", container.id, "true")
        assert result.returncode == 0, result.stderr
        container.kill()


@only_pyrunc("another form of state")
def test_without_delegation_no_cgroup_is_remembered(runtime: Runtime, own: Bundle) -> None:
    with runtime.created(own) as container:
        assert "cgroup" not in json.loads((runtime.root / container.id / "state.json").read_text())


@differs(runc=RUNC_WANTS_A_NAMESPACE)
def test_a_path_that_is_not_delegated_is_refused(runtime: Runtime, own: Bundle) -> None:
    own.linux["cgroupsPath"] = "/runtime-tests-not-delegated"
    message = runtime.create_fails(own, "permission denied")
    if runtime.path.name == "pyrunc":
        assert "/linux/cgroupsPath" in message


@only_pyrunc(TELLS)
def test_limits_without_delegation(runtime: Runtime, own: Bundle) -> None:
    own.linux["resources"] = {"pids": {"limit": 100}, "memory": {"limit": 1 << 26}}
    message = runtime.create_fails(own, "controller `memory`", "/linux/resources/memory/limit")
    if "memory" in (CGROUP_ROOT / "cgroup.controllers").read_text().split():
        assert "is not delegated to this user" in message
    else:
        assert "cgroup v1" in message


@only_pyrunc(TELLS)
def test_limits_of_a_controller_that_is_not_delegated(runtime: Runtime, own: Bundle, delegated: str) -> None:
    below = (CGROUP_ROOT / delegated.strip("/") / "cgroup.controllers").read_text().split()
    if "pids" in below:
        pytest.skip("the cgroup of the tests has all controllers")
    own.linux["resources"] = {"pids": {"limit": 100}}
    runtime.create_fails(own, "controller `pids`", "/linux/resources/pids/limit")
