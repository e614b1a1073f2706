"""New file systems for `mounts[]`: fsopen(2), fsconfig(2), fsmount(2), and what stands in where the kernel says no."""

import posix
from errno import EBUSY, EINVAL, ENODEV, EOPNOTSUPP, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import files, paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.process import processes
from pyrunc.kernel.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    CGROUP2_SUPER_MAGIC,
    FSCONFIG_CMD_RECONFIGURE,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
)

from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .mountoptions import Mount

_MQUEUE_MAGIC = 0x19800202

# By type: (the host's own, its magic number, whether the copy must be read-only). A user namespace may mount these only
# if it owns the network, ipc or cgroup namespace, and proc only where it sees one that is not covered in part.
_STAND_INS = {
    "cgroup2": ("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC, True),  # CVE-2023-25809: never writable
    "mqueue": ("/dev/mqueue", _MQUEUE_MAGIC, False),
    "proc": ("/proc", PROC_SUPER_MAGIC, True),
    "sysfs": ("/sys", SYSFS_MAGIC, True),
}

# What is in them depends on the namespace of this type. (The network's, which sysfs shows, are names and numbers of
# interfaces: engines make that namespace outside of the container's user namespace and mount sysfs all the same.)
_SHOWS = {"mqueue": "ipc", "proc": "pid"}

_LONGEST_VALUE = 255  # bytes that fsconfig(2) takes of a string; what is longer is EINVAL
_LONGEST_DATA = 4095  # bytes that mount(2) takes of its data; what is longer is cut

# What would let the kernel mount a new one, for the error where the host has none to stand in.
_NEEDS = {
    "cgroup2": "the container needs a cgroup namespace of its own",
    "mqueue": "the container needs an ipc namespace of its own",
    "proc": "the container needs a pid namespace of its own, and a /proc here that nothing covers",
    "sysfs": "the container needs a network namespace of its own",
}

_UNLABELLED = ("proc", "sysfs", "cgroup2", "mqueue")  # these take no context= option


def create(
    mount: "Mount", covered: int, root: int, *, existed: bool, apart: "Collection[str]", of_children: bool = False
) -> int:
    """The detached mount of a new file system; `covered` is its destination, in `root`, that `existed` before.
    apart, of_children: see `mounts.attach`."""
    options = mount.options
    # The unified hierarchy also on hosts with version 1: the container's cgroup is made there, and a writable
    # version 1 hierarchy would offer release_agent (CVE-2022-0492).
    kind = "cgroup2" if mount.kind == "cgroup" else mount.kind
    words = list(options.data)
    if kind == "tmpfs" and existed and not any(word.startswith("mode=") for word in words):
        words.append(f"mode={posix.fstat(covered).st_mode & 0o7777:o}")
    if mount.label and kind not in _UNLABELLED:
        words.append(f"{mount.label_option}={mount.label}")
    if kind == "cgroup2" and "cgroup" not in apart:
        words += [word for word in _options_of_the_hierarchy() if word not in words]
    copy = kind == "tmpfs" and options.tmpcopyup and existed
    if takes_mount2(mount):
        if mount.mapping is not None or copy:
            what = "cannot make an id-mapped mount" if mount.mapping is not None else "shows the mount too early"
            raise mount.refusal(f"its options are so long that they need mount(2), which {what}")
        return _mount_classic(mount, kind, words, covered, root)
    try:
        tree = _new(mount, kind, words, of_children=of_children)
    except PyruncError as error:
        if error.errno not in {EPERM, EBUSY} or kind not in _STAND_INS:
            raise
        if kind == "cgroup2" and "cgroup" in apart:
            raise  # the host's hierarchy would show what that namespace hides
        if error.errno == EPERM and posix.geteuid() == 0 and idmap.is_initial():
            raise  # user_namespaces(7) forbids nothing to root of the host: a security module does, and is not evaded
        return _stand_in(mount, kind, error, apart)
    if copy:
        _copy_up(mount, covered, tree)
    if mount.label and kind == "mqueue":
        _label(mount, tree)
    return tree


def _options_of_the_hierarchy() -> list[str]:
    """Those of the unified hierarchy, such as nsdelegate: all its mounts have the same, and one that is made from the
    host's cgroup namespace sets them anew (apply_cgroup_root_flags() in kernel/cgroup/cgroup.c of Linux)."""
    for line in files.read("/proc/self/mountinfo").split(b"\n"):
        words = line.partition(b" - ")[2].split(b" ")  # type, source, options: proc(5)
        if words[0] == b"cgroup2":
            return [word for word in words[-1].decode().split(",") if word not in {"rw", "ro"}]
    return []


def takes_mount2(mount: "Mount") -> bool:
    """Whether `create` needs mount(2), which places the mount at once: for MS_I_VERSION, the one flag that fsconfig(2)
    has no word for, and for values that are too long for it, such as the layers of an ordinary user's overlay."""
    values = [mount.source, *(word.partition("=")[2] for word in mount.options.data)]
    return mount.options.iversion or any(_size(value) > _LONGEST_VALUE for value in values)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _new(mount: "Mount", kind: str, words: list[str], *, of_children: bool) -> int:
    """fsopen, fsconfig of each word, fsmount."""
    options = mount.options
    context = -1
    try:
        context = procfs.open_of_children() if kind == "proc" and of_children else syscalls.fsopen(kind)
        if mount.source:
            syscalls.fsconfig_string(context, "source", mount.source)
        _configure(context, words, options.superblock[0])
        syscalls.fsconfig_command(context)
        tree = syscalls.fsmount(context, options.attributes[0])
        if options.recursive_set or options.recursive_clear:
            syscalls.mount_setattr(tree, set_=options.recursive_set, clear=options.recursive_clear)
        return tree
    except OSError as error:
        hint = complaint(context)
        if error.errno == ENODEV and context < 0:
            hint = "a bind mount needs the option `bind` or `rbind`"
            if kind != "bind":
                hint = f"this kernel does not know the file system `{kind}`, or its module is not loaded"
        elif error.errno == EINVAL and kind == "devpts" and not hint:
            hint = "is its gid mapped in the user namespace?"
        raise mount.failure(error, hint) from None
    finally:
        if context >= 0:
            posix.close(context)


def _configure(context: int, words: list[str], flags: list[str]) -> None:
    for flag in flags:
        syscalls.fsconfig_flag(context, flag)
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            syscalls.fsconfig_string(context, key, value)
        else:
            syscalls.fsconfig_flag(context, key)


def complaint(context: int) -> str:
    """What the kernel wrote into a file system context, on one line: "tmpfs: Bad value for 'mode'"."""
    lines = []
    while context >= 0:
        try:
            line = posix.read(context, 4096)  # one message a read: "e TEXT", of level e, w or i
        except OSError:  # ENODATA: that was the last one
            break
        lines.append(line.decode("utf-8", "replace").strip()[2:])
    return "; ".join(lines)


def reconfigure(mount: "Mount", target: int) -> None:
    """Change a mounted file system (`remount` without `bind`): only what the options name."""
    on, off = mount.options.superblock
    if not (on or off or mount.options.data):
        return
    try:
        context = syscalls.fspick(target)
    except OSError as error:
        raise mount.failure(error) from None
    with opened(context):
        try:
            _configure(context, list(mount.options.data), on + off)
            syscalls.fsconfig_command(context, FSCONFIG_CMD_RECONFIGURE)
        except OSError as error:
            raise mount.failure(error, complaint(context)) from None


def _mount_classic(mount: "Mount", kind: str, words: list[str], covered: int, root: int) -> int:
    """mount(2), see `takes_mount2`; an O_PATH descriptor of the new mount.

    The destination is given as the working directory, so that no path is looked up. The way to the new mount is the
    path; that nobody has changed it meanwhile is seen by the mount's id, which is none of those that were there.
    """
    options = mount.options
    data = ",".join(_quoted(word) for word in words)
    if _size(data) > _LONGEST_DATA:
        raise mount.refusal(f"its options are longer than {_LONGEST_DATA} bytes")
    before = posix.open(".", paths.O_PATH | posix.O_CLOEXEC)
    try:
        older = {number for number, _, _ in processes.mount_table()}
        posix.fchdir(covered)
        syscalls.mount(mount.source or kind, ".", kind, options.flags, data)
        tree = paths.open_in(root, mount.destination)
        if syscalls.mount_id(tree) in older:
            raise mount.refusal("the destination was changed while it was being mounted")
        if options.recursive_set or options.recursive_clear:
            syscalls.mount_setattr(tree, set_=options.recursive_set, clear=options.recursive_clear)
        return tree
    except OSError as error:
        raise mount.failure(error) from None
    finally:
        posix.fchdir(before)
        posix.close(before)


def _quoted(word: str) -> str:
    """A security context may hold commas, and in mount(2)'s data they are between words."""
    key, _, value = word.partition("=")
    return f'{key}="{value}"' if key.endswith("context") and not value.startswith('"') else word


def _stand_in(mount: "Mount", kind: str, error: PyruncError, apart: "Collection[str]") -> int:
    """A copy of the host's mount of this type, where a new one is not permitted; `error` if there is none that shows
    what the container may see."""
    path, magic, readonly = _STAND_INS[kind]
    error.hint = error.hint or _NEEDS[kind]
    if _SHOWS.get(kind) in apart or (kind == "proc" and not processes.speaks_of_us()):
        raise error
    on, _ = mount.options.attributes
    try:
        tree = syscalls.open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE)
    except OSError:
        raise error from None
    try:
        if syscalls.statfs_type(tree) != magic:
            posix.close(tree)
            if kind != "cgroup2":
                raise error
            return _empty(mount)
        # Read-only on what is below too: /sys brings the cgroup hierarchies along. Nothing is taken off, nor the access
        # time changed: these may be locked.
        on = on & ~MOUNT_ATTR__ATIME | (MOUNT_ATTR_RDONLY if readonly else 0)
        syscalls.mount_setattr(tree, set_=on, recursive=True)
        return tree
    except OSError:
        raise error from None


