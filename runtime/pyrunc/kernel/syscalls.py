"""Python faces of the system calls in the `_native` extension: str paths in, OSError out.

What `posix`, `fcntl` and `_prctl` offer is called there directly. Constants are the kernel's, by their own names
(include/uapi/linux/{mount,openat2,sched,fcntl,keyctl}.h).
"""

from _signal import SIGCHLD
from errno import EINVAL

from pyrunc._native import lib

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, FSPICK_CLOEXEC = 1, 1, 1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE = 0, 1, 6, 7

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME = 0x70, 0x10, 0x20
MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOSYMFOLLOW = 0x80, 0x100000, 0x200000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT, MS_MANDLOCK = 1, 2, 4, 8, 16, 32, 64
MS_DIRSYNC, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME = 128, 256, 1024, 2048
MS_BIND, MS_MOVE, MS_REC = 4096, 8192, 16384
MS_SILENT, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 15, 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_I_VERSION, MS_STRICTATIME, MS_LAZYTIME = 1 << 21, 1 << 23, 1 << 24, 1 << 25
MNT_DETACH = 2

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
CLONE_PARENT = 0x8000
CLONE_FILES = 0x400

CLOSE_RANGE_CLOEXEC = 4
PROC_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC = 0x9FA0, 0x63677270, 0x1CD1
SYSFS_MAGIC, NSFS_MAGIC = 0x62656572, 0x6E736673


def _result(value: int) -> int:
    if value < 0:
        raise OSError(-value, "")
    return value


def c_string(text: str) -> bytes:
    """`text` for the kernel: a NUL would end it early, at a place that a config chose."""
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise OSError(EINVAL, "")
    return data


def fork_into(flags: int = 0, cgroup: int = -1) -> int:
    """clone3(2) used as a fork: into new namespaces (CLONE_NEW*) and, with `cgroup` (a directory's fd), into a cgroup.

    Returns 0 in the child. Python's own at-fork work is not needed: the runtime has one thread.
    """
    return _result(lib.pyrunc_fork_into(flags, 0 if flags & CLONE_PARENT else SIGCHLD, cgroup))


def unshare(flags: int) -> None:
    """unshare(2); in `os` since 3.12."""
    _result(lib.pyrunc_unshare(flags))


def setns(fd: int, kind: int) -> None:
    """setns(2): `kind` is a CLONE_NEW* flag or several (with a pidfd)."""
    _result(lib.pyrunc_setns(fd, kind))


def openat2(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), always close-on-exec; EAGAIN (a rename raced with RESOLVE_IN_ROOT) is tried again, 128 times."""
    name = c_string(path)
    for _ in range(128):
        result = lib.pyrunc_openat2(directory, name, flags | 0o2000000, mode, resolve)
        if result != -11:
            break
    return _result(result)


def open_tree(directory: int, path: str, flags: int = 0) -> int:
    """open_tree(2), close-on-exec; with OPEN_TREE_CLONE a detached copy of the mount."""
    return _result(lib.pyrunc_open_tree(directory, c_string(path), flags | OPEN_TREE_CLOEXEC))


def move_mount(mount: int, target: int) -> None:
    """move_mount(2): attach the detached mount `mount` on the file that `target` is open on."""
    _result(lib.pyrunc_move_mount(mount, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))


def fsopen(kind: str) -> int:
    """fsopen(2): a context to configure a new file system of type `kind`."""
    return _result(lib.pyrunc_fsopen(c_string(kind), FSOPEN_CLOEXEC))


def fsconfig_string(context: int, key: str, value: str) -> None:
    """fsconfig(2), FSCONFIG_SET_STRING."""
    _result(lib.pyrunc_fsconfig(context, FSCONFIG_SET_STRING, c_string(key), c_string(value), 0))


def fsconfig_flag(context: int, key: str) -> None:
    """fsconfig(2), FSCONFIG_SET_FLAG."""
    _result(lib.pyrunc_fsconfig(context, FSCONFIG_SET_FLAG, c_string(key), _NULL, 0))


def fsconfig_command(context: int, command: int = FSCONFIG_CMD_CREATE) -> None:
    """fsconfig(2): create or reconfigure the superblock."""
    _result(lib.pyrunc_fsconfig(context, command, _NULL, _NULL, 0))


def fsmount(context: int, attributes: int = 0) -> int:
    """fsmount(2): a detached mount (MOUNT_ATTR_*) of a created context."""
    return _result(lib.pyrunc_fsmount(context, FSMOUNT_CLOEXEC, attributes))


def fspick(directory: int) -> int:
    """fspick(2) with FSPICK_EMPTY_PATH: a context to reconfigure the superblock that is mounted there."""
    return _result(lib.pyrunc_fspick(directory, b"", FSPICK_CLOEXEC | 8))


def mount_setattr(
    fd: int, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False, userns: int = -1
) -> None:
    """mount_setattr(2) on the mount that `fd` is the root of; `userns` with MOUNT_ATTR_IDMAP. Linux 5.12."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _result(lib.pyrunc_mount_setattr(fd, b"", flags, set_, clear, propagation, userns))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2), for what the new calls cannot say."""
    _result(
        lib.pyrunc_mount(
            _NULL if source is None else c_string(source),
            c_string(target),
            _NULL if kind is None else c_string(kind),
            flags,
            _NULL if data is None else c_string(data),
        )
    )


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _result(lib.pyrunc_umount2(c_string(target), flags))


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    _result(lib.pyrunc_pivot_root(c_string(new_root), c_string(put_old)))


