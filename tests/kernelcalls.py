"""System calls that the tests need and that Python 3.11's os module lacks (through ctypes).

Every function raises OSError with the kernel's errno, as os does.
"""

import ctypes
import os

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_RDONLY = 0x1
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 0x2

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

CGROUP2_SUPER_MAGIC = 0x63677270

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    arguments = [os.fsencode(text) for text in (source, target, fstype)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """setns(2)."""
    _check(_libc.setns(fd, kind), "setns")


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def drop_capabilities() -> None:
    """capset(2): none permitted, effective or inheritable."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def watch_opens(path: str) -> int:
    """inotify(7): a descriptor that can be read once the file has been opened (O_PATH does not count)."""
    fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
    _check(_libc.inotify_add_watch(fd, os.fsencode(path), _IN_OPEN), f"inotify_add_watch {path}")
    return fd


_IN_OPEN = 0x20


def filesystem_magic(path: str) -> int:
    """f_type of statfs(2): the first word of struct statfs on every 64-bit Linux."""
    buffer = ctypes.create_string_buffer(256)
    _check(_libc.statfs(os.fsencode(path), buffer), f"statfs {path}")
    return ctypes.c_long.from_buffer(buffer).value


_IOPRIO_GET = {"x86_64": 252, "aarch64": 31, "riscv64": 31}  # asm/unistd.h; no C library has a function for it


def io_priority(pid: int) -> int:
    """ioprio_get(2) of a process: class << 13 | level."""
    return _check(_libc.syscall(_IOPRIO_GET[os.uname().machine], 1, pid), "ioprio_get")


def fork_as(pid: int, levels: int) -> int:
    """clone3(2) with set_tid: a child that has this pid in its own pid namespace and `levels - 1` above it; 0 in it."""
    pids = (ctypes.c_int32 * levels)(*[pid] * levels)
    fields = [0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(pids), levels]  # struct clone_args up to set_tid_size; SIGCHLD
    arguments = (ctypes.c_uint64 * len(fields))(*fields)
    return _check(_libc.syscall(435, arguments, ctypes.sizeof(arguments)), "clone3")
