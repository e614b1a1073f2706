"""Pseudoterminals: one of the container's own devpts, its size, and raw mode for the caller's terminal (pty(7)).

The container may have prepared any name below /dev, so nothing is opened by such a name before it is known to lie in a
devpts (CVE-2025-52565), and the other end is taken from the open terminal, by TIOCGPTPEER (Linux 4.13).
"""

import fcntl
import posix
import sys

from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls, unixsocket
from pyrunc.kernel.descriptors import opened

# asm-generic/ioctls.h: the numbers of all architectures but alpha, mips, parisc, powerpc and sparc.
_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414
_TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x80045430, 0x40045431, 0x5441

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PTMX = posix.makedev(5, 2)
_ROOT_INODE = 1  # of every devpts (fs/devpts/inode.c)
_LARGEST = 0xFFFF  # struct winsize holds unsigned shorts
_TERMINAL = posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC

Size = tuple[int, int]  # rows, columns


def open_console(root: int, size: "Size | None") -> "tuple[int, int, str]":
    """A new terminal of the container: (its main end, the end for the container's process, its name in the container).

    `root` is the container's root directory. Without a devpts on /dev/pts there the terminal comes from one that is
    mounted nowhere, and its name leads to nothing.
    """
    main = peer = -1
    try:
        with opened(_devpts(root)) as devpts:
            resolve = syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_SYMLINKS
            main = syscalls.openat2(devpts, "ptmx", posix.O_RDWR | posix.O_NOCTTY, 0, resolve)
        if posix.fstat(main).st_rdev != _PTMX:
            raise PyruncError("`/dev/pts/ptmx` of the container is not the device 5:2")
        fcntl.ioctl(main, _TIOCSPTLCK, bytes(4))
        peer = peer_of(main)
        if size is not None:
            set_size(peer, size)
        return main, peer, name_of(main)
    except (OSError, PyruncError) as error:
        for fd in (main, peer):
            if fd >= 0:
                posix.close(fd)
        if isinstance(error, PyruncError):
            raise
        raise PyruncError.from_os("open a terminal for the container", error) from None


def _devpts(root: int) -> int:
    """The root directory of the container's devpts, or of a new one that nobody else sees."""
    try:
        here = paths.open_in(root, "/dev/pts", paths.O_PATH | posix.O_DIRECTORY, symlinks=False)
    except OSError:  # nothing there, or a symlink: the image's business, and nothing that we would open
        here = -1
    if here >= 0:
        if syscalls.statfs_type(here) == syscalls.DEVPTS_SUPER_MAGIC and posix.fstat(here).st_ino == _ROOT_INODE:
            return here
        posix.close(here)
    with opened(syscalls.fsopen("devpts")) as context:
        syscalls.fsconfig_string(context, "ptmxmode", "0600")
        syscalls.fsconfig_command(context)
        return syscalls.fsmount(context)


def peer_of(main: int) -> int:
    """The other end of a terminal, whatever has become of its name. OSError."""
    return fcntl.ioctl(main, _TIOCGPTPEER, _TERMINAL)


def name_of(main: int) -> str:
    """The name of the other end in its devpts (TIOCGPTN). OSError."""
    return f"/dev/pts/{int.from_bytes(fcntl.ioctl(main, _TIOCGPTN, bytes(4)), sys.byteorder)}"


def send_console(path: str, main: int, name: str) -> None:
    """Send the main end to the console socket `path`, with the terminal's name; close nothing."""
    unixsocket.send_descriptor(path, main, name.encode(), "console socket")


def is_terminal(fd: int) -> bool:
    """Whether the descriptor is a terminal."""
    return posix.isatty(fd)


def size_of(fd: int) -> "Size | None":
    """The window size; None if it is not a terminal, or one that does not know (0 rows, 0 columns)."""
    try:
        words = fcntl.ioctl(fd, _TIOCGWINSZ, bytes(8))
    except OSError:
        return None
    size = int.from_bytes(words[:2], sys.byteorder), int.from_bytes(words[2:4], sys.byteorder)
    return size if any(size) else None


def set_size(fd: int, size: Size) -> None:
    """Set the window size; the processes in front get SIGWINCH if it is another. OSError."""
    words = b"".join(min(value, _LARGEST).to_bytes(2, sys.byteorder) for value in size)
    fcntl.ioctl(fd, _TIOCSWINSZ, words + bytes(4))


def prepare_output(main: int) -> None:
    """Of a terminal whose main end we keep: a pipe or file as our output gets lines without carriage returns.

    A terminal gets them as they come, and adds none (`raw`): full-screen programs rely on what they have set.
    """
    if is_terminal(1):
        return
    import termios as t

    input_, output, *rest = t.tcgetattr(main)
    t.tcsetattr(main, t.TCSANOW, [input_, output & ~t.ONLCR, *rest])


def raw(fd: int, *, output: bool) -> "list[Any]":
    """Put a terminal into raw mode as cfmakeraw(3) defines it; the attributes that it had, for `restore`.

    output: also what is written to it, which has carriage returns then (`prepare_output`).
    """
    import termios as t

    before = t.tcgetattr(fd)
    input_, oflag, control, local, *rest = t.tcgetattr(fd)
    input_ &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    if output:
        oflag &= ~t.OPOST
    control = control & ~(t.CSIZE | t.PARENB) | t.CS8
    local &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    rest[-1][t.VMIN], rest[-1][t.VTIME] = 1, 0
    try:
        t.tcsetattr(fd, t.TCSANOW, [input_, oflag, control, local, *rest])
    except t.error as error:
        raise PyruncError("put the terminal into raw mode", errno=int(error.args[0])) from None
    return before


def restore(fd: int, attributes: "list[Any]") -> None:
    """Give a terminal the attributes back; one that has hung up needs none."""
    import termios

    try:
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error:
        return
