"""What the command sets of a process that it has made, because the process itself may not or must not yet."""

import posix
import time
from _signal import SIGKILL
from errno import EACCES, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import procs, syscalls

from .protocol import PeerGone
from .record import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pyrunc.spec.process import Process

    from .protocol import Channel

    class Made(Protocol):
        """What a command makes: the process that will run the program (0: not known yet)."""

        pid: int

    class Helped(Made, Protocol):
        """And the one that makes it (0: it is reaped)."""

        helper: int


def set_oom_score(process: "Process | None", pid: int) -> None:
    """From outside: with a user namespace the container itself may not lower it."""
    if process is None or process.oom_score_adj is None:
        return
    value = process.oom_score_adj
    try:
        fd = posix.open(f"/proc/{pid}/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, str(value).encode())
        finally:
            posix.close(fd)
    except OSError as error:
        # Not left out: who gives it relies on it. runc and crun refuse as well.
        hint = "lowering it takes CAP_SYS_RESOURCE of the host" if error.errno == EACCES else ""
        what = f"set oom_score_adj to {value}"
        raise PyruncError.from_os(what, error, pointer="/process/oomScoreAdj", hint=hint) from None


def set_rlimits(process: "Process", pid: int, *, splits: bool) -> None:
    """`process.rlimits`, above the present hard limits, too. splits: the process will clone itself once more as the
    user, and set RLIMIT_NPROC then (`handover.split`); it is only raised here."""
    for i, limit in enumerate(process.rlimits):
        soft = limit.soft
        try:
            if splits and limit.type == "RLIMIT_NPROC":
                if limit.hard <= syscalls.hard_limit(limit.type):
                    continue
                soft = limit.hard
            syscalls.set_limit(pid, limit.type, soft, limit.hard)
        except OSError as error:
            what = f"set {limit.type} to {limit.soft}:{limit.hard}"
            hint = "raising a hard limit takes CAP_SYS_RESOURCE of the host" if error.errno == EPERM else ""
            raise PyruncError.from_os(what, error, pointer=f"/process/rlimits/{i}", hint=hint) from None


def refuse_stopped(made: "Made") -> None:
    """Raise PyruncError if the process on its way into the container is stopped: others in its pid namespace may send
    it SIGSTOP, and we would wait for it without end. It may not have told its pid yet, which is set then."""
    kind, pid = (posix.P_PID, made.pid) if made.pid > 1 else (posix.P_ALL, 0)
    found = posix.waitid(kind, pid, posix.WSTOPPED | posix.WNOHANG | posix.WNOWAIT)
    if found is None or procs.read(f"/proc/{found.si_pid}/comm") != NAME + b"\n":
        return
    made.pid = found.si_pid
    text = f"process {made.pid}, on its way into the container, was stopped by signal {found.si_status}"
    raise PyruncError(text, hint="processes of the container can do that to what has their user")


def meet(made: "Helped", channel: "Channel", doing: str) -> None:
    """Learn which process the helper has made, and reap the helper, whose work that was."""
    made.pid = channel.expect_child(doing, made.helper)
    posix.waitpid(made.helper, 0)
    made.helper = 0


def end(helper: int, pid: int, channel: "Channel") -> None:
    """Kill and reap a process that was to make another (0: it is reaped), and that other (0: its pid is not known); end
    the conversation. Both are our children, not reaped: the pids are their own."""
    if helper > 1:
        kill(helper)
        if not pid:
            pid = _who_speaks(channel)
    if pid > 1:
        kill(pid)
    channel.close()  # not before: a process that has nobody to report to reports to standard error


def _who_speaks(channel: "Channel") -> int:
    """The pid of the process that was made by one that is gone, 0 if there is none. It speaks before all else."""
    channel.watch = _give_up
    while True:
        try:
            return channel.expect_child("ending it")
        except (PeerGone, TimeoutError):
            _reap_silent()
            return 0
        except PyruncError:
            continue  # something that was said before


def _reap_silent() -> None:
    """Reap a child that was killed before it spoke, as by the end of the pid namespace, which its zombie would hold up
    (pid_namespaces(7)). Our caller may have left us children that live: so not without end."""
    for _ in range(100):
        try:
            if posix.waitpid(-1, posix.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def kill(pid: int) -> None:
    """Kill and reap our child, which may be reaped already."""
    try:
        posix.kill(pid, SIGKILL)
        posix.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _give_up() -> None:
    """It is stopped: it ends when it finds that nobody listens to it."""
    raise TimeoutError
