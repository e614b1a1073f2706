"""Small files, read whole and written at once: those of /proc, /sys and cgroups, and a few of our own. OSError."""

import posix

from .descriptors import opened


def read(path: str, most: int = 1 << 62, *, flags: int = 0, dir_fd: "int | None" = None) -> bytes:
    """The content of a file, until it ends or has given `most` bytes: files of /proc come a page at a time. An OSError
    names the file. flags: of open(2), beside O_RDONLY and O_CLOEXEC."""
    with opened(posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | flags, dir_fd=dir_fd)) as fd:
        try:
            return read_open(fd, most)
        except OSError as error:
            error.filename = path
            raise


def read_open(fd: int, most: int) -> bytes:
    """The same of an open file, from where it is."""
    pieces, size = [], 0  # joined at the end: adding each to what came before would copy that every time
    while size < most and (piece := posix.read(fd, 1 << 16)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def write(path: str, data: bytes, *, flags: int = 0, dir_fd: "int | None" = None) -> None:
    """One write(2), which the kernel takes or refuses as a whole. flags: of open(2), beside O_WRONLY and O_CLOEXEC.

    With O_CREAT a missing file of the kernel's would be EPERM, not ENOENT; a new file is its owner's alone.
    """
    with opened(posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC | flags, 0o600, dir_fd=dir_fd)) as fd:
        posix.write(fd, data)