def statfs_type(fd: int) -> int:
    """The file system's magic number, as fstatfs(2) gives it."""
    return _result(lib.pyrunc_statfs_type(fd))


def mount_flags(fd: int) -> int:
    """The ST_* flags of the mount that `fd` lies on (fstatfs(2))."""
    return _result(lib.pyrunc_mount_flags(fd))


def mount_id(fd: int) -> int:
    """The id of the mount that a file lies on (statx(2), STATX_MNT_ID, Linux 5.8)."""
    return _result(lib.pyrunc_mount_id(fd, b"", AT_EMPTY_PATH))


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2)."""
    _result(lib.pyrunc_close_range(first, last, flags))


def default_signal(number: int) -> None:
    """rt_sigaction(2) to SIG_DFL; also of 32 and 33, which libc reserves and posix_spawn(3) leaves ignored."""
    _result(lib.pyrunc_default_signal(number))


def set_limit(pid: int, name: str, soft: int, hard: int) -> None:
    """prlimit(2) of another process, by the resource's name ("RLIMIT_NOFILE"); 2**64-1 is no limit."""
    _result(lib.pyrunc_set_limit(pid, getattr(lib, name), soft, hard))


def hard_limit(name: str) -> int:
    """Our own hard limit of a resource, which what we clone inherits; 2**64-1 is no limit."""
    return int(lib.pyrunc_hard_limit(limit_number(name))) & (1 << 64) - 1


def limit_number(name: str) -> int:
    """The number of a resource on this architecture, for a list of steps."""
    value = getattr(lib, name)
    assert isinstance(value, int)
    return value


def pidfd_open(pid: int) -> int:
    """pidfd_open(2); always close-on-exec."""
    return _result(lib.pyrunc_pidfd_open(pid, 0))


def pidfd_getfd(pidfd: int, number: int) -> int:
    """pidfd_getfd(2): a copy of another process's descriptor, close-on-exec; it takes the right to trace it."""
    return _result(lib.pyrunc_pidfd_getfd(pidfd, number, 0))


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2); here because the `signal` module costs half an interpreter start."""
    _result(lib.pyrunc_pidfd_send_signal(pidfd, signal))


def execveat(directory: int, path: str, argv: list[str], env: list[str]) -> None:
    """execveat(2) with AT_EMPTY_PATH; returns only by raising."""
    from pyrunc._native import ffi

    words = [ffi.new("char[]", c_string(word)) for word in argv]
    entries = [ffi.new("char[]", c_string(entry)) for entry in env]
    _result(
        lib.pyrunc_execveat(
            directory,
            c_string(path),
            ffi.new("char *[]", [*words, ffi.NULL]),
            ffi.new("char *[]", [*entries, ffi.NULL]),
            AT_EMPTY_PATH,
        )
    )


def rename_to_new(old: str, new: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE: EEXIST if there is a `new`, EINVAL if the file system cannot say so."""
    _result(lib.pyrunc_rename_to_new(c_string(old), c_string(new)))


def sethostname(name: str) -> None:
    """sethostname(2); here because `socket` has the only other face of it."""
    data = c_string(name)
    _result(lib.pyrunc_sethostname(data, len(data)))


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    data = c_string(name)
    _result(lib.pyrunc_setdomainname(data, len(data)))


def join_session_keyring(name: str) -> int:
    """keyctl(KEYCTL_JOIN_SESSION_KEYRING): a new session keyring; its serial number."""
    return _result(lib.pyrunc_join_session_keyring(c_string(name)))


def keyctl(operation: int, a: int, b: int, c: int = 0) -> int:
    """keyctl(2) for the operations whose arguments are numbers."""
    return _result(lib.pyrunc_keyctl(operation, a, b, c))


def describe_key(key: int) -> str:
    """keyctl(KEYCTL_DESCRIBE): "type;uid;gid;permissions;name"."""
    from pyrunc._native import ffi

    text = ffi.new("char[]", 4096)
    keyctl(6, key, int(ffi.cast("uintptr_t", text)), len(text))
    description: bytes = ffi.string(text)
    return description.decode("utf-8", "surrogateescape")


def capset(header: bytes, sets: bytes) -> None:
    """capset(2): struct __user_cap_header_struct, and its version's __user_cap_data_struct[]."""
    _result(lib.pyrunc_capset(header, sets))


def prctl(option: int, a: int, b: int = 0) -> int:
    """prctl(2) for the options that the `_prctl` module does not know."""
    return _result(lib.pyrunc_prctl(option, a, b))


def bpf(command: int, attributes: bytearray) -> int:
    """bpf(2); the kernel may write into `attributes`, up to the size that it knows: give it all of bpf_attr."""
    from pyrunc._native import ffi

    return _result(lib.pyrunc_bpf(command, ffi.from_buffer(attributes), len(attributes)))


def probe_seccomp_flags(flags: int) -> int:
    """seccomp(SECCOMP_SET_MODE_FILTER) without a filter: the errno of its refusal, EFAULT for flags that are good."""
    return -int(lib.pyrunc_seccomp(1, flags, _NULL))


def address(buffer: "bytes | bytearray") -> int:
    """Where a buffer lies, for a pointer inside a structure; it must outlive the call."""
    from pyrunc._native import ffi

    return int(ffi.cast("uintptr_t", ffi.from_buffer(buffer)))


def number(name: str) -> int:
    """The number of a system call on this architecture, for a list of steps (`stages.step_list`)."""
    value = getattr(lib, f"SYS_{name}")
    assert isinstance(value, int)
    return value


def _null() -> object:
    from pyrunc._native import ffi

    return ffi.NULL


_NULL = _null()
