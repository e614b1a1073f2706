"""`mounts[]` of config.json: each one made detached, then moved onto a file descriptor of its destination.

Nothing here hands the kernel a path string into the root filesystem but relative to a descriptor (openat2), so that a
destination which is swapped for a symlink meanwhile never leads out (CVE-2021-30465, CVE-2019-19921). Needs Linux 5.12.
"""

import posix
from _stat import S_IFDIR, S_IFLNK, S_IFMT, S_ISDIR, S_ISLNK
from errno import EINVAL, ELOOP, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.paths import O_PATH
from pyrunc.kernel.process import processes
from pyrunc.kernel.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    AT_SYMLINK_NOFOLLOW,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_REC,
    OPEN_TREE_CLONE,
    PROC_SUPER_MAGIC,
)
from pyrunc.words import MOUNTABLE_BELOW_PROC

from . import filesystems
from .mountoptions import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


    _Names = dict[str, "_Names"]  # by components; "" is where a name ends. Comparing each with each would be quadratic

_INSIDE_PROC = "this must not be mounted over, it is inside /proc"

_PROC_ROOT_INODE = 1


class Attached:
    """What `attach` has made, known by more than its path, which the image or others may lead elsewhere meanwhile.

    names: mount id -> destination as the configuration has it; unsealed: (descriptor, mount) of those to make read-only
    """

    __slots__ = ("names", "unsealed")

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.unsealed: list[tuple[int, Mount]] = []

    def note(self, number: int, mount: "Mount") -> None:
        """The mount of this id is that one."""
        parts: list[str] = []
        for part in mount.name.split("/"):
            if part == "..":
                del parts[-1:]
            else:
                parts.append(part)
        self.names[number] = "/".join(parts)

    def seal(self) -> None:
        """Make read-only what is to be, now that it is filled."""
        for tree, mount in self.unsealed:
            try:
                syscalls.mount_setattr(tree, set_=MOUNT_ATTR_RDONLY)
            except OSError as error:
                raise mount.failure(error) from None
            posix.close(tree)
        self.unsealed.clear()


def detach(mount: Mount, propagation: int = 0, root: int = -1, userns: int = -1) -> int:
    """A detached copy of a bind mount's source, an O_PATH descriptor; the source is a path of this mount namespace, or
    in `root` if it is in an earlier mount.

    For `attach(source_fd=...)` when the process that attaches cannot reach the source: in a new user namespace it has
    no right to pass directories that only the caller may search.
    propagation: MS_SLAVE and the like, with MS_REC, for a copy that is made in the host's mount namespace: it would
    stay a peer of what was copied, and what is mounted or unmounted below it would be on the host as well.
    userns: for an id-mapped mount the user namespace that has its maps (`MountMap.open`).
    """
    options = mount.options
    flags = OPEN_TREE_CLONE
    if options.recursive:
        flags |= AT_RECURSIVE
    if options.src_nofollow or options.copy_symlink:
        flags |= AT_SYMLINK_NOFOLLOW
    try:
        if root >= 0 and mount.earlier:
            source = paths.open_in(root, mount.earlier, follow=not flags & AT_SYMLINK_NOFOLLOW)
            tree = syscalls.open_tree(source, "", flags & ~AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
            posix.close(source)
        else:
            tree = syscalls.open_tree(AT_FDCWD, mount.source, flags)
    except OSError as error:
        if error.errno == EINVAL and not options.recursive:  # has_locked_children() in fs/namespace.c
            hint = "in a user namespace what is covered by mounts below the source must stay covered: use `rbind`"
        else:
            hint = "the source cannot be opened"
        raise mount.failure(error, hint) from None
    if propagation:
        try:
            _propagate(tree, propagation)
        except OSError as error:
            raise mount.failure(error) from None
    _map_ids(mount, tree, userns)
    return tree


def keep_locked(mount: Mount, tree: int) -> "tuple[int, str]":
    """Which flags of the source the container, in a user namespace, has to leave: MS_*, for `attach`; and the words for
    those that its options would take off.

    The kernel locks them where a mount comes into a namespace of less privilege (mount_namespaces(7)), but not one that
    is attached from a descriptor: then `rw` of the container would undo what the host has. ConfigError for `rrw` and
    the like, which are nobody's default.
    """
    options, flags = mount.options, syscalls.mount_flags(tree)
    names = {1: "read-only", 2: "nosuid", 4: "nodev", 8: "noexec"}  # ST_*, MS_* and MOUNT_ATTR_* are the same here
    wanted = options.recursive_clear & _LOCKED
    if wanted & flags or (wanted and options.recursive and wanted & _flags_below(mount.source)):
        raise mount.refusal("the source has flags that are locked in a user namespace")
    kept = [name for flag, name in names.items() if flags & options.cleared & flag]
    return flags & _LOCKED, ", ".join(kept)


_LOCKED = 0xF


def _flags_below(source: str) -> int:
    """Which of these flags something has that is mounted below a path; all of them where that cannot be seen."""
    flags = 0
    try:
        top = posix.open(source, O_PATH | posix.O_CLOEXEC)
        path = posix.readlink(f"/proc/self/fd/{top}").rstrip("/")
        posix.close(top)
        for _, _, point in processes.mount_table():
            if point.startswith(f"{path}/"):
                mounted = posix.open(point, O_PATH | posix.O_CLOEXEC)
                flags |= syscalls.mount_flags(mounted)
                posix.close(mounted)
    except OSError:
        return _LOCKED
    return flags


def _map_ids(mount: Mount, tree: int, userns: int) -> None:
    """Give a detached mount its id mapping (mount_setattr(2), MOUNT_ATTR_IDMAP). Not later: once it can be seen, the
    kernel says EINVAL."""
    mapping = mount.mapping
    if mapping is None:
        return
    try:
        syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_IDMAP, recursive=mapping.recursive, userns=userns)
    except OSError as error:
        raise mount.failure(error, _MAPPING_HINTS.get(error.errno or 0, "")) from None


