"""A caller that may use one CPU of those that its cgroup has, as below taskset(1)."""

import contextlib
import os
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def on_one_cpu() -> Iterator[tuple[str, str]]:
    """(the CPU that we have meanwhile, all that we could have), as /proc/PID/status lists them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(8192))
    all_cpus = allowed()
    try:
        if len(os.sched_getaffinity(0)) < 2:
            pytest.skip("a machine with one CPU")
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        yield allowed(), all_cpus
    finally:
        os.sched_setaffinity(0, before)


def allowed(pid: int | str = "self") -> str:
    """The CPUs that a process may use, such as "0-3,7"."""
    with open(f"/proc/{pid}/status") as status:
        return next(line.split()[1] for line in status if line.startswith("Cpus_allowed_list"))
