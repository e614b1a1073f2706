"""What `run` and `exec` do while the container's process runs in the foreground: be its terminal, its signals' way in
and the parent of what it leaves behind.

One loop over poll(2). Signals arrive in it as bytes of a pipe (CPython's wakeup descriptor), so there is no moment at
which one could be missed, and the end of the process by its pidfd as well. The terminal's two directions hold one piece
of data each, and read more once it is written.
"""

import _signal
import posix
import select
from _signal import SIGCHLD, SIGCONT, SIGHUP, SIGWINCH

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.process import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.wings.systemd.notify import Proxy

# SIGCHLD and SIGWINCH are dealt with here. Go's runtime sends itself SIGURG, and callers written in it send it to us.
# SIGTTIN and SIGTTOU are about our own terminal; faults (SEGV and the like) are our own.
_NOT_FORWARDED = frozenset(
    getattr(_signal, f"SIG{name}")
    for name in ("CHLD", "WINCH", "URG", "PIPE", "KILL", "STOP", "TTIN", "TTOU", "SEGV", "BUS", "FPE", "ILL")
)
_ENDING = frozenset({_signal.SIGINT, _signal.SIGTERM, _signal.SIGQUIT, _signal.SIGHUP})

_CHUNK = 4096  # PIPE_BUF: poll says that so much goes into a pipe without blocking
_REST = 1 << 20  # more than the kernel holds for a terminal (drivers/tty/tty_buffer.c: 640 KiB and a page)


