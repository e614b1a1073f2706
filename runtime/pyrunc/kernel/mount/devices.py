"""Device nodes, the usual symlinks in /dev, and the console: made by file descriptor of a directory that is no symlink.

An image whose /dev is a symlink to somewhere else gets an error, not nodes there (CVE-2026-41579).
"""

import posix
from _stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_ISLNK, S_ISREG
from errno import EINVAL, ELOOP, ENOENT

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.paths import O_PATH
from pyrunc.kernel.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLONE,
)

from .mounts import Attached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BOUND = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
_FORMATS = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}


class Device:
    """A device node or fifo to be: `linux.devices[]`. kind: c, u, b or p; mode: permission bits; asked: which of
    fileMode, uid and gid the config has, so that they are nobody's default."""

    __slots__ = ("asked", "gid", "kind", "major", "minor", "mode", "path", "pointer", "uid")

    def __init__(  # noqa: PLR0917  a record, built at one place
        self, path: str, kind: str, major: int, minor: int, mode: int, uid: int, gid: int, pointer: str = "",
        asked: "tuple[str, ...]" = (),
    ) -> None:  # fmt: skip
        self.path, self.kind, self.major, self.minor = path, kind, major, minor
        self.mode, self.uid, self.gid, self.pointer = mode, uid, gid, pointer
        self.asked = asked

    def failure(self, error: OSError, doing: str = "make") -> PyruncError:
        """The error of a system call for this device."""
        return PyruncError.from_os(f"{doing} device `{self.path}`", error, pointer=self.pointer)

    def is_that(self, node: int) -> bool:
        """Whether the file that `node` is open on is this device."""
        facts = posix.fstat(node)
        if S_IFMT(facts.st_mode) != _FORMATS[self.kind]:
            return False
        return self.kind == "p" or facts.st_rdev == posix.makedev(self.major, self.minor)

    def require_hosts(self, node: int) -> None:
        """Raise ConfigError unless the host's node of this path, which `node` is open on, is this device."""
        if not self.is_that(node):
            raise ConfigError(f"`{self.path}` of the host is a different device", pointer=self.pointer)

    def mknod(self, directory: int, name: str, mode: int) -> None:
        """mknodat(2); OSError."""
        posix.mknod(name, _FORMATS[self.kind] | mode, posix.makedev(self.major, self.minor), dir_fd=directory)

    def unlike(self, node: int) -> str:
        """The warning for a file that was there before and stays as it is, or "" if that is as it was asked for."""
        facts = posix.fstat(node)
        there = {"fileMode": facts.st_mode & 0o7777, "uid": facts.st_uid, "gid": facts.st_gid}
        wanted = {"fileMode": self.mode, "uid": self.uid, "gid": self.gid}
        keys = [key for key in self.asked if there[key] != wanted[key]]
        if not keys:
            return ""
        shown = {"fileMode": "{:04o}"}
        words = (f"{key} {shown.get(key, '{}').format(there[key])}" for key in keys)
        return f"device `{self.path}` already exists and keeps its {', '.join(words)} ({self.pointer})"


# config-linux.md, "Default Devices"; /dev/console and /dev/ptmx are made by bind_console and link
DEFAULT = tuple(
    Device(f"/dev/{name}", "c", major, minor, 0o666, 0, 0)
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    )
)  # fmt: skip

_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
)


def create(
    root: int, devices: "tuple[Device, ...] | list[Device]", attached: Attached, *, bind: bool = False,
    nodes: "Mapping[Device, int]" = {},  # noqa: B006  (nobody writes to it)
) -> "list[str]":  # fmt: skip
    """Make the default devices and these; of two with one path the later one. attached: the container's mounts.

    bind: where mknod(2) is not permitted (in a user namespace) take the node that was made outside, the descriptor of
    whose mount is in `nodes`, or else the host's of the same path. Before `rootfs.pivot`. Nothing is done if the
    container was given the host's /dev. Warnings.
    """
    if _has_hosts_dev(root):
        return []
    warnings = []
    wanted = {device.path: device for device in DEFAULT}
    wanted.update((device.path, device) for device in devices)
    where, parent, umask = "", -1, posix.umask(0)  # the mode is the config's to say
    try:
        for device in wanted.values():
            directory, _, name = device.path.rpartition("/")
            if name in ("", ".", ".."):
                raise ConfigError(f"`{device.path}` is not a valid device path", pointer=device.pointer)
            if directory != where or parent < 0:
                if parent >= 0:
                    posix.close(parent)
                    parent = -1
                where = directory
                parent = _parent(root, device, directory, attached)
            if bind and device.kind != "p":
                warning = _bind(parent, name, device, nodes.get(device, -1))
            else:
                warning = _make(parent, name, device)
            if warning:
                warnings.append(warning)
    finally:
        posix.umask(umask)
        if parent >= 0:
            posix.close(parent)
    return warnings


