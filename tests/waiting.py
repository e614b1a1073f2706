"""Waiting for a fact to become true, with a deadline that only ends a hopeless wait."""

import os
import select
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 30.0  # seconds; far beyond what a busy machine needs: no test measures time

Fact = TypeVar("Fact")


def comes_true(fact: Callable[[], Fact], deadline: float = DEADLINE) -> Fact:
    """Call fact() until it returns something true or the deadline has passed; what it returned last."""
    end = time.monotonic() + deadline
    while not (value := fact()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


def eventually(fact: Callable[[], Fact], what: str, deadline: float = DEADLINE) -> Fact:
    """Call fact() until it returns something true, and return that; fail, naming what, after the deadline."""
    value = comes_true(fact, deadline)
    assert value, f"waited {deadline:.0f} s in vain for {what}"
    return value


def exit_code(pid: int, deadline: float = DEADLINE) -> int:
    """Wait for our child pid and reap it; its exit code, or minus the number of the signal that ended it."""
    pidfd = os.pidfd_open(pid)
    try:
        readable, _, _ = select.select([pidfd], [], [], deadline)
    finally:
        os.close(pidfd)
    if not readable:
        raise AssertionError(f"process {pid} still runs after {deadline:.0f} s")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
