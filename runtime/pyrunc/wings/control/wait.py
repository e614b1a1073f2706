"""pyrunc wait: until a container's first process has ended; the exit status is its own."""

import fcntl
import posix
import select
import time
from _struct import pack, unpack_from
from errno import EINVAL, ENOENT, ENOTTY, ESRCH

from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.process import processes

VERB = Verb(
    "wait until the first process of a container has ended, and end with its exit status",
    ("ID",),
    (Option("timeout", "give up after S seconds, with the exit status 124 of timeout(1)", "S"),),
)

_TIMED_OUT = 124
_REAPING = 5.0  # seconds that its parent gets to take the status, after which the kernel lets others read it
# include/uapi/linux/pidfd.h: _IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info), of its first version's size
_PIDFD_INFO_SIZE, _PIDFD_INFO_EXIT = 64, 1 << 3
_PIDFD_GET_INFO = 3 << 30 | _PIDFD_INFO_SIZE << 16 | 0xFF << 8 | 11


def run(context: Context, arguments: Arguments) -> int:
    """Wait; 128 + N for a process that signal N has ended, as a shell says it."""
    seconds = _seconds(arguments)
    container = Container.open(context.root, arguments.operands[0])
    state = container.load()
    try:
        pidfd = syscalls.pidfd_open(state.pid)
    except OSError as error:
        if error.errno not in {ESRCH, EINVAL}:
            raise PyruncError.from_os(f"wait for container `{container.id}`", error) from None
        pidfd = -1
    if pidfd < 0 or not (processes.alive(state.pid, state.start_time) or _is_zombie(state.pid, state.start_time)):
        hint = "its exit status was its parent's to take"
        raise PyruncError(f"container `{container.id}` has stopped already", hint=hint)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(None if seconds is None else int(seconds * 1000)):
        return _TIMED_OUT
    status = _status(pidfd, state.pid, state.start_time)
    if status is None:
        raise PyruncError(
            f"container `{container.id}` has ended, and its exit status is its parent's alone to know",
            hint="Linux 6.15 or newer tells others, too",
        )
    return posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else 128 + posix.WTERMSIG(status)


def _seconds(arguments: Arguments) -> "float | None":
    text = arguments.text("timeout")
    if not text:
        return None
    try:
        seconds = float(text)
        if 0 <= seconds < 1 << 20:
            return seconds
    except ValueError:
        pass
    raise PyruncError(f"invalid value `{text}` for flag --timeout: expected a number of seconds below a million")


def _is_zombie(pid: int, start_time: int) -> bool:
    return processes.ending(pid, start_time) is not None


def _status(pidfd: int, pid: int, start_time: int) -> "int | None":
    """The status, as wait(2) gives it, of a process that has ended; None if it is not to be had.

    While nobody has reaped it /proc has it, for whoever may trace it; afterwards the pidfd has (Linux 6.15).
    """
    deadline = time.monotonic() + _REAPING
    while True:
        info = bytearray(pack("=Q", _PIDFD_INFO_EXIT).ljust(_PIDFD_INFO_SIZE, b"\0"))
        kept = True
        try:
            fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
            if unpack_from("=Q", info)[0] & _PIDFD_INFO_EXIT:
                return int(unpack_from("=i", info, _PIDFD_INFO_SIZE - 4)[0])
        except OSError as error:
            if error.errno not in {ENOTTY, EINVAL, ESRCH}:
                raise PyruncError.from_os("ask for the exit status", error) from None
            kept = False  # an older kernel
        seen = processes.ending(pid, start_time)
        if seen is not None and _may_trace(pid):
            return seen[1]
        if time.monotonic() > deadline or not (kept or seen):
            return None
        time.sleep(0.01)


def _may_trace(pid: int) -> bool:
    """Whether /proc tells us the status: from whoever may not trace the process it hides it, as 0 (proc(5))."""
    try:
        posix.readlink(f"/proc/{pid}/cwd")
    except OSError as error:
        return error.errno == ENOENT  # it has ended, and has none any more
    return True
