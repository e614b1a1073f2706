"""File descriptors: those that a block opens and closes, and those that are inherited: the standard streams, those kept
for the container, and all others.

All that Python opens is close-on-exec; what a caller passed is not. So gaps in the range that is kept for the container
may be filled by our own files: they do not pass the exec.
"""

import fcntl
import posix
from errno import EBADF

from pyrunc.errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = 3  # the lowest number that is passed to the container (sd_listen_fds(3))


class opened:  # noqa: N801  (named for how it is read, as contextlib.closing)
    """A descriptor that belongs to a `with` block, whose end closes it: `with opened(posix.open(path, flags)) as fd:`.

    It is closed once, and an error of close(2) is raised. What the block hands on, it keeps: `tree = opened(...)`,
    `with tree as fd: ...; return tree.keep()`.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd  # a negative one stands for none, which is not closed

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        if (fd := self.keep()) >= 0:
            posix.close(fd)

    def keep(self) -> int:
        """The descriptor, which the end of the block leaves open."""
        fd, self.fd = self.fd, -1
        return fd


class Kept:
    """What the container inherits: the descriptors 3 to 2 + count, and variables that tell it."""

    __slots__ = ("count", "env")

    def __init__(self, count: int, env: "list[str]") -> None:
        self.count, self.env = count, env


def open_standard_streams() -> None:
    """Open /dev/null on those of 0, 1 and 2 that are closed: the next file that we open would get the number."""
    for fd in range(FIRST):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
            continue
        except OSError as error:
            if error.errno != EBADF:
                raise
        try:
            null = posix.open("/dev/null", posix.O_RDWR)  # the lowest free number, which is fd
            posix.set_inheritable(null, True)
        except OSError as error:
            raise PyruncError.from_os(f"open `/dev/null` in place of the closed descriptor {fd}", error) from None


_SPARE = 8  # to run a hook, or to remove a cgroup or a directory with one in it
_spare: "list[int]" = []


def reserve() -> None:
    """Take some numbers out of use, so that undoing has them after a failure with EMFILE."""
    try:
        _spare.extend(posix.dup(2) for _ in range(_SPARE - len(_spare)))  # nobody gets further by them than by 2 itself
    except OSError as error:
        raise PyruncError.from_os(f"reserve {_SPARE} descriptors for undoing", error) from None


def free_reserve() -> None:
    """Now it is undone. May be called again."""
    while _spare:
        posix.close(_spare.pop())


def kept(preserve: int, environ: "Mapping[bytes, bytes]", present: "frozenset[int]") -> Kept:
    """What --preserve-fds N and socket activation (LISTEN_FDS in the caller's environment) pass on of those `present`.

    Those of socket activation come first, then N more, as runc and crun count. LISTEN_PID may name another process, as
    conmon or a shell stands between us and the service manager; in the container it is 1.
    """
    listen = listen_fds(environ)
    env = [f"LISTEN_FDS={listen}", "LISTEN_PID=1"] if listen else []
    return Kept(span(preserve + listen, present), env)


def span(wanted: int, present: "frozenset[int]") -> int:
    """How many numbers from 3 on hold all those present of the `wanted` ones: gaps count, what lies above does not.

    Podman's `--preserve-fd 9,40` makes --preserve-fds 38 with gaps, so a descriptor that is not open is no error.
    """
    return max((fd - FIRST + 1 for fd in present if FIRST <= fd < FIRST + wanted), default=0)


def inherited() -> "frozenset[int]":
    """The open descriptors that pass an exec: those that our caller has left open, and none of our own."""
    try:
        names = posix.listdir("/proc/self/fd")
    except OSError as error:
        raise PyruncError.from_os("list the open descriptors in `/proc/self/fd`", error) from None
    found = set()
    for name in names:
        try:
            flags = fcntl.fcntl(int(name), fcntl.F_GETFD)
        except OSError:  # the directory itself, closed again
            continue
        if not flags & fcntl.FD_CLOEXEC:
            found.add(int(name))
    return frozenset(found)


def targets(count: int) -> "list[str]":
    """Where the descriptors from 0 on lead (proc(5), /proc/PID/fd), "" for one that is not open: for `checkpoint`."""
    found = []
    for fd in range(count):
        try:
            found.append(posix.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            found.append("")
    return found


def listen_fds(environ: "Mapping[bytes, bytes]") -> int:
    """The number in LISTEN_FDS; 0 for what is none, as sd_listen_fds(3) passes over it."""
    text = environ.get(b"LISTEN_FDS", b"")
    return int(text) if text.isdigit() and len(text) < 10 else 0
