"""What happens in a cgroup, for `events`: the OOM killer ended a process, or the last process is gone.

The kernel wakes poll(2) with POLLPRI on memory.events and cgroup.events when one of their numbers changes.
"""

import posix
import select
import time
from errno import ENODEV

from pyrunc.cgroup.interface_files import directory
from pyrunc.errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Watch:
    """The watch of one cgroup, from now on; a context manager. Without the memory controller it sees only the end."""

    __slots__ = ("_kills", "_memory", "_populated", "_waiter")

    def __init__(self, path: str) -> None:
        where = directory(path)
        try:
            self._populated = posix.open(f"{where}/cgroup.events", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise PyruncError.from_os(f"watch cgroup `{path}`", error) from None
        try:
            self._memory = posix.open(f"{where}/memory.events", posix.O_RDONLY | posix.O_CLOEXEC)
        except FileNotFoundError:
            self._memory = -1
        self._kills = self._count(self._memory, "oom_kill")
        self._waiter = select.poll()
        for fd in (self._populated, self._memory):
            if fd >= 0:
                self._waiter.register(fd, select.POLLPRI)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._populated, self._memory):
            if fd >= 0:
                posix.close(fd)

    def wait(self, seconds: float) -> str:
        """The next event: "oom", "end", or "" if `seconds` pass without one."""
        deadline = time.monotonic() + seconds
        while True:
            kills = self._count(self._memory, "oom_kill")
            if kills > self._kills:
                self._kills = kills
                return "oom"
            if not self._count(self._populated, "populated"):
                return "end"
            left = deadline - time.monotonic()
            if left <= 0:
                return ""
            self._waiter.poll(left * 1000)

    @staticmethod
    def _count(fd: int, key: str) -> int:
        if fd < 0:
            return 0
        try:
            text = posix.pread(fd, 4096, 0).decode()
        except OSError as error:
            if error.errno != ENODEV:  # the cgroup was removed: nobody is in it
                raise
            return 0
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key} ")), 0)
