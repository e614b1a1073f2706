"""What a cgroup's own files say of its processes: whether there are any, and whether they were asked to freeze."""

from pyrunc.errors import PyruncError

from .interface_files import mount_point, read


def frozen(path: str) -> bool:
    """Whether the cgroup was asked to freeze."""
    top = mount_point()
    try:
        return top is not None and (read(f"{top}{path}/cgroup.freeze") or "").strip() == "1"
    except OSError as error:  # who took this for "no" would call a paused container running
        raise PyruncError.from_os(f"check whether cgroup `{path}` is frozen", error) from None


def populated(path: str) -> bool:
    """Whether a process that has not ended is in the cgroup or below; the kernel counts them, wherever they hide."""
    return "populated 1" in _events(path)


def empty(path: str) -> bool:
    """Whether the cgroup is there, and all processes that were in it have ended."""
    return "populated 0" in _events(path)


def _events(path: str) -> str:
    top = mount_point(surely=True)
    try:
        return "" if top is None else read(f"{top}{path}/cgroup.events") or ""
    except OSError as error:
        raise PyruncError.from_os(f"list the processes of cgroup `{path}`", error) from None
