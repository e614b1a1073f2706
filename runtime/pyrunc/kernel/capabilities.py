"""Capabilities: the names of capabilities(7) and sets of them as bit masks."""

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip  (the order is the kernel's: the index is the number, include/uapi/linux/capability.h)
_NUMBERS = {name: number for number, name in enumerate(NAMES)}
LAST_KNOWN = len(NAMES) - 1


def mask(names: "list[str] | tuple[str, ...]") -> int:
    """The bit mask of these capabilities; names that are not known are left out (the caller has warned)."""
    result = 0
    for name in names:
        number = _NUMBERS.get(name)
        if number is not None:
            result |= 1 << number
    return result


def last() -> int:
    """The number of the kernel's last capability, from /proc (3.2); may be beyond the last that we know."""
    import posix

    try:
        fd = posix.open("/proc/sys/kernel/cap_last_cap", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return LAST_KNOWN
    try:
        return int(posix.read(fd, 16))
    finally:
        posix.close(fd)


def bounding() -> int:
    """The bounding set of this process."""
    import _prctl

    result = 0
    for number in range(last() + 1):
        if _prctl.prctl(_prctl.PR_CAPBSET_READ, number):
            result |= 1 << number
    return result
