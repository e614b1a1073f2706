"""The processes that a command makes: learn who they are, see that none is stopped on its way, end them."""

import posix
import time
from _signal import SIGKILL

from pyrunc.errors import PyruncError
from pyrunc.kernel import files

from .channel import PeerGone
from .step_report import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .channel import Channel

    class Made(Protocol):
        """What a command makes: the process that will run the program (0: not known yet)."""

        pid: int

    class Helped(Made, Protocol):
        """And the one that makes it (0: it is reaped)."""

        helper: int


def refuse_stopped(made: "Made") -> None:
    """Raise PyruncError if the process on its way into the container is stopped: others in its pid namespace may send
    it SIGSTOP, and we would wait for it without end. It may not have told its pid yet, which is set then."""
    kind, pid = (posix.P_PID, made.pid) if made.pid > 1 else (posix.P_ALL, 0)
    found = posix.waitid(kind, pid, posix.WSTOPPED | posix.WNOHANG | posix.WNOWAIT)
    if found is None or files.read(f"/proc/{found.si_pid}/comm") != NAME + b"\n":
        return
    made.pid = found.si_pid
    text = f"process {made.pid} was stopped by signal {found.si_status} while it entered the container"
    raise PyruncError(text, hint="processes of the container that run as the same user can do that")


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
