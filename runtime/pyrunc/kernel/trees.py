"""Removal of a directory tree by file descriptor."""

import posix
from errno import EBUSY, EINVAL, EPERM, EXDEV

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW


def remove(path: str) -> None:
    """Remove a directory and all below it. Mounts in it are detached first, symlinks are removed and not followed.

    OSError, EBUSY, for a mount that may not be detached; what is in it stays as it is.
    """
    here = posix.open(path, _DIRECTORY)
    # As deep as it may be: one directory is open at a time, and `..` leads back, to where we came from or nowhere.
    way: list[tuple[str, tuple[int, int]]] = []  # the names that led here, each with the directory that it is in
    rest = [_remove_files(here)]
    try:
        while way or rest[0]:
            if rest[-1]:
                name = rest[-1].pop()
                _detach(here, name)
                below = _open_below(here, name)
                way.append((name, _identity(here)))
                posix.close(here)
                here = below
                rest.append(_remove_files(here))
            else:
                name, above = way.pop()
                back = posix.open("..", _DIRECTORY, dir_fd=here)
                posix.close(here)
                here = back
                if _identity(here) != above:
                    raise OSError(EBUSY, "", name)  # it was moved meanwhile
                posix.rmdir(name, dir_fd=here)
                rest.pop()
    finally:
        posix.close(here)
    posix.rmdir(path)


def _identity(directory: int) -> "tuple[int, int]":
    facts = posix.fstat(directory)
    return facts.st_dev, facts.st_ino


def _remove_files(directory: int) -> "list[str]":
    """Remove what is not a directory; the names of the directories."""
    directories = []
    for name in posix.listdir(directory):
        try:
            posix.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            directories.append(name)
        except OSError as error:
            if error.errno != EBUSY:  # something is mounted on the file
                raise
            _detach(directory, name)
            posix.unlink(name, dir_fd=directory)
    return directories


def _open_below(directory: int, name: str) -> int:
    """Open a directory of this directory, but not what is mounted on it: that is somebody else's to empty."""
    from . import syscalls

    try:
        return syscalls.openat2(directory, name, _DIRECTORY, 0, syscalls.RESOLVE_NO_XDEV)
    except OSError as error:
        raise OSError(EBUSY if error.errno == EXDEV else error.errno, "", name) from None


def _detach(directory: int, name: str) -> None:
    from . import syscalls

    try:
        syscalls.umount2(f"/proc/self/fd/{directory}/{name}", syscalls.MNT_DETACH | 8)  # UMOUNT_NOFOLLOW
    except OSError as error:
        if error.errno not in {EINVAL, EPERM}:  # no mount; or one that is not ours to unmount
            raise
