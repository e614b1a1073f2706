"""Removal of a directory tree by file descriptor."""

import posix


def remove(path: str) -> None:
    """Remove a directory and all below it. Mounts in it are detached first, symlinks are removed and not followed."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        _empty(fd, path)
    finally:
        posix.close(fd)
    posix.rmdir(path)


def _empty(directory: int, path: str) -> None:
    for name in posix.listdir(directory):
        try:
            posix.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            remove_at = f"{path}/{name}"
            _detach(remove_at)
            remove(remove_at)
        except OSError as error:
            if error.errno != 16:  # EBUSY: something is mounted on the file
                raise
            _detach(f"{path}/{name}")
            posix.unlink(name, dir_fd=directory)


def _detach(path: str) -> None:
    from . import syscalls

    try:
        syscalls.umount2(path, syscalls.MNT_DETACH | 8)  # UMOUNT_NOFOLLOW
    except OSError as error:
        if error.errno not in {22, 1}:  # EINVAL: no mount; EPERM: not ours to unmount, and rmdir will say so
            raise