def _has_hosts_dev(root: int) -> bool:
    """Whether a mount gave the container the host's own /dev: what is in it must stay as it is, above all ptmx."""
    try:
        directory = paths.open_in(root, "/dev", symlinks=False)
    except OSError:  # what is wrong with it is said where it is used
        return False
    ours, hosts = posix.fstat(directory), posix.stat("/dev")
    posix.close(directory)
    return (ours.st_dev, ours.st_ino) == (hosts.st_dev, hosts.st_ino)


def _parent(root: int, device: Device, directory: str, attached: Attached) -> int:
    """The directory of a device, an O_PATH descriptor."""
    try:
        return _directory(root, directory, attached)
    except PyruncError as error:
        raise error.about(device.pointer) from None
    except OSError as error:
        raise device.failure(error) from None


def _directory(root: int, path: str, attached: Attached) -> int:
    """Open a directory that is reached without symlinks, made where missing. What is to be made in it must not come to
    lie in a volume whose destination is elsewhere, but which a symlink of the image has led here."""
    parts = [part for part in path.split("/") if part]
    for number in range(1, len(parts) + 1):
        above = "/".join(parts[:number])
        directory = _open_directory(root, above)
        name = attached.names.get(syscalls.mount_id(directory), "")
        if not f"{above}/".startswith(f"{name}/" if name else ""):
            posix.close(directory)
            raise PyruncError(f"a symlink in the root filesystem has led the mount on `/{name}` to `/{above}`")
        if number < len(parts):
            posix.close(directory)
    return directory if parts else paths.open_in(root, "/")


def _open_directory(root: int, path: str) -> int:
    try:
        return paths.open_in(root, path, O_PATH | posix.O_DIRECTORY, symlinks=False)
    except FileNotFoundError:
        posix.close(paths.make_directory(root, path))
        return paths.open_in(root, path, O_PATH | posix.O_DIRECTORY, symlinks=False)
    except OSError as error:
        if error.errno == ELOOP:
            raise PyruncError(f"`/{path}` is, or is reached by, a symlink in the root filesystem") from None
        raise


