"""Names inside a root that may be hostile, resolved by the kernel and never leaving it (openat2(2), Linux 5.6).

`root` is a file descriptor (O_PATH) of the root directory. A path is that of the container: absolute or not, it starts
at `root`; symlinks in it resolve as they would inside. What is made is made by file descriptor in a directory that was
opened before: another container that swaps a directory for a symlink meanwhile gets, at worst, a name inside the root.
"""

import posix
from _stat import S_ISCHR
from errno import EINVAL, ELOOP, ENOENT

from pyrunc.errors import PyruncError

from . import syscalls
from .syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

O_PATH = 0o10000000  # not in `posix`; the same on all architectures that use asm-generic/fcntl.h

_NULL = (1, 3)  # /dev/null (Documentation/admin-guide/devices.txt)
_MOST_STEPS = 4096  # a path has no more components; a loop of symlinks to missing names ends here


def open_in(root: int, path: str, flags: int = O_PATH, *, follow: bool = True, symlinks: bool = True) -> int:
    """openat2(2) in `root`; OSError. Without `follow` a final symlink is opened itself (with O_PATH) or refused.

    Without `symlinks` there may be none on the whole way: ELOOP.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if symlinks else RESOLVE_NO_SYMLINKS)
    return syscalls.openat2(root, path or ".", flags | (0 if follow else posix.O_NOFOLLOW), 0, resolve)


def reopen(fd: int, flags: int) -> int:
    """Open for use the very file that the O_PATH descriptor `fd` is open on; OSError.

    By its name in /proc, which must be the host's: before `rootfs.pivot`.
    """
    return posix.open(f"/proc/self/fd/{fd}", flags | posix.O_CLOEXEC)


def is_null(fd: int) -> bool:
    """Whether the descriptor is of a null device, whosever."""
    facts = posix.fstat(fd)
    return S_ISCHR(facts.st_mode) and facts.st_rdev == posix.makedev(*_NULL)


def make_directory(root: int, path: str) -> int:
    """An O_PATH descriptor of the directory `path`, made with its parents (mode 0755 less the umask) where missing."""
    try:
        return open_in(root, path, O_PATH | posix.O_DIRECTORY)
    except FileNotFoundError:
        return _walk(root, path, _directory_at)
    except OSError as error:
        raise PyruncError.from_os(f"open directory `{path}` in the root filesystem", error) from None


def make_file(root: int, path: str) -> int:
    """An O_PATH descriptor of what `path` is, or of an empty file that is made there, with its parents."""
    try:
        return open_in(root, path)
    except FileNotFoundError:
        return _walk(root, path, _file_at)
    except OSError as error:
        raise PyruncError.from_os(f"open `{path}` in the root filesystem", error) from None


def make_parent(root: int, path: str) -> "tuple[int, str]":
    """(O_PATH descriptor of the directory of `path`, made where missing; the last name of `path`)."""
    directory, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise PyruncError(f"`{path}` is not the path of a file")
    return make_directory(root, directory or "/"), name


def _directory_at(parent: int, name: str) -> int:
    posix.mkdir(name, 0o755, dir_fd=parent)
    # Not by the path: what we made, or what somebody put in its place, but never behind a symlink.
    return posix.open(name, O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)


def _file_at(parent: int, name: str) -> int:
    flags = posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_WRONLY | posix.O_CLOEXEC
    posix.close(posix.open(name, flags, 0o644, dir_fd=parent))
    return posix.open(name, O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)


def _walk(root: int, path: str, make_last: "Callable[[int, str], int]") -> int:
    """Go along `path` component by component and make what is missing: directories, and the last one by `make_last`.

    A symlink to something missing is replaced in the path by its target, which is then made, inside the root.
    """
    names, done = components(path), ""
    parent = open_in(root, "/")
    try:
        for _ in range(_MOST_STEPS):
            if not names:
                break  # a symlink to `/` took the place of a name
            name = names.pop(0)
            try:
                here = open_in(root, f"{done}/{name}", O_PATH | (posix.O_DIRECTORY if names else 0))
            except FileNotFoundError:
                try:
                    here = (_directory_at if names else make_last)(parent, name)
                except FileExistsError:
                    target = _link_target(parent, name)
                    names[:0] = [name] if target is None else components(target)
                    if target is not None and target.startswith("/"):
                        here = open_in(root, "/")
                        posix.close(parent)
                        parent, done = here, ""
                    continue
            if not names:
                return here
            posix.close(parent)
            parent, done = here, f"{done}/{name}"
    except OSError as error:
        raise PyruncError.from_os(f"make `{path}` in the root filesystem", error) from None
    finally:
        posix.close(parent)
    raise PyruncError(f"make `{path}` in the root filesystem", errno=ELOOP)


def components(path: str) -> list[str]:
    """The names in a path, but for those that mean nothing."""
    return [name for name in path.split("/") if name not in ("", ".")]


def _link_target(parent: int, name: str) -> "str | None":
    """Where the symlink points to; None if it is none (any more): somebody made the missing thing meanwhile."""
    try:
        return posix.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno in {ENOENT, EINVAL}:
            return None
        raise


def null_device() -> int:
    """A detached, read-only copy of the host's /dev/null, seen to be that (CVE-2025-31133): to mask files with. Before
    `rootfs.pivot`. It can be written to all the same, but root of a container cannot give it another mode or owner."""
    try:
        null = syscalls.open_tree(syscalls.AT_FDCWD, "/dev/null", syscalls.OPEN_TREE_CLONE)
        # Private, or what is mounted over a mask would cover the host's.
        syscalls.mount_setattr(null, set_=syscalls.MOUNT_ATTR_RDONLY, propagation=syscalls.MS_PRIVATE)
        genuine = is_null(null)
    except OSError as error:
        raise PyruncError.from_os("open `/dev/null`", error) from None
    if not genuine:
        raise PyruncError("the host's `/dev/null` is not the null device")
    return null


def change_root(root: int) -> None:
    """chroot(2) alone: without a mount namespace there is nothing to pivot."""
    try:
        posix.fchdir(root)
        posix.chroot(".")
        posix.chdir("/")
    except OSError as error:
        raise PyruncError.from_os("chroot into the root filesystem", error) from None
