"""What /proc tells (proc(5)), and processes by identity: a pid together with its start time, so that a reused pid is
never mistaken.

The native calls are imported where they are needed: `start`, `state` and `delete` mostly do without.
"""

import posix
from _signal import SIGKILL

from pyrunc.kernel import files
from pyrunc.kernel.descriptors import opened


def mount_table(pid: "int | str" = "self") -> "list[tuple[int, str, str]]":
    """(mount id, type, mount point) of each mount that a process sees (/proc/PID/mountinfo, proc(5)). OSError."""
    table = []
    # Users can mount by FUSE where they like: of white space in a name the kernel escapes space, tab and line feed.
    for line in files.read(f"/proc/{pid}/mountinfo").removesuffix(b"\n").split(b"\n"):
        fields, _, rest = line.partition(b" - ")
        words = fields.split(b" ")
        point = words[4]
        for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
            point = point.replace(code, character)
        kind = rest.split(b" ", 1)[0].decode("utf-8", "surrogateescape")
        table.append((int(words[0]), kind, point.decode("utf-8", "surrogateescape")))
    return table


def stat(pid: int) -> "tuple[str, int] | None":
    """(state letter, start time in clock ticks since boot) of a process, None if there is none."""
    fields = _stat_fields(pid)
    return (fields[0].decode(), int(fields[19])) if fields else None


def ending(pid: int, start_time: "int | None" = None) -> "tuple[bytes, int] | None":
    """(name, status as wait(2) gives it) of that very process if it is on its way out, or has ended and is not reaped.

    The status is 0 for a process that we may not trace (proc(5)). start_time: None for our own child.
    """
    text = _stat(pid)
    fields = _fields(text)
    if not fields or start_time not in (None, int(fields[19])):
        return None
    if fields[0] not in b"ZX" and not int(fields[6]) & _PF_EXITING:
        return None
    return text[text.index(b"(") + 1 : text.rindex(b")")], int(fields[49])


def _stat_fields(pid: int) -> "list[bytes]":
    """/proc/PID/stat from the state on, field 3 of proc(5); [] if there is no such process."""
    return _fields(_stat(pid))


def _stat(pid: int) -> bytes:
    """/proc/PID/stat; empty if there is no such process."""
    try:
        with opened(posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)) as fd:
            return posix.read(fd, 4096)
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _fields(text: bytes) -> "list[bytes]":
    return text[text.rfind(b")") + 2 :].split()  # the name before may hold spaces and parentheses


def words(pid: "int | str") -> "list[str]":
    """The command line of a process; [] if there is none to be seen."""
    try:
        text = files.read(f"/proc/{pid}/cmdline").decode("utf-8", "surrogateescape")
    except OSError:
        return []
    return text.removesuffix("\0").split("\0")


def program(pid: "int | str") -> str:
    """The path of the program that a process was started as: what it executes, or, if that is an interpreter, what that
    runs, its first word that is no option. "" if there is none to be seen."""
    try:
        executable = posix.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    if not executable.rpartition("/")[2].startswith("python"):
        return executable
    return next((word for word in words(pid)[1:] if not word.startswith("-")), "")


def killed(pid: int) -> bool:
    """Whether our child, which is not reaped, has got SIGKILL. One that has ended by itself, however soon, has not.

    Looked at twice: between taking the signal and beginning to end a process shows neither, one of 10 000 when we look.
    """
    return _killed(pid) or _killed(pid)


def _killed(pid: int) -> bool:
    fields = _stat_fields(pid)
    if not fields:  # hidden by the mount option hidepid
        return False
    if int(fields[28]) & 1 << SIGKILL - 1:  # it is pending
        return True
    if fields[0] != b"Z" and not int(fields[6]) & _PF_EXITING:
        return False
    end = posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOWAIT)
    return end is not None and (end.si_code, end.si_status) == (posix.CLD_KILLED, SIGKILL)


_PF_EXITING = 4  # include/linux/sched.h


def alive(pid: int, start_time: int) -> bool:
    """Whether that very process still runs: one of its threads, be it not the first; a zombie does not.

    The state in /proc/PID/stat is that of the first thread, which may end before the others (pthread_exit(3) in main).
    """
    fields = _stat_fields(pid) if pid > 0 else []
    return bool(fields) and int(fields[19]) == start_time and (fields[0] not in {b"Z", b"X"} or int(fields[17]) > 1)


def vantage() -> "list[int]":
    """From where we see processes: the inodes of our pid namespace, in which pids are what they are, and of our time
    namespace, which shifts their start times (time_namespaces(7)). OSError without a procfs of this pid namespace."""
    try:
        time = posix.stat("/proc/self/ns/time").st_ino
    except FileNotFoundError:  # before Linux 5.6
        time = 0
    return [posix.stat("/proc/self/ns/pid").st_ino, time]


def boot() -> "list[str]":
    """The id of this boot (random(4)) and the inode of our pid namespace. OSError without a whole procfs."""
    boot_id = files.read("/proc/sys/kernel/random/boot_id").decode().rstrip("\n")
    return [boot_id, str(posix.stat("/proc/self/ns/pid").st_ino)]


def speaks_of_us() -> bool:
    """Whether /proc is of our own pid namespace. The number alone would not tell: in a namespace below it a process
    may have it by chance, or because somebody there has forked until it had."""
    for line in files.read("/proc/self/status").split(b"\n"):
        name, _, numbers = line.partition(b":")
        if name == b"NSpid":  # one for each namespace from /proc's down to ours
            return len(numbers.split()) == 1
    return False  # Linux writes it if it has pid namespaces


def first_thread_ended(pid: int) -> bool:
    """Whether the process lives by other threads: it has no namespaces in /proc then that could be joined."""
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] == b"Z"


def signal(pid: int, start_time: int, number: int) -> bool:
    """Send a signal to that very process; False if it is gone. The pidfd pins the pid before the start time is read."""
    if pid <= 1:
        return False
    from pyrunc.kernel import syscalls

    try:
        with opened(syscalls.pidfd_open(pid)) as pidfd:
            if not alive(pid, start_time):
                return False
            syscalls.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(pid: int, start_time: int, seconds: float) -> bool:
    """Wait until that very process has ended (a zombie has); False if it has not by then."""
    from pyrunc.kernel import syscalls

    try:
        with opened(syscalls.pidfd_open(pid)) as pidfd:
            import select

            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            return not alive(pid, start_time) or bool(poll.poll(seconds * 1000)) or not alive(pid, start_time)
    except ProcessLookupError:
        return True