_MAPPING_HINTS = {
    EPERM: "only root of the user namespace that owns the file system can id-map it, and only once",
    EINVAL: "the file system cannot be id-mapped by this kernel (tmpfs can since Linux 6.3)",
}


def attach(
    root: int,
    mount: Mount,
    attached: Attached,
    *,
    source_fd: int = -1,
    locked: int = 0,
    userns: int = -1,
    apart: "Collection[str]" = (),
    of_children: bool = False,
) -> None:
    """Make one mount in the root filesystem `root`, with its destination where that is missing; `attached` notes it.

    apart: the types of the namespaces in which the container is and the runtime is not.

    source_fd: what `detach` gave, in whatever mount namespace; it stays open. locked: what `keep_locked` gave for it.

    userns: as for `detach`.

    of_children: whether a new procfs is one of the pid namespace that only this process' children are in.
    """
    options, name = mount.options, mount.name
    if options.remount or not (options.bind or mount.kind):
        _change(root, mount, name, attached)
        return
    if not name:
        raise mount.refusal("the root file system is set by root.path and cannot be mounted over")
    if not options.bind:
        target, existed = _target(root, mount, name, directory=True)
        with opened(target):
            tree = filesystems.create(mount, target, root, existed=existed, apart=apart, of_children=of_children)
            with opened(tree):
                _map_ids(mount, tree, userns)
                placed = filesystems.takes_mount2(mount)
                attached.note(_place(root, mount, name, tree, None if placed else target), mount)
                if mount.sealed:
                    attached.unsealed.append((posix.dup(tree), mount))
        return
    if options.data:
        raise mount.refusal(f"a bind mount does not take file system options (`{options.data[0]}`)")
    if source_fd >= 0:
        _bind(root, mount, name, source_fd, attached, locked)
        return
    with opened(detach(mount, userns=userns)) as tree:
        _bind(root, mount, name, tree, attached)


def _bind(  # noqa: PLR0917  (as `attach` has them)
    root: int, mount: Mount, name: str, tree: int, attached: Attached, locked: int = 0
) -> None:
    """Put `tree`, a detached copy of the source, onto the destination."""
    kind = S_IFMT(posix.fstat(tree).st_mode)
    if kind == S_IFLNK and mount.options.copy_symlink:
        _copy_symlink(root, mount, name, posix.readlink("", dir_fd=tree))
        return
    set_attributes(mount, tree, locked)
    target, _ = _target(root, mount, name, directory=kind == S_IFDIR)
    with opened(target):
        if name == "proc" and not _is_proc(tree):
            raise mount.refusal("only a proc file system can be mounted there")
        attached.note(_place(root, mount, name, tree, target), mount)


def set_attributes(mount: Mount, tree: int, locked: int = 0) -> None:
    """Set what the options say on a detached mount. Flags that no option names, and those `locked`, stay as the source
    has them.

    So the kernel's locked flags (nosuid, nodev, noexec, ro, atime of a mount from outside the user namespace) stay.
    They also win over a word that would take them off: podman says `rw` of every volume; crun and runc go on as well.
    """
    options = mount.options
    on, off = options.attributes
    off &= ~locked
    try:
        if on or off:
            try:
                syscalls.mount_setattr(tree, set_=on, clear=off)
            except PermissionError:
                syscalls.mount_setattr(tree, set_=on, clear=_clear_unlocked(tree, off))
        if options.recursive_set or options.recursive_clear:
            syscalls.mount_setattr(tree, set_=options.recursive_set, clear=options.recursive_clear, recursive=True)
    except OSError as error:
        hint = "the source has flags that are locked in a user namespace" if error.errno == EPERM else ""
        raise mount.failure(error, hint) from None


def _clear_unlocked(tree: int, off: int) -> int:
    """Clear, one by one, the flags that can be locked (can_change_locked_flags() in fs/namespace.c of Linux) and are
    not; the rest of them, which is still to be cleared."""
    for attribute in _LOCKABLE:
        if off & attribute:
            try:  # noqa: SIM105  (contextlib costs a millisecond of start-up)
                syscalls.mount_setattr(tree, clear=attribute)
            except PermissionError:
                pass  # locked: stays
            off &= ~attribute
    return off