def _empty(mount: "Mount") -> int:
    """An empty read-only tmpfs: it hides cgroup hierarchies that a read-write bind of /sys would show."""
    try:
        return empty_directory(mount.label)
    except OSError as error:
        raise mount.failure(error) from None


def empty_directory(label: str = "") -> int:
    """A detached, read-only tmpfs with nothing in it; OSError."""
    with opened(syscalls.fsopen("tmpfs")) as context:
        # One inode is the root directory; the second because some kernels count one for themselves.
        words = ["mode=555", "nr_blocks=1", "nr_inodes=2", *([f"context={label}"] if label else [])]
        syscalls.fsconfig_string(context, "source", "tmpfs")
        _configure(context, words, ["ro"])
        syscalls.fsconfig_command(context)
        return syscalls.fsmount(context, 0xF)  # MOUNT_ATTR_RDONLY, NOSUID, NODEV, NOEXEC


def _copy_up(mount: "Mount", covered: int, tree: int) -> None:
    """tmpcopyup: fill a new tmpfs with what it covers."""
    from pyrunc.wings import copyup

    try:
        copyup.copy(covered, tree)
    except OSError as error:
        raise mount.failure(error, "the contents of the destination cannot be copied (tmpcopyup)") from None


def _label(mount: "Mount", tree: int) -> None:
    """SELinux label of the root of a file system that takes no context= option."""
    flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
    try:
        with opened(posix.open(".", flags, dir_fd=tree)) as directory:
            posix.setxattr(directory, "security.selinux", mount.label.encode() + b"\0")
    except OSError as error:
        if error.errno != EOPNOTSUPP:  # no labels here, as in runc
            raise mount.failure(error, "the SELinux label cannot be set") from None
