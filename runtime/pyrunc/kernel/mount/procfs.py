"""A procfs that nobody else can cover or swap, and writes into it.

What goes to /proc/self/attr, /proc/sys and the like must not end in a file that a container put there by a mount or a
symlink (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).
"""

import posix
from _signal import SIGKILL
from errno import ECHILD, EINVAL, EPERM, EXDEV

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.syscalls import (
    AT_FDCWD,
    OPEN_TREE_CLONE,
    PROC_SUPER_MAGIC,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)

_ROOT_INODE = 1  # PROC_ROOT_INO, include/linux/proc_ns.h
_ATTRIBUTES = 0xE  # MOUNT_ATTR_NOSUID, NODEV, NOEXEC


def private(*, subset: bool = True) -> int:
    """A descriptor of a detached procfs of the current pid namespace, or else of a copy of /proc that was looked at.

    subset: only processes are in it (Linux 5.8); False where /proc/sys is needed.
    """
    try:
        return _new(subset=subset)
    except OSError:  # a user namespace to which the host's /proc shows less than all may not have a new one
        return _copy()


def _new(*, subset: bool) -> int:
    with opened(syscalls.fsopen("proc")) as context:
        if subset:
            syscalls.fsconfig_string(context, "subset", "pid")
        syscalls.fsconfig_command(context)
        return syscalls.fsmount(context, _ATTRIBUTES)


def open_of_children() -> int:
    """fsopen(2) of a procfs for the pid namespace that our children will be in, and not we, as after setns(2): left to
    itself, the kernel takes the one that the caller of fsopen is in, which is the host's. OSError."""
    context = syscalls.fsopen("proc")
    try:
        syscalls.fsconfig_string(context, "pidns", "/proc/thread-self/ns/pid_for_children")  # since Linux 6.17
    except OSError as error:
        posix.close(context)
        if error.errno == EPERM:  # not of our user namespace; a child may not, either
            raise
        return _open_in_child()
    return context


def _open_in_child() -> int:
    """The same by a child, with which we share the descriptors: processes of that namespace see it for one call."""
    reading, writing = posix.pipe()
    pid = syscalls.fork_into(syscalls.CLONE_FILES)
    if pid == 0:
        try:
            posix.write(writing, b"%d" % syscalls.fsopen("proc"))
        finally:
            posix._exit(0)  # noqa: SLF001
    _, status = posix.waitpid(pid, posix.WUNTRACED)
    if posix.WIFSTOPPED(status):  # by a process of the container; it would be waited for without end
        posix.kill(pid, SIGKILL)
        posix.waitpid(pid, 0)
    posix.close(writing)
    told = posix.read(reading, 20)
    posix.close(reading)
    if not told:
        raise OSError(ECHILD, "")  # it was ended, or could not
    return int(told)


def _copy() -> int:
    """A detached copy of /proc alone, without what is mounted below it."""
    try:
        tree = syscalls.open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE)
    except OSError as error:
        # EINVAL: mounts below are locked to it in a user namespace; EPERM: no privilege over this mount namespace.
        # Without a copy RESOLVE_NO_XDEV sees what covers a file, and statfs_type below what covers all.
        if error.errno not in {EPERM, EINVAL}:
            raise PyruncError.from_os("open `/proc`", error) from None
        try:
            tree = syscalls.open_tree(AT_FDCWD, "/proc")
        except OSError as second:
            raise PyruncError.from_os("open `/proc`", second) from None
    if syscalls.statfs_type(tree) != PROC_SUPER_MAGIC or posix.fstat(tree).st_ino != _ROOT_INODE:
        posix.close(tree)
        raise PyruncError("`/proc` is not a proc file system")
    return tree


def open_file(proc: int, path: str, flags: int) -> int:
    """Open a file of the procfs, on no other file system and behind no symlink; OSError.

    `self` and `thread-self` at the start are symlinks: they are read and followed here.
    """
    first, slash, rest = path.partition("/")
    if first in ("self", "thread-self"):
        first = posix.readlink(first, dir_fd=proc)
        if not first.replace("/task/", "").isdigit():
            raise OSError(EINVAL, "")  # the kernel always gives PID or PID/task/TID
        path = f"{first}{slash}{rest}"
    resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    fd = syscalls.openat2(proc, path, flags, 0, resolve)
    if syscalls.statfs_type(fd) != PROC_SUPER_MAGIC:
        posix.close(fd)
        raise OSError(EXDEV, "")  # as RESOLVE_NO_XDEV says it
    return fd


def write(proc: int, path: str, data: "str | bytes", *, what: str = "", pointer: str = "") -> None:
    """Write `data` into a file of the procfs with a single write(2), as the kernel wants it.

    what, pointer: for an error, the operation (default: the file's name) and the value of config.json behind it
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        with opened(open_file(proc, path, posix.O_WRONLY)) as fd:
            posix.write(fd, content)
    except OSError as error:
        raise PyruncError.from_os(what or f"write `/proc/{path}`", error, pointer=pointer) from None
