"""Copy of a directory's contents into a new tmpfs, by file descriptor (the mount option tmpcopyup)."""

import posix
from _stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from errno import ENODATA, ENXIO, EOPNOTSUPP

from pyrunc.errors import PyruncError
from pyrunc.kernel import paths
from pyrunc.kernel.descriptors import opened

_DEEPEST = 256  # directories; a descriptor pair and a stack frame each
_CHUNK = 1 << 30

_LOOK = paths.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
_READ_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def copy(source: int, destination: int) -> None:
    """Copy all below the directory `source` into `destination`, which stays as it is; OSError.

    Both are O_PATH descriptors. Kept are mode, owner, times, and the extended attributes of files and directories that
    the tmpfs takes. Hard links become files of their own.
    """
    with (
        opened(posix.open(".", _READ_DIRECTORY, dir_fd=source)) as one,
        opened(posix.open(".", _READ_DIRECTORY, dir_fd=destination)) as other,
    ):
        _directory(one, other, 0)


def _directory(source: int, destination: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise PyruncError(f"a directory is more than {_DEEPEST} levels deep (tmpcopyup)")
    for name in posix.listdir(source):
        facts = posix.stat(name, dir_fd=source, follow_symlinks=False)
        kind = S_IFMT(facts.st_mode)
        if kind == S_IFLNK:
            posix.symlink(posix.readlink(name, dir_fd=source), name, dir_fd=destination)
            posix.chown(name, facts.st_uid, facts.st_gid, dir_fd=destination, follow_symlinks=False)
        elif kind == S_IFDIR:
            posix.mkdir(name, 0o700, dir_fd=destination)
            _pair((source, destination), name, (_READ_DIRECTORY, _READ_DIRECTORY), depth + 1)
        elif kind == S_IFREG:
            writing = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
            _pair((source, destination), name, (_LOOK, writing), depth)
        else:
            posix.mknod(name, facts.st_mode, facts.st_rdev, dir_fd=destination)
            posix.chown(name, facts.st_uid, facts.st_gid, dir_fd=destination, follow_symlinks=False)
            posix.chmod(name, facts.st_mode & 0o7777, dir_fd=destination)
    if depth:
        _attributes(source, destination)


def _pair(parents: "tuple[int, int]", name: str, flags: "tuple[int, int]", depth: int) -> None:
    """Copy one file or directory of this name; both sides of it are opened with these flags."""
    with (
        opened(posix.open(name, flags[0], dir_fd=parents[0])) as one,
        opened(posix.open(name, flags[1], 0o600, dir_fd=parents[1])) as other,
    ):
        kind = S_IFMT(posix.fstat(one).st_mode)
        if kind == S_IFDIR:
            _directory(one, other, depth)
        elif kind == S_IFREG:
            _file(one, other)


def _file(looked_at: int, destination: int) -> None:
    """Copy a regular file, which is opened only now: by its name it could be a device by now, which acts on that.

    Its holes stay holes, or a file of an image could take all memory. A file that grows meanwhile is copied as it was.
    """
    with opened(paths.reopen(looked_at, posix.O_RDONLY)) as source:
        end = posix.fstat(source).st_size
        start = _seek(source, 0, posix.SEEK_DATA, end)
        while start < end:
            stop = _seek(source, start, posix.SEEK_HOLE, end)
            posix.lseek(destination, start, 0)  # SEEK_SET
            while start < stop and (count := posix.sendfile(destination, source, start, min(stop - start, _CHUNK))):
                start += count
            start = _seek(source, stop, posix.SEEK_DATA, end)
        posix.ftruncate(destination, end)
        _attributes(source, destination)


def _seek(source: int, start: int, whence: int, end: int) -> int:
    """lseek(2) with SEEK_DATA or SEEK_HOLE; `end` where there is no more."""
    try:
        return posix.lseek(source, start, whence)
    except OSError as error:
        if error.errno == ENXIO:
            return end
        raise


def _attributes(source: int, destination: int) -> None:
    """Owner, extended attributes, mode and times; in this order: chown clears set-id bits and capabilities."""
    facts = posix.fstat(source)
    posix.fchown(destination, facts.st_uid, facts.st_gid)
    for name in _attribute_names(source):
        try:
            posix.setxattr(destination, name, posix.getxattr(source, name))
        except OSError as error:
            if error.errno not in {ENODATA, EOPNOTSUPP}:  # gone meanwhile; user.* needs Linux 6.6
                raise
    posix.fchmod(destination, facts.st_mode & 0o7777)
    posix.utime(destination, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _attribute_names(source: int) -> list[str]:
    try:
        return posix.listxattr(source)
    except OSError as error:
        if error.errno == EOPNOTSUPP:  # a file system without them
            return []
        raise
