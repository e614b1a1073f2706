"""The host's /proc and message queues do not stand in for those of other namespaces.

A process of a pod can fork until the next one in its pid namespace has the number that it will have on the host.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyrunc.kernel.process import processes

from tests import kernelcalls
from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime, error_text

TELLS = "refuses with the kernel's word alone"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def told(child: Callable[[], int], work: Callable[[], bool]) -> bool:
    """What `work` says in a child that `child` forks."""
    if (pid := child()) == 0:
        status = 2
        try:
            status = int(work())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {0, 1}
    return status == 1


def free_pid() -> int:
    """A number that no process of the host had a moment ago."""
    with open("/proc/sys/kernel/pid_max") as file:
        return next(pid for pid in range(int(file.read()) - 1, 300, -1) if not os.path.exists(f"/proc/{pid}"))


def in_a_pid_namespace(work: Callable[[], bool]) -> bool:
    """What `work` says in a process of a new pid namespace, below this one's, with the same number in both."""

    def outside() -> bool:
        kernelcalls.unshare(kernelcalls.CLONE_NEWPID)
        ready, until = os.pipe()
        if (first := os.fork()) == 0:  # without a first process nobody else can be there
            os.close(until)
            os.read(ready, 1)
            os._exit(0)
        try:
            number = free_pid()
            return told(lambda: kernelcalls.fork_as(number, 2), work)
        finally:
            os.close(until)
            os.waitpid(first, 0)

    return told(os.fork, outside)


def test_a_namespace_below_is_told_apart_though_the_number_is_the_same() -> None:
    assert in_a_pid_namespace(lambda: os.readlink("/proc/self") == str(os.getpid()))
    assert not in_a_pid_namespace(processes.speaks_of_us)


def test_our_own_proc_is_recognised() -> None:
    assert processes.speaks_of_us()
    assert told(os.fork, processes.speaks_of_us)


@pytest.fixture
def covered_proc(runtime: Runtime) -> Iterator[None]:
    """A host whose /proc shows less than all, as in a container: root of a user namespace may mount no new one."""
    kernelcalls.mount("none", "/proc/bus", "tmpfs")
    yield
    kernelcalls.umount("/proc/bus")


@pytest.mark.usefixtures("covered_proc")
@differs(crun="mounts it with root's privilege over the host", runc="cannot make the pod without a /proc")
def test_who_joins_a_pod_with_a_user_namespace_does_not_get_the_hosts_proc(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    pod = make_bundle().user_namespace().drop_mounts("/proc").shell("sleep 1000")
    pod.linux.update(maskedPaths=[], readonlyPaths=[])
    with runtime.running(pod) as first:
        bundle = make_bundle().user_namespace().shell("ls -d /proc/[0-9]*")
        for kind in ("user", "pid"):
            bundle.namespace(kind, f"/proc/{first.pid}/ns/{kind}")
        del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
        result = runtime.run(bundle)
        assert result.stdout == ""
        error_text(result, "mount `proc` to `/proc`", "/mounts/0", "/proc/bus covers")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[str]:
    """A message queue of the host, in a mount of them all."""
    if made := not Path("/dev/mqueue").exists():
        Path("/dev/mqueue").mkdir()
    kernelcalls.mount("none", "/dev/mqueue", "mqueue")
    name = f"of-the-host-{os.getpid()}"
    Path("/dev/mqueue", name).touch()
    yield name
    Path("/dev/mqueue", name).unlink()
    kernelcalls.umount("/dev/mqueue")
    if made:
        Path("/dev/mqueue").rmdir()


@differs(runc=TELLS, crun="mounts those that are joined")
def test_who_joins_an_ipc_namespace_does_not_get_the_hosts_queues(
    runtime: Runtime, bundle: Bundle, queue: str
) -> None:
    words = ["unshare", "--ipc", "sh", "-c", "echo made; exec sleep 1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "made\n"
        bundle.user_namespace().namespace("ipc", f"/proc/{other.pid}/ns/ipc")
        try:
            result = runtime.run(bundle.shell(f"ls /dev/mqueue; test -e /dev/mqueue/{queue}"))
        finally:
            other.kill()
    assert result.stdout == ""
    error_text(result, "mount `mqueue` to `/dev/mqueue`", "/mounts/4", "an ipc namespace of its own")


@differs(runc=TELLS)
def test_who_shares_the_ipc_namespace_gets_its_queues(runtime: Runtime, bundle: Bundle, queue: str) -> None:
    bundle.user_namespace().share("ipc")
    assert queue in runtime.output(bundle, "ls /dev/mqueue")
