"""The container's root: bound on itself, made the root by pivot_root, closed off by masks. By file descriptor.

The order of a container's life: prepare, mounts.attach, devices, pivot (or another), mask, protect, make_readonly,
set_propagation.
"""

import posix
from _stat import S_ISDIR
from errno import EINVAL, ENOENT, ENOTDIR, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.paths import O_PATH
from pyrunc.kernel.process import processes
from pyrunc.kernel.syscalls import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_MOVE,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    OPEN_TREE_CLONE,
)

from . import filesystems, mountoptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .mountoptions import Mount


def prepare(path: str, propagation: str = "", *, private: bool = True) -> int:
    """Bind the root filesystem on itself, in a new mount namespace; an O_PATH descriptor of that mount.

    propagation: the word of `linux.rootfsPropagation`, "" for rslave: mounts of the host come in, none go out. Here it
    says what our copies of the host's mounts are to those of the host; `set_propagation` gives the root its type later.
    With "" the root itself is private, as in the peers: what the host mounts in its directory does not come in.
    private: False without a mount namespace of our own: then nothing is mounted, the directory is only opened.
    """
    kind = mountoptions.propagation_of_copies(propagation)
    try:
        directory = posix.open(path, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        if not private:
            return directory
        top = posix.open("/", O_PATH | posix.O_CLOEXEC)
        syscalls.mount_setattr(top, propagation=kind & ~MS_REC, recursive=bool(kind & MS_REC))
        posix.close(top)
        if kind & MS_SHARED:
            _make_parent_private(directory)
        # With all that is mounted below: a bundle may have its root filesystem made of mounts.
        root = syscalls.open_tree(directory, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH)
        if not propagation:
            syscalls.mount_setattr(root, propagation=MS_PRIVATE)
        syscalls.move_mount(root, directory)
        posix.close(directory)
        return root
    except OSError as error:
        raise PyruncError.from_os(f"root filesystem `{path}`", error) from None


def _make_parent_private(directory: int) -> None:
    """Make the mount that holds the root filesystem private, or pivot_root(2) refuses and our mounts reach the host."""
    wanted = syscalls.mount_id(directory)
    point = next((point for number, _, point in processes.mount_table() if number == wanted), "/")
    with opened(posix.open(point, O_PATH | posix.O_CLOEXEC)) as mount:
        syscalls.mount_setattr(mount, propagation=MS_PRIVATE)


def set_propagation(root: int, word: str) -> None:
    """Set the propagation type of the mount that `root` is the top of, and below it if the word starts with r."""
    kind = mountoptions.propagation(word)
    try:
        syscalls.mount_setattr(root, propagation=kind & ~MS_REC, recursive=bool(kind & MS_REC))
    except OSError as error:
        raise PyruncError.from_os(f"set the propagation of the root to `{word}`", error) from None


def keep_propagation(root: int, word: str, mounts: "tuple[Mount, ...]", ours: "dict[int, str]") -> None:
    """Give mounts the propagation type again that their own options ask for, if `set_propagation` has just changed it.

    ours: `Attached.names`; what lies at a destination and is not among them is left alone.
    """
    if not mountoptions.propagation(word) & MS_REC:
        return
    for mount in mounts:
        if not mount.options.propagation:
            continue
        try:
            with opened(paths.open_in(root, mount.name, O_PATH)) as found:
                for kind in mount.options.propagation if syscalls.mount_id(found) in ours else ():
                    syscalls.mount_setattr(found, propagation=kind & ~MS_REC, recursive=bool(kind & MS_REC))
        except OSError as error:
            raise mount.failure(error, "its propagation could not be set back") from None


def make_readonly(root: int) -> None:
    """Make the root mount read-only; what is mounted below it stays as it is."""
    try:
        syscalls.mount_setattr(root, set_=MOUNT_ATTR_RDONLY)
    except OSError as error:
        raise PyruncError.from_os("make the root filesystem read-only", error) from None


def pivot(root: int) -> None:
    """Make `root` the root directory and detach the host's; the working directory is the new root."""
    try:
        old = posix.open("/", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        posix.fchdir(root)
        # The old root is put over the new one, so that no directory has to be made for it (pivot_root(2), NOTES).
        syscalls.pivot_root(".", ".")
        posix.fchdir(old)
        # Or the detaching would propagate to the host.
        syscalls.mount_setattr(old, propagation=MS_SLAVE, recursive=True)
        syscalls.umount2(".", MNT_DETACH)
        posix.close(old)
        posix.chdir("/")
    except OSError as error:
        raise PyruncError.from_os("pivot_root into the root filesystem", error) from None


def move_root(root: int) -> None:
    """The way of `--no-pivot`, for a host that runs from an initramfs: move the mount to `/`, then chroot.

    The host's proc and sysfs are detached before, or covered where they are locked: whoever gets out of the chroot, or
    mounts in a user namespace of its own, must not find one that nothing covers. runc does the same.
    """
    try:
        inside = posix.readlink(f"/proc/self/fd/{root}") + "/"
        for _, kind, point in reversed(processes.mount_table()):
            if kind in ("proc", "sysfs") and not point.startswith(inside):
                _hide(point)
        posix.fchdir(root)
        syscalls.mount(".", "/", None, MS_MOVE)
    except OSError as error:
        raise PyruncError.from_os("move the root filesystem to `/`", error) from None
    paths.change_root(root)


def _hide(point: str) -> None:
    """Detach a mount of the host, in our namespace only; cover it where it is locked."""
    with opened(posix.open(point, O_PATH | posix.O_CLOEXEC)) as mount:
        # With what is below, or that would go from the host as well, if the root is to be shared.
        syscalls.mount_setattr(mount, propagation=MS_PRIVATE, recursive=True)
        try:
            syscalls.umount2(point, MNT_DETACH)
        except OSError as error:
            if error.errno not in {EPERM, EINVAL}:  # came with the user namespace, cannot be taken off
                raise
            tree = filesystems.empty_directory()
            syscalls.move_mount(tree, mount)
            posix.close(tree)


def mounts_at(path: str) -> "list[tuple[int, str]]":
    """(mount id, mount point) of all that is mounted at and below `path`, the last one first."""
    table = reversed(processes.mount_table())
    return [(number, point) for number, _, point in table if point == path or point.startswith(path + "/")]


def without_namespace(path: str) -> "tuple[str, list[int]]":
    """(the root filesystem as the mount table names it, ids of the mounts at and below it), for `detach` later."""
    try:
        directory = posix.open(path, O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise PyruncError.from_os(f"root filesystem `{path}`", error) from None
    path = posix.readlink(f"/proc/self/fd/{directory}")
    posix.close(directory)
    return path, [number for number, _ in mounts_at(path)]


def detach(path: str, before: "list[int]") -> None:
    """Detach what is mounted at and below `path`, for a container that had no mount namespace of its own.

    before: ids of the mounts that were there before the container: they are the engine's. A mount is known by its id,
    not by its path: another container that shares a volume may put a symlink to the host's mounts into the way. Where
    one is there just now, or another mount above, the mount is met in a later round.
    """
    with opened(posix.open("/", O_PATH | posix.O_CLOEXEC)) as top:
        for _ in range(_MOST_ROUNDS):
            ours = [mount for mount in mounts_at(path) if mount[0] not in before]
            failures = [failure for number, point in ours if (failure := _detach(top, number, point))]
            if not failures:
                return
        raise failures[0]


_MOST_ROUNDS = 256


def _detach(top: int, number: int, point: str) -> "PyruncError | None":
    """Detach the mount of this id, if the path leads to it; why not, if it does not."""
    try:
        with opened(paths.open_in(top, point, O_PATH, symlinks=False)) as mount:
            if syscalls.mount_id(mount) != number:
                return PyruncError(f"detach `{point}`: another mount is there")
            syscalls.umount2(f"/proc/self/fd/{mount}", MNT_DETACH)
    except OSError as error:
        return PyruncError.from_os(f"detach `{point}`", error)
    return None


def mask(root: int, masked: "tuple[str, ...] | list[str]", null: int, label: str) -> None:
    """`linux.maskedPaths`: cover files with `null` (`paths.null_device`), directories with one empty read-only tmpfs.

    label: SELinux context of that tmpfs, "" for none. A path that does not exist is no error: the kernel may lack it.
    """
    file_cover, directory_cover = _Cover(null), None
    covers: set[int] = set()  # engines and users name a path twice: one mount is enough
    for path in masked:
        target = _open_existing(root, path, "mask")
        if target is None:
            continue
        try:
            with opened(target):
                if syscalls.mount_id(target) in covers:
                    continue
                if S_ISDIR(posix.fstat(target).st_mode):
                    directory_cover = directory_cover or _Cover(filesystems.empty_directory(label))
                    covers.add(directory_cover.put(root, path, target))
                else:
                    covers.add(file_cover.put(root, path, target))
        except OSError as error:
            raise PyruncError.from_os(f"mask `{path}`", error) from None
    if directory_cover:
        posix.close(directory_cover.tree)


def protect(root: int, readonly: "tuple[str, ...] | list[str]") -> None:
    """`linux.readonlyPaths`: a read-only bind of each path on itself, with what is mounted below. None need exist."""
    for path in readonly:
        target = _open_existing(root, path, "make read-only")
        if target is None:
            continue
        flags = OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH
        try:
            with opened(target), opened(syscalls.open_tree(target, "", flags)) as tree:
                syscalls.mount_setattr(tree, set_=MOUNT_ATTR_RDONLY, recursive=True)
                _put(root, path, tree, target)
        except OSError as error:
            raise PyruncError.from_os(f"make `{path}` read-only", error) from None


class _Cover:
    """A mount that goes onto many places: the first time itself, then copies.

    A detached mount cannot be copied before Linux 6.15, an attached one can.
    """

    __slots__ = ("attached", "tree")

    def __init__(self, tree: int) -> None:
        self.tree, self.attached = tree, False

    def put(self, root: int, path: str, target: int) -> int:
        """Cover what `target` is open on; the id of the mount that does."""
        if not self.attached:
            self.attached = True
            return _put(root, path, self.tree, target)
        with opened(syscalls.open_tree(self.tree, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)) as tree:
            return _put(root, path, tree, target)


def _put(root: int, path: str, tree: int, target: int) -> int:
    """Move a mount onto the target and see that the path now leads to it; its id."""
    syscalls.move_mount(tree, target)
    found = _open(root, path)
    there, number = syscalls.mount_id(found), syscalls.mount_id(tree)
    posix.close(found)
    if there != number:
        raise PyruncError(f"`{path}` was changed while it was being covered")
    return number


def _open(root: int, path: str) -> int:
    # In /proc and /sys a symlink on the way is an attack (CVE-2023-27561): the path is the kernel's. Elsewhere it is
    # the image's layout (/var/run).
    symlinks = path.strip("/").partition("/")[0] not in ("proc", "sys")
    return paths.open_in(root, path, symlinks=symlinks)


def _open_existing(root: int, path: str, verb: str) -> "int | None":
    try:
        return _open(root, path)
    except OSError as error:
        if error.errno in {ENOENT, ENOTDIR}:  # nothing to hide
            return None
        raise PyruncError.from_os(f"{verb} `{path}`", error) from None