def _make(parent: int, name: str, device: Device) -> str:
    """mknodat(2), or take a node that is there already if it is the same. That one keeps its owner and mode: it may be
    the host's, of a bind mount. A warning if they are not those that are asked for."""
    made = True
    try:
        try:
            device.mknod(parent, name, device.mode)
        except FileExistsError:
            made = False
        except PermissionError:
            if device.kind == "p":
                raise
            return _bind(parent, name, device)
        node = posix.open(name, O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise device.failure(error) from None
    try:
        with opened(node):
            if not device.is_that(node):
                raise _another(device)
            if not made:
                return device.unlike(node)
            _own(node, device)
            return ""
    except OSError as error:
        raise device.failure(error, "set mode and owner of") from None


def _another(device: Device) -> ConfigError:
    return ConfigError(f"`{device.path}` exists and is a different device", pointer=device.pointer)


def _own(node: int, device: Device) -> None:
    """Set owner and mode of the very node that was looked at, where they differ.

    An O_PATH descriptor can be changed only by its name in /proc, which is the host's before `rootfs.pivot`; the name
    in the directory could be another file by now.
    """
    facts, name = posix.fstat(node), f"/proc/self/fd/{node}"
    if (facts.st_uid, facts.st_gid) != (device.uid, device.gid):
        posix.chown(name, device.uid, device.gid)
    if facts.st_mode & 0o7777 != device.mode:
        posix.chmod(name, device.mode)


def _bind(parent: int, name: str, device: Device, made: int = -1) -> str:
    """Mount the node that was `made` outside, or the host's of the same path, onto an empty file. A warning if mode and
    owner of the latter are not those that are asked for."""
    ours = made >= 0
    node = made if ours else _hosts(device)
    try:
        with opened(node), opened(_empty_file(parent, name)) as target:
            there = device.is_that(target)  # from a mount of /dev
            if device.pointer and not there and not _is_empty(target):
                raise _another(device)
            if ours or not there:
                syscalls.move_mount(node, target)
            return "" if ours else device.unlike(target if there else node)
    except OSError as error:
        raise device.failure(error, "bind" if ours else "bind the host's") from None


def _hosts(device: Device) -> int:
    """A detached mount of the host's node. Its mode and owner stay (a device is written to all the same), and what is
    mounted over it covers this mount alone."""
    try:
        node = opened(syscalls.open_tree(AT_FDCWD, device.path, OPEN_TREE_CLONE))
    except OSError as error:
        failure = device.failure(error, "bind the host's")
        failure.hint = "without privilege on the host a device can only be the one that the host has at this path"
        raise failure from None
    with node as fd:
        device.require_hosts(fd)
        try:
            syscalls.mount_setattr(fd, set_=_BOUND, propagation=MS_PRIVATE)
        except OSError as error:
            raise device.failure(error, "bind the host's") from None
        return node.keep()


def _is_empty(file: int) -> bool:
    facts = posix.fstat(file)
    return S_ISREG(facts.st_mode) and facts.st_size == 0


def _empty_file(parent: int, name: str) -> int:
    """An O_PATH descriptor of what has this name and is no symlink, or of a new empty file; OSError."""
    flags = posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:  # noqa: SIM105  contextlib costs a millisecond of start-up
        posix.close(posix.open(name, flags, 0o666, dir_fd=parent))
    except FileExistsError:
        pass  # opened below, without following it
    node = posix.open(name, O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=parent)
    if S_ISLNK(posix.fstat(node).st_mode):
        posix.close(node)
        raise OSError(ELOOP, "")  # as open(2) without O_PATH says
    return node


def link(root: int, attached: Attached) -> None:
    """Make /dev/{fd,stdin,stdout,stderr}, /dev/core if the host has /proc/kcore, and /dev/ptmx.

    A name that is taken keeps what it has, as in the peers; but /dev/ptmx must be that of the container's own devpts.
    Before `rootfs.pivot`. Nothing is done if the container was given the host's /dev.
    """
    if _has_hosts_dev(root):
        return
    try:
        directory = _directory(root, "/dev", attached)
    except OSError as error:
        raise PyruncError.from_os("open `/dev` in the root filesystem", error) from None
    with opened(directory):
        for target, name in _LINKS:
            _link(directory, target, name)
        if posix.access("/proc/kcore", posix.F_OK):
            _link(directory, "/proc/kcore", "core")
        _link_ptmx(directory)


def _link(directory: int, target: str, name: str) -> None:
    try:
        posix.symlink(target, name, dir_fd=directory)
    except FileExistsError:
        pass
    except OSError as error:
        raise PyruncError.from_os(f"make symlink `/dev/{name}`", error) from None


def _link_ptmx(directory: int) -> None:
    """Make /dev/ptmx a symlink to pts/ptmx; a node or file of that name goes, a symlink to the right place stays."""
    try:
        try:
            if posix.readlink("ptmx", dir_fd=directory) in ("pts/ptmx", "/dev/pts/ptmx"):
                return
        except OSError as error:
            if error.errno not in {ENOENT, EINVAL}:  # EINVAL: no symlink
                raise
        try:  # noqa: SIM105  contextlib costs a millisecond of start-up
            posix.unlink("ptmx", dir_fd=directory)
        except FileNotFoundError:
            pass
        posix.symlink("pts/ptmx", "ptmx", dir_fd=directory)
    except OSError as error:
        raise PyruncError.from_os("make symlink `/dev/ptmx`", error) from None


def bind_console(root: int, pty: int, attached: Attached) -> None:
    """Bind the terminal's device, which `pty` is open on, onto /dev/console (CVE-2025-52565, CVE-2026-88264).

    The devpts of `pty` must be mounted in our mount namespace. The target is an empty file or what is there, but no
    symlink.
    """
    try:
        with opened(_directory(root, "/dev", attached)) as directory:
            target = _empty_file(directory, "console")
        with opened(target), opened(syscalls.open_tree(pty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)) as tree:
            syscalls.move_mount(tree, target)
    except OSError as error:
        raise PyruncError.from_os("bind the terminal to `/dev/console`", error) from None
