"""The cgroup v2 hierarchy by hand (kernel: Documentation/admin-guide/cgroup-v2.rst).

A container's cgroup is named by its path below the mount of the unified hierarchy, "/machine/box". On a host where
the controllers are bound to cgroup v1 ("hybrid") the unified hierarchy still tracks, freezes and kills.
"""

import posix
from _signal import SIGKILL
from errno import EACCES, EAGAIN, EBUSY, ENODEV, ENOENT, ENOTEMPTY, EOPNOTSUPP, EPERM, EROFS

from pyrunc.errors import PyruncError
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.process import processes

from .events import frozen, populated
from .interface_files import directory, mount_point, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "JOIN_HINTS",
    "enter",
    "exists",
    "fork",
    "join",
    "kill",
    "make",
    "members",
    "mount_point",
    "own_path",
    "path_of",
    "remove",
    "remove_unused",
    "signal",
]

PATIENCE = 10.0  # seconds that killed processes get to go; one in an uninterruptible call may not


def own_path() -> str:
    """The cgroup of this process in the unified hierarchy."""
    return path_of("self")


def path_of(pid: "int | str") -> str:
    """The cgroup of a process in the unified hierarchy; "/" if the process is gone."""
    for line in (read(f"/proc/{pid}/cgroup") or "").split("\n"):  # in a name there may be what else ends a line
        if line.startswith("0::"):
            return line[3:]
    return "/"


def exists(path: str) -> bool:
    """Whether there is such a cgroup. Raises PyruncError where no cgroup v2 is mounted."""
    return posix.access(directory(path), posix.F_OK)


