"""The eight namespaces: flags, and joining one that is named by a path (namespaces(7), ioctl_ns(2))."""

import fcntl
import posix
from errno import EPERM

from pyrunc import words
from pyrunc.errors import ConfigError, PyruncError

from . import syscalls
from .descriptors import opened
from .paths import O_PATH

FLAGS = words.NAMESPACES
_NS_GET_NSTYPE = 0xB703


class Join:
    """A namespace to join: its type, path, and the JSON pointer of the entry that asks for it."""

    __slots__ = ("kind", "path", "pointer")

    def __init__(self, kind: str, path: str, pointer: str) -> None:
        self.kind, self.path, self.pointer = kind, path, pointer

    def open(self) -> "OpenNamespace":
        """Open the namespace's file and check that it is of the wanted type (config-linux.md: MUST be an error)."""
        try:
            fd = posix.open(self.path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"open namespace `{self.path}`", errno=error.errno or 0, pointer=self.pointer) from None
        try:
            is_namespace = syscalls.statfs_type(fd) == syscalls.NSFS_MAGIC
            kind = fcntl.ioctl(fd, _NS_GET_NSTYPE) if is_namespace else 0
        except OSError:
            kind = 0
        if kind != FLAGS[self.kind]:
            found = next((name for name, flag in FLAGS.items() if flag == kind), "")
            what = f"is a {found} namespace" if found else "is not a namespace"
            raise ConfigError(f"`{self.path}` {what}, expected a {self.kind} namespace", pointer=self.pointer)
        return OpenNamespace(self, fd)


class OpenNamespace:
    """One that is open, on a descriptor."""

    __slots__ = ("fd", "kind", "path", "pointer")

    def __init__(self, join: Join, fd: int) -> None:
        self.kind, self.path, self.pointer, self.fd = join.kind, join.path, join.pointer, fd

    def is_ours(self) -> bool:
        """Whether this process is in it already."""
        ours, there = posix.stat(f"/proc/self/ns/{FILES.get(self.kind, self.kind)}"), posix.fstat(self.fd)
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def enter(self) -> None:
        """setns(2)."""
        try:
            syscalls.setns(self.fd, FLAGS[self.kind])
        except OSError as error:
            what = f"join {self.kind} namespace `{self.path}`"
            raise PyruncError.from_os(what, error, pointer=self.pointer) from None
        posix.close(self.fd)


def enter_all(joins: "tuple[OpenNamespace, ...]") -> None:
    """Join all of them. One that belongs to the user namespace among them can need its privilege, and one of the
    host's takes ours, so those that are forbidden at first are tried again after the user namespace."""
    later: list[tuple[OpenNamespace, PyruncError]] = []
    for join in joins:
        if join.kind == "user":
            continue
        try:
            join.enter()
        except PyruncError as error:
            if error.errno != EPERM:
                raise
            later.append((join, error))
    user = [join for join in joins if join.kind == "user"]
    for join in user:
        join.enter()
    for join, refusal in later:
        if not user:
            raise refusal
        join.enter()


def open_time_offsets(pid: "int | str") -> int:
    """A descriptor for the offsets of the time namespace that a process makes for its children."""
    try:
        return posix.open(f"/proc/{pid}/timens_offsets", posix.O_WRONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise PyruncError.from_os("set the time offsets", error) from None


def set_time_offsets(offsets: "tuple[tuple[str, int, int], ...]", fd: int) -> None:
    """Make a time namespace with these offsets (clock name, seconds, nanoseconds) and enter it. fd: of
    `open_time_offsets`, which is closed; -1 to open it here.

    unshare(2) moves only later children into it; offsets can be written only while it is empty (time_namespaces(7)).
    """
    syscalls.unshare(syscalls.CLONE_NEWTIME)
    if offsets:
        text = "".join(f"{clock} {seconds} {nanoseconds}\n" for clock, seconds, nanoseconds in offsets)
        fd = fd if fd >= 0 else open_time_offsets("self")
        try:
            with opened(fd):
                posix.write(fd, text.encode())
        except OSError as error:
            raise PyruncError.from_os("set the time offsets", error) from None
    with opened(posix.open("/proc/self/ns/time_for_children", posix.O_RDONLY | posix.O_CLOEXEC)) as fd:
        syscalls.setns(fd, syscalls.CLONE_NEWTIME)


def open_own() -> int:
    """A descriptor of this process's directory of namespaces, which tells them wherever it goes (`joined`)."""
    return posix.open("/proc/self/ns", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)  # root's to read when we hide


def identities(pid: "int | str") -> "dict[str, list[int]]":
    """Type -> [device, inode] of a process's namespaces, which no other has while it lives (namespaces(7)). OSError if
    the process is gone."""
    found = {}
    for kind in FLAGS:
        try:
            facts = posix.stat(f"/proc/{pid}/ns/{FILES.get(kind, kind)}")
        except FileNotFoundError:
            if not posix.access(f"/proc/{pid}/ns", posix.F_OK):
                raise
            continue  # a kernel without them
        found[kind] = [facts.st_dev, facts.st_ino]
    return found


def joined(own: int, kinds: "dict[str, list[int]]") -> "dict[str, list[int]]":
    """The same for this process and these kinds; a pid namespace is that of its children. own: of `open_own`."""
    files = {**FILES, "pid": "pid_for_children"}
    facts = {kind: posix.stat(files.get(kind, kind), dir_fd=own) for kind in kinds}
    return {kind: [its.st_dev, its.st_ino] for kind, its in facts.items()}


def refuse_others(own: "dict[str, list[int]]", found: "dict[str, list[int]]") -> None:
    """Raise PyruncError if a container's first process has left a namespace of the container, `own`.

    In one that it has made itself it has more privilege than the container has: root of a user namespace could trace
    whoever joins it, before the seccomp filter and the label of the container are in force.
    """
    for kind, identity in own.items():
        if found.get(kind) != identity:
            text = f"the container's first process has left the container's {kind} namespace"
            raise PyruncError(text, hint="the runtime does not join namespaces that the container has made")


FILES = {"mount": "mnt", "network": "net"}  # /proc/PID/ns/*, where the spec's name is another
