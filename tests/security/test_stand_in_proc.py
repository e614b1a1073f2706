"""The host's /proc does not stand in for that of another pid namespace, whatever number a process has there.

A process of a pod can fork until the next one in its pid namespace has the number that it will have on the host.
"""

import os
from collections.abc import Callable

import pytest
from pyrunc.kernel import procs

from tests import kernelcalls

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
    assert not in_a_pid_namespace(procs.speaks_of_us)


def test_our_own_proc_is_recognised() -> None:
    assert procs.speaks_of_us()
    assert told(os.fork, procs.speaks_of_us)