class Signals:
    """Signals to this process, caught and kept from now on until they are read; `attend` passes them to the container.

    Made before the container's program is let go: then none can come between and end us alone. Until `attend` is
    called they have no other effect, so a poststart hook is waited for in spite of Ctrl-C.
    """

    __slots__ = ("_handlers", "_mask", "_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        self._handlers: dict[int, Any] = {}
        _signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (_signal.valid_signals() - _NOT_FORWARDED) | {SIGCHLD, SIGWINCH}:
            if number == SIGHUP and _signal.getsignal(number) == _signal.SIG_IGN:
                continue  # who calls us with nohup(1) wants it to be of no effect
            self._handlers[number] = _signal.signal(number, _caught)
        self._mask = _signal.pthread_sigmask(_signal.SIG_SETMASK, ())

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reader

    def take(self) -> bytes:
        """The numbers of signals that have come, in their order."""
        return posix.read(self._reader, 4096)

    def release(self) -> None:
        """All as it was before."""
        for number, handler in self._handlers.items():
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
        _signal.set_wakeup_fd(-1)
        posix.close(self._reader)
        posix.close(self._writer)


def _caught(number: int, frame: object) -> None:
    """A handler, so that the signal has no effect of its own; what is to be done is in the loop."""


def attend(pid: int, signals: Signals, console: int = -1, notify: "Proxy | None" = None) -> int:
    """Stay until our child `pid` has ended: its exit status, or 128 and the number of the signal that ended it.

    `console` is the main end of its terminal, which is closed at the end; without one it has our standard streams.
    The caller is a subreaper; children that are not `pid` are reaped and forgotten. `notify`: its report that it is
    ready goes to the service manager, whose main process we remain.
    """
    screen, pidfd = None, -1
    try:
        screen = _Screen(console) if console >= 0 else None
        pidfd = _pidfd(pid)
        return _Attendant(pid, pidfd, signals, screen, notify).stay()
    finally:
        if pidfd >= 0:
            posix.close(pidfd)
        if screen is not None:
            screen.close()
        if console >= 0:
            posix.close(console)


def _pidfd(pid: int) -> int:
    try:
        return syscalls.pidfd_open(pid)
    except OSError:  # reaped behind our back, or no descriptor is left: SIGCHLD does as well
        return -1


class _Attendant:
    """The loop, and what it knows of the container's process: `_status` is -1 until that has ended."""

    __slots__ = ("_notify", "_pid", "_pidfd", "_screen", "_signals", "_status")

    def __init__(
        self, pid: int, pidfd: int, signals: Signals, screen: "_Screen | None", notify: "Proxy | None"
    ) -> None:
        self._pid, self._pidfd, self._signals, self._screen, self._notify = pid, pidfd, signals, screen, notify
        self._status = -1

    def stay(self) -> int:
        """Serve until the process has ended and its output is written."""
        screen = self._screen
        self._reap()  # it may have ended before we looked
        while self._status < 0 or (screen is not None and not screen.drained):
            ended = self._status >= 0
            poll = select.poll()
            poll.register(self._signals.fileno(), select.POLLIN)
            if self._pidfd >= 0 and not ended:
                poll.register(self._pidfd, select.POLLIN)
            if self._notify is not None:
                poll.register(self._notify.fileno(), select.POLLIN)
            for fd, events in screen.wanted(ended=ended).items() if screen else ():
                poll.register(fd, events)
            ready = dict(poll.poll(0 if screen is not None and ended and not screen.owes else None))
            if screen is not None:
                screen.serve(ready, ended=ended)
            if self._notify is not None and self._notify.fileno() in ready and self._notify.receive():
                self._notify.report()
                self._notify = None
            if self._pidfd in ready:
                self._reap()
            if self._signals.fileno() in ready and not self._signalled():
                break
        return self._status

    def _signalled(self) -> bool:
        """Deal with the signals that have come; False if one ends the wait for a reader of the last output."""
        for number in self._signals.take():
            if number == SIGCHLD:
                self._reap()
            elif self._status >= 0:
                if number in _ENDING:
                    return False
            elif number != SIGWINCH:
                # Our child, which is not reaped: the pid is its own. A pidfd would say no more.
                posix.kill(self._pid, number)
            if self._screen is not None and number in {SIGWINCH, SIGCONT}:
                self._screen.adapt(came_back=number == SIGCONT)
        return True

    def _reap(self) -> None:
        """All that have ended, though one SIGCHLD may stand for several."""
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:  # none left
                if self._status >= 0:
                    return
                raise PyruncError(f"the exit status of process {self._pid} is lost: SIGCHLD was ignored") from None
            if pid == 0:
                return
            if pid == self._pid:
                signalled = posix.WIFSIGNALED(status)
                self._status = 128 + posix.WTERMSIG(status) if signalled else posix.WEXITSTATUS(status)


class _Screen:
    """The container's terminal on ours: bytes in both directions, the window's size, raw mode."""

    __slots__ = ("_attributes", "_console", "_keys", "_left", "_output", "_peer", "_window", "drained")

    def __init__(self, console: int) -> None:
        self._console, self._peer, self._left, self.drained = console, -1, _REST, False
        self._attributes: list[Any] | None = None
        self._keys, self._output = _Flow(0, console), _Flow(console, 1)
        self._window = next((fd for fd in range(3) if terminal.is_terminal(fd)), -1)
        posix.set_blocking(console, False)
        self._hold()
        self.adapt(came_back=True)

    def close(self) -> None:
        """Give our terminal its modes back, from the background too, where it would stop us."""
        if self._attributes is not None:
            before = _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
            terminal.restore(0, self._attributes)
            _signal.signal(_signal.SIGTTOU, before)
        if self._peer >= 0:
            posix.close(self._peer)

    @property
    def owes(self) -> bool:
        """Whether something that was read is not written yet."""
        return bool(self._output.pending)

    def adapt(self, *, came_back: bool) -> None:
        """Hand on the window's size; after a stop also take the keys again: the shell has reset the modes."""
        if came_back and terminal.is_terminal(0):
            attributes = terminal.raw(0, output=terminal.is_terminal(1))
            self._attributes = self._attributes or attributes
        size = terminal.size_of(self._window) if self._window >= 0 else None
        if size is not None:
            terminal.set_size(self._console, size)

    def wanted(self, *, ended: bool) -> "dict[int, int]":
        """What poll should look for. Keys are no use to a process that has ended."""
        events: dict[int, int] = {}
        for flow in (self._output,) if ended else (self._output, self._keys):
            fd, event = flow.wanted()
            if fd >= 0:
                events[fd] = events.get(fd, 0) | event
        return events

    def serve(self, ready: "dict[int, int]", *, ended: bool) -> None:
        """Move what can be moved."""
        if not ended:
            for flow in (self._keys, self._output):
                if flow.wanted()[0] in ready:
                    flow.move()
            if self._output.ended:
                self._output.ended = not self._hold()
        elif not self.owes or self._output.wanted()[0] in ready:
            # All that was written before the end is there to be read now. Others that have the terminal may live on.
            reads = not self.owes
            moved = self._output.move()
            self._left -= moved if reads else 0
            self.drained = not self.owes and (moved == 0 or self._left <= 0)

    def _hold(self) -> bool:
        """Keep the other end open, so that a program may close its terminal and open it anew (systemd does) without
        a hang-up here. Also after vhangup(2). False if the container does not let us (TIOCEXCL)."""
        if self._peer >= 0:
            posix.close(self._peer)
        try:
            self._peer = terminal.peer_of(self._console)
        except OSError:
            self._peer = -1
        return self._peer >= 0


class _Flow:
    """Bytes from one descriptor to another: a piece is read when the one before is written."""

    __slots__ = ("_sink", "_source", "ended", "pending")

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink, self.pending, self.ended = source, sink, b"", False

    def wanted(self) -> "tuple[int, int]":
        """(descriptor, poll event) that it waits for; (-1, 0) for none."""
        if self.pending:
            return self._sink, select.POLLOUT
        return (-1, 0) if self.ended else (self._source, select.POLLIN)

    def move(self) -> int:
        """Read or write a piece; how many bytes that were."""
        try:
            if self.pending:
                written = posix.write(self._sink, self.pending)
                self.pending = self.pending[written:]
                return written
            self.pending = posix.read(self._source, _CHUNK)
            self.ended = not self.pending
            return len(self.pending)
        except BlockingIOError:
            return 0
        except OSError:
            # Nobody reads any more, or the other end is closed (EIO). The writer is not to be blocked or killed for it.
            self.ended = not self.pending
            self.pending = b""
            return 0
