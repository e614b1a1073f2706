"""The processes that a command makes: learn who they are, see that none is stopped on its way, end them."""

import posix
import time
from _signal import SIGKILL

from pyrunc.errors import PyruncError
from pyrunc.kernel import files

from . import limits
from .channel import PeerGone, pair
from .conversation import CONSOLE, LIMITS
from .step_report import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.process import Process

    from .channel import Channel


class Child:
    """A process that a command makes, on the way to its program.

    pid: 0 if it is not known yet; helper: the process that makes it, 0 if none does, or it is reaped; channel: our end
    of the conversation with both; terminal: the main end of its terminal while that is ours, else -1; warnings: of what
    was made, for the caller.
    """

    __slots__ = ("channel", "helper", "pid", "terminal", "warnings")

    def __init__(self) -> None:
        self.pid, self.helper, self.terminal = 0, 0, -1
        self.channel: Channel | None = None
        self.warnings: list[str] = []

    def converse(self) -> "tuple[Channel, Channel]":
        """Begin the conversation: our end, which looks while it waits whether the child is stopped, and the child's."""
        ours, theirs = pair()
        self.channel, ours.watch = ours, self._refuse_stopped
        return ours, theirs

    def _refuse_stopped(self) -> None:
        """Raise PyruncError if the process on its way into the container is stopped: others in its pid namespace may
        send it SIGSTOP, and we would wait for it without end. It may not have told its pid yet, which is set then."""
        kind, pid = (posix.P_PID, self.pid) if self.pid > 1 else (posix.P_ALL, 0)
        found = posix.waitid(kind, pid, posix.WSTOPPED | posix.WNOHANG | posix.WNOWAIT)
        if found is None or files.read(f"/proc/{found.si_pid}/comm") != NAME + b"\n":
            return
        self.pid = found.si_pid
        text = f"process {self.pid} was stopped by signal {found.si_status} while it entered the container"
        raise PyruncError(text, hint="processes of the container that run as the same user can do that")

    def meet(self, channel: "Channel", doing: str) -> None:
        """Learn which process the helper has made, and reap the helper, whose work that was."""
        self.pid = channel.expect_child(doing, self.helper)
        posix.waitpid(self.helper, 0)
        self.helper = 0

    def equip(
        self, channel: "Channel", process: "Process", doing: str, *, console_socket: str, splits: bool
    ) -> None:
        """Take over its terminal, and set its limits when it asks for them. splits: see `limits.set_rlimits`."""
        if process.terminal:
            name = channel.expect(CONSOLE, doing)
            self.deliver_terminal(channel.fds[0], str(name), console_socket)
        if process.rlimits:
            channel.expect(LIMITS, doing)
            limits.set_rlimits(process, self.pid or self.helper, splits=splits)
            channel.acknowledge()

    def deliver_terminal(self, main: int, name: str, console_socket: str) -> None:
        """Send the terminal's main end, the descriptor `main`, to the console socket, or keep it if there is none."""
        from pyrunc.kernel.process import terminal

        self.terminal = main
        if not console_socket:
            terminal.prepare_output(main)
            return
        terminal.send_console(console_socket, main, name)
        self.close_terminal()

    def close_terminal(self) -> None:
        """Close the end that is ours."""
        if self.terminal >= 0:
            posix.close(self.terminal)
        self.terminal = -1

    def end(self) -> None:
        """Kill and reap both, which are our children, so that the pids are their own; end the conversation."""
        self.close_terminal()
        if self.channel is None:
            return
        if self.helper > 1:
            kill(self.helper)
            if not self.pid:
                self.pid = _who_speaks(self.channel)
        if self.pid > 1:
            kill(self.pid)
        self.channel.close()  # not before: a process that has nobody to report to reports to standard error


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