_LOCKABLE = (MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC)


def _is_proc(tree: int) -> bool:
    return syscalls.statfs_type(tree) == PROC_SUPER_MAGIC and posix.fstat(tree).st_ino == _PROC_ROOT_INODE


def _target(root: int, mount: Mount, name: str, *, directory: bool) -> "tuple[int, bool]":
    """(O_PATH descriptor of the destination, whether it was there); made as a directory or file if it was not."""
    if name.startswith("proc/") and f"/{name}" not in MOUNTABLE_BELOW_PROC:
        raise mount.refusal(_INSIDE_PROC)
    existed = True
    try:
        try:
            target = _open(root, mount, name)
        except FileNotFoundError:
            existed = False
            posix.close((paths.make_directory if directory else paths.make_file)(root, name))
            target = _open(root, mount, name)
    except PyruncError as error:
        raise error.about(mount.pointer) from None
    except OSError as error:
        if error.errno == ELOOP and not _may_be_symlink(mount, name):
            raise mount.refusal("it must be mounted on ordinary directory, not behind a symlink") from None
        raise mount.failure(error, "the destination cannot be opened") from None
    why = ""
    if name != "proc" and f"/{name}" not in MOUNTABLE_BELOW_PROC and syscalls.statfs_type(target) == PROC_SUPER_MAGIC:
        why = _INSIDE_PROC  # a symlink in the image leads there under another name
    elif S_ISDIR(posix.fstat(target).st_mode) != directory:  # move_mount(2) only says EINVAL
        why = "one is a directory, the other is not"
    if why:
        posix.close(target)
        raise mount.refusal(why)
    return target, existed


def _may_be_symlink(mount: Mount, name: str) -> bool:
    """Whether symlinks of the image are followed: not to /proc and /sys (CVE-2023-27561), wherever they are mounted."""
    return name.partition("/")[0] not in ("proc", "sys") and (mount.options.bind or mount.kind not in ("proc", "sysfs"))


def _open(root: int, mount: Mount, name: str, *, follow: bool = True) -> int:
    follow = follow and not mount.options.dest_nofollow
    return paths.open_in(root, name, O_PATH, follow=follow, symlinks=_may_be_symlink(mount, name))


def _place(root: int, mount: Mount, name: str, tree: int, target: "int | None") -> int:
    """Move the detached mount onto the target and see that the destination now is that mount; its id."""
    follow = not S_ISLNK(posix.fstat(tree).st_mode)
    try:
        if target is not None:
            if not follow:  # where the target is: a symlink on the way to it is to be followed, what is mounted is not
                name = _name_of(root, target)
            syscalls.move_mount(tree, target)
        with opened(_open(root, mount, name, follow=follow)) as found:
            there, number = syscalls.mount_id(found), syscalls.mount_id(tree)
        if there != number:
            raise mount.refusal("the destination was changed while it was being mounted")
        # Not before: joining a shared parent would make it shared.
        for kind in mount.options.propagation:
            _propagate(tree, kind)
        return number
    except OSError as error:
        raise mount.failure(error) from None


def _name_of(root: int, target: int) -> str:
    """The path in the root of what a descriptor is open on, if it is in there. OSError."""
    top, path = (posix.readlink(f"/proc/self/fd/{fd}") for fd in (root, target))
    return path.removeprefix(top).lstrip("/")


def _propagate(tree: int, kind: int) -> None:
    """Set a propagation type (MS_SLAVE and the like), with MS_REC of all that is mounted below; OSError."""
    syscalls.mount_setattr(tree, propagation=kind & ~MS_REC, recursive=bool(kind & MS_REC))


def _change(root: int, mount: Mount, name: str, attached: Attached) -> None:
    """Change flags, data or propagation of what is mounted on the destination (`remount`, or only propagation)."""
    options = mount.options
    if not (options.remount or options.propagation):
        raise mount.refusal("it has no type, and is neither a bind mount nor a remount")
    try:
        with opened(_open(root, mount, name or "/")) as target:
            if options.remount and not options.bind:
                filesystems.reconfigure(mount, target)
            set_attributes(mount, target)
            for kind in options.propagation:
                _propagate(target, kind)
            if mount.sealed:
                attached.unsealed.append((posix.dup(target), mount))
    except OSError as error:
        raise mount.failure(error) from None


def _copy_symlink(root: int, mount: Mount, name: str, link: str) -> None:
    """Make the source's symlink at the destination instead of mounting (copy-symlink)."""
    parent, last = paths.make_parent(root, name)
    with opened(parent):
        try:
            posix.symlink(link, last, dir_fd=parent)
        except FileExistsError as error:
            try:
                there = posix.readlink(last, dir_fd=parent)
            except OSError:
                there = ""  # EINVAL: not a symlink
            if there != link:
                raise mount.failure(error, "the destination exists and is not this symlink") from None
        except OSError as error:
            raise mount.failure(error) from None
