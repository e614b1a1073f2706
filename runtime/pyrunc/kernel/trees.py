"""Removal of a directory tree by file descriptor."""

import posix

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW


def remove(path: str) -> None:
    """Remove a directory and all below it. Mounts in it are detached first, symlinks are removed and not followed."""
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
            below = posix.open(name, _DIRECTORY, dir_fd=directory)
            try:
                _empty(below)
            finally:
                posix.close(below)
            posix.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno != 16:  # EBUSY: something is mounted on the file
                raise
            _detach(directory, name)
            posix.unlink(name, dir_fd=directory)


def _detach(directory: int, name: str) -> None:
    from . import syscalls

    try:
        syscalls.umount2(f"/proc/self/fd/{directory}/{name}", syscalls.MNT_DETACH | 8)  # UMOUNT_NOFOLLOW
    except OSError as error:
        if error.errno not in {22, 1}:  # EINVAL: no mount; EPERM: not ours to unmount, and rmdir will say so
            raise
