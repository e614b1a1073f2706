"""Want of memory: which limit the kernel has enforced, and whether there is one that we ourselves may not fit into.

The limits of all cgroups above count as well: those of a pod hold for the runtime, too, where the engine runs it there.
"""

from pyrunc.errors import PyruncError

from .interface_files import directory, mount_point, number, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TIGHT = 16 << 20  # bytes: twice what create and the init that it makes have in memory that cannot be had back


class Limit:
    """The limit of a cgroup, and what it uses now, in bytes; peak: what it has used at most ("" before Linux 5.19)."""

    __slots__ = ("bytes", "peak", "reached", "used", "where")

    def __init__(self, where: str, limit: int) -> None:
        self.where, self.bytes = where, limit
        self.used = int(read(f"{where}/memory.current") or 0)
        self.peak = (read(f"{where}/memory.peak") or "").strip()
        self.reached = number(f"{where}/memory.events.local", "oom") > 0  # Linux 5.2


def limits(path: str) -> "Iterator[Limit]":
    """The limits that hold for a cgroup, its own first."""
    while path.strip("/"):
        where = directory(path)
        limit = (read(f"{where}/memory.max") or "").strip()
        if limit.isdigit():
            yield Limit(where, int(limit))
        path = path.rstrip("/").rpartition("/")[0]


def error(path: str, who: str, pointer: str = "") -> PyruncError:
    """The error for a process that has been killed in this cgroup. pointer: of its limit, if the config has one."""
    text = f"{who} was OOM-killed"
    found = list(limits(path))
    reached = next((limit for limit in found if limit.reached), found[0] if found else None)
    if reached is None:
        return PyruncError(f"{text}: the host is out of memory")
    own = reached.where == directory(path)
    peak = f", peak usage {reached.peak} (memory.peak)" if reached.peak else ""
    return PyruncError(
        f"{text}: cgroup `{reached.where}` is limited to {reached.bytes} bytes (memory.max){peak}",
        pointer=pointer if own else "",
        hint="" if own else _ABOVE,
    )


_ABOVE = "the limit is not the container's own: the runtime, too, needs memory in this cgroup"


def last_word(path: str) -> str:
    """What is to be said of the end of a process in this cgroup that can say nothing itself any more, because it is
    killed for want of memory; "" where that is not to be feared."""
    for limit in limits(path) if mount_point() else ():
        if limit.bytes - limit.used < TIGHT:
            return (
                f"OOM-killed while making the container: cgroup `{limit.where}` may use {limit.bytes} "
                f"bytes (memory.max), and used {limit.used} before ({_ABOVE})"
            )
    return ""
