"""Removal of a directory tree by file descriptor."""

import posix

_EPERM, _EBUSY, _EXDEV, _EINVAL = 1, 16, 18, 22
_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW


def remove(path: str) -> None:
    """Remove a directory and all below it. Mounts in it are detached first, symlinks are removed and not followed.

    OSError, EBUSY, for a mount that may not be detached; what is in it stays as it is.
    """
    fd = posix.open(path, _DIRECTORY)
    try:
        _empty(fd)
    finally:
        posix.close(fd)
    posix.rmdir(path)


def _empty(directory: int) -> None:
    for name in posix.listdir(directory):
        try:
            posix.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            _detach(directory, name)
            below = _open_below(directory, name)
            try:
                _empty(below)
            finally:
                posix.close(below)
            posix.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno != _EBUSY:  # something is mounted on the file
                raise
            _detach(directory, name)
            posix.unlink(name, dir_fd=directory)


def _open_below(directory: int, name: str) -> int:
    """Open a directory of this directory, but not what is mounted on it: that is somebody else's to empty."""
    from . import syscalls

    try:
        return syscalls.openat2(directory, name, _DIRECTORY, 0, syscalls.RESOLVE_NO_XDEV)
    except OSError as error:
        raise OSError(_EBUSY if error.errno == _EXDEV else error.errno, "", name) from None


def _detach(directory: int, name: str) -> None:
    from . import syscalls

    try:
        syscalls.umount2(f"/proc/self/fd/{directory}/{name}", syscalls.MNT_DETACH | 8)  # UMOUNT_NOFOLLOW
    except OSError as error:
        if error.errno not in {_EINVAL, _EPERM}:  # no mount; or one that is not ours to unmount
            raise
