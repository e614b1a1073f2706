"""The directories of CRIU's images and of its log.

CRIU writes files of known names into them, as root, and through symbolic links. Whoever can put one there chooses the
file that is overwritten; and whoever can change an image chooses what a restored process may do.
"""

import posix
from _stat import S_ISLNK

from pyrunc.errors import PyruncError

_HINT = "criu writes there as root: use a directory that is owned by root, or let pyrunc make it"


class Directories:
    """Both of them, open; `fds` are what criu has to inherit. trusted: the uids that may own them.

    make: that of the images, too. Raises PyruncError if one is missing, or another than those could write into it.
    """

    __slots__ = ("fds", "images", "images_fd", "work", "work_fd")

    def __init__(self, images: str, work: str, trusted: "tuple[int, ...]", *, make: bool) -> None:
        self.images, self.work = images, work
        self.images_fd = _open(images, trusted, make=make)
        self.work_fd = _open(work, trusted, make=True)
        self.fds = (self.images_fd, self.work_fd)


def _open(path: str, trusted: "tuple[int, ...]", *, make: bool) -> int:
    try:
        if make and not posix.access(path, posix.F_OK):
            posix.mkdir(path, 0o700)  # what is in it is what was in memory: keys, passwords
        by_name = posix.stat(path, follow_symlinks=False)
        fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        _check_owner(path, by_name, trusted)
        _check_owner(path, posix.fstat(fd), trusted)
        _check_links(path, fd)
    except OSError as error:
        raise PyruncError.from_os(f"open the directory `{path}`", error) from None
    return fd


def _check_owner(path: str, facts: "posix.stat_result", trusted: "tuple[int, ...]") -> None:
    is_link = S_ISLNK(facts.st_mode)
    if facts.st_uid not in trusted:
        what = "symbolic link" if is_link else "directory"
        raise PyruncError(f"the {what} `{path}` belongs to uid {facts.st_uid}", hint=_HINT)
    # Also into one like /tmp: there nobody can replace another's file, but make one of a name that is to come.
    if facts.st_mode & 0o022 and not is_link:
        raise PyruncError(f"others may write into the directory `{path}`", hint=_HINT)


def _check_links(path: str, fd: int) -> None:
    """`parent` is one that CRIU makes itself, and leads to the images of a --pre-dump."""
    for name in posix.listdir(fd):
        if name != "parent" and S_ISLNK(posix.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            raise PyruncError(f"`{path}/{name}` is a symbolic link", hint="criu would write through it")