def make(path: str) -> "tuple[int, bool]":
    """Make the cgroup and its parents: a descriptor of its directory, for clone3, and whether it was there before.

    Refuses one that is used or frozen.
    """
    where, found = directory("/"), False
    try:
        for name in path.strip("/").split("/"):
            where += f"/{name}"
            try:
                posix.mkdir(where, 0o755)
                found = False
            except FileExistsError:
                found = True
        fd = posix.open(where, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        hint = _MAKE_HINTS.get(error.errno or 0, "")
        check = "cgroups controllers" if error.errno in (EPERM, EACCES, EROFS) else ""
        raise PyruncError.from_os(f"make cgroup `{where}`", error, hint=hint, check=check) from None
    if not found:
        return fd, False
    if used := members(path):
        posix.close(fd)
        hint = "give the container a cgroup of its own"
        raise PyruncError(f"the container's cgroup is not empty: process {used[0]} is in `{path}`", hint=hint)
    if frozen(path):
        posix.close(fd)
        hint = "write 0 to its cgroup.freeze, or use another cgroup"
        raise PyruncError(f"the container's cgroup unexpectedly frozen: `{path}`", hint=hint)
    return fd, True


_MAKE_HINTS = {
    EAGAIN: "cgroup.max.descendants or cgroup.max.depth of an ancestor is reached",
    EACCES: "its parent cgroup is not delegated to this user",
}


def join(path: str, pid: int) -> None:
    """Move a process into the cgroup: 9 ms on an idle machine, so only where clone3 could not make it there."""
    try:
        write(f"{directory(path)}/cgroup.procs", str(pid))
    except OSError as error:
        hint = JOIN_HINTS.get(error.errno or 0, "")
        raise PyruncError.from_os(f"move process {pid} to cgroup `{path}`", error, hint=hint) from None


# errno of moving, or cloning, a process into a cgroup -> why (cgroup-v2.rst, "Delegation Containment" and others)
JOIN_HINTS = {
    EACCES: "a common ancestor of the old and the new cgroup must have been delegated to this user",
    EBUSY: "the cgroup has controllers enabled for its children, so it cannot hold processes",
    EOPNOTSUPP: "the cgroup is below a threaded cgroup",
}


def enter(path: str) -> int:
    """A descriptor of an existing cgroup's directory, for clone3 (`exec`)."""
    try:
        return posix.open(directory(path), posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise PyruncError.from_os(f"open cgroup `{path}`", error) from None


def fork(path: str, fd: int, flags: int = 0) -> int:
    """Clone a process (`syscalls.fork_into`) into the cgroup of which `fd` is the directory; its pid, 0 in it. OSError;
    PyruncError if it cannot be moved.

    Where cgroup.kill was ever written in that cgroup or in ours, but not in both, Linux 6.18 kills the clone before it
    runs. Then one is moved, while it waits.
    """
    from pyrunc.kernel import syscalls

    pid = syscalls.fork_into(flags, fd)
    if pid == 0 or not processes.killed(pid):
        return pid
    posix.waitpid(pid, 0)
    gate, opener = posix.pipe2(posix.O_CLOEXEC)
    pid = syscalls.fork_into(flags)
    if pid == 0:
        posix.close(opener)
        posix.read(gate, 1)
        posix.close(gate)
        return 0
    posix.close(gate)
    with opened(opener):
        try:
            join(path, pid)
        except BaseException:
            posix.kill(pid, SIGKILL)
            posix.waitpid(pid, 0)
            raise
    return pid


def members(path: str) -> "list[int]":
    """The processes in the cgroup and below it; none if it is gone."""
    top = mount_point(surely=True)
    if top is None or not path.strip("/"):
        return []
    texts = [read(f"{top}{path}/cgroup.procs")]  # of a threaded cgroup, its root lists them
    _visit(f"{top}{path}", lambda above, name: texts.append(read(f"/proc/self/fd/{above}/{name}/cgroup.procs")))
    return [int(word) for text in texts for word in (text or "").split()]


def signal(path: str, number: int) -> None:
    """Signal every process in the cgroup and below. A pid that is reused meanwhile is another's: each is pinned by a
    descriptor, and signalled if it is still listed then. Those of other pid namespaces (0) cannot be."""
    from pyrunc.kernel import syscalls

    pids = [pid for pid in members(path) if pid > 0]
    for start in range(0, len(pids), _PINNED):
        pinned: list[tuple[int, int]] = []
        try:
            for pid in pids[start : start + _PINNED]:
                try:
                    pinned.append((pid, syscalls.pidfd_open(pid)))
                except ProcessLookupError:
                    continue
            listed = set(members(path))
            for pid, pidfd in pinned:
                try:
                    if pid in listed:
                        syscalls.pidfd_send_signal(pidfd, number)
                except ProcessLookupError:
                    continue
        finally:
            for _, pidfd in pinned:
                posix.close(pidfd)


_PINNED = 256  # at a time; a shell's limit of descriptors is 1024


def kill(path: str, patience: float = PATIENCE) -> None:
    """Kill every process in the cgroup and below: at once by cgroup.kill (Linux 5.14), and one by one what that passes
    over; until none is left, or only such as cannot be interrupted. Those still there after `patience` seconds have got
    the signal.

    Linux 6.18 passes over a process whose first thread has ended; one that forks all the time may be ahead of the list.
    """
    top = mount_point(surely=True)
    if top is None or not path.strip("/") or not populated(path):  # never the whole machine
        return
    import time

    try:
        write(f"{top}{path}/cgroup.kill", "1")
    except FileNotFoundError:  # before 5.14, or it is gone
        pass
    except OSError as error:
        if error.errno != ENODEV:
            raise PyruncError.from_os(f"kill the processes of cgroup `{path}`", error) from None
    deadline, pause = time.monotonic() + patience, 0.001
    while time.monotonic() < deadline:
        time.sleep(pause)  # most are on their way out
        if not populated(path):
            return
        signal(path, SIGKILL)
        pause = min(pause * 2, 0.1)


def remove_unused(path: str) -> None:
    """Remove the cgroup if nobody uses it, neither a process nor a cgroup below it: the kernel asks that of rmdir."""
    try:
        posix.rmdir(directory(path))
    except OSError as error:
        if error.errno not in {ENOENT, EBUSY, ENOTEMPTY}:
            raise PyruncError.from_os(f"remove cgroup `{path}`", error) from None


def remove(path: str, *, keep: bool = False) -> None:
    """Remove the cgroup (`keep`: not itself) and those below it, waiting up to 5 s for killed processes to leave."""
    import time

    top = mount_point(surely=True)
    if top is None or not path.strip("/"):
        return
    where = f"{top}{path}"
    deadline = time.monotonic() + 5
    pause = 0.001
    while True:
        busy = _try_to_remove(where, keep=keep)
        if busy is None:
            if keep and frozen(path):  # or the next container in it would be refused
                write(f"{directory(path)}/cgroup.freeze", "0")
            return
        if busy.errno != EBUSY or time.monotonic() > deadline:
            raise PyruncError.from_os(f"remove cgroup `{path}`", busy)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def _try_to_remove(where: str, *, keep: bool) -> "OSError | None":
    """Remove what can be removed; the last error."""
    busy: list[OSError] = []

    def rmdir(above: "int | None", name: str) -> None:
        try:
            posix.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            return
        except OSError as error:
            busy.append(error)

    _visit(where, rmdir)
    if not keep:
        rmdir(None, where)
    elif read(f"{where}/cgroup.procs"):
        busy.append(OSError(EBUSY, "it still has processes"))
    return busy[-1] if busy else None


def _visit(where: str, what: "Callable[[int, str], None]") -> None:
    """Call `what` (descriptor of the directory above, name) for each cgroup below a directory, the deepest first.

    A container that owns its cgroup may nest them deeper than a path, or than as many descriptors as we may have, would
    reach: so one is open at a time, and `..` leads back. (They cannot be moved.)
    """
    try:
        here = posix.open(where, _DIRECTORY)
    except FileNotFoundError:
        return
    names: list[str] = []
    rest = [_children(here)]
    try:
        while names or rest[0]:
            if rest[-1]:
                name = rest[-1].pop()
                try:
                    below = posix.open(name, _DIRECTORY | posix.O_NOFOLLOW, dir_fd=here)
                except FileNotFoundError:
                    continue
                posix.close(here)
                here = below
                names.append(name)
                rest.append(_children(here))
            else:
                above = posix.open("..", _DIRECTORY, dir_fd=here)
                posix.close(here)
                here = above
                rest.pop()
                what(here, names.pop())
    finally:
        posix.close(here)


def _children(directory: int) -> "list[str]":
    try:
        with posix.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:  # removed meanwhile
        return []


_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
