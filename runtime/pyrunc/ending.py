"""Signals that ask a command to end: Terminated is raised for the first, where somebody can undo what was begun.

What undoes must not be interrupted itself, and what has come to its end must not be lost: there a signal is held.
"""

import _signal
import posix

from .errors import Terminated

SIGNALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)


class _State:
    """Of this process: whose pid it is, whether a signal may raise, and the one that was held."""

    pid, raises, held = 0, False, 0


def listen() -> None:
    """From now on. What our caller ignores (nohup(1), a shell's background) is of no effect."""
    _State.pid, _State.raises, _State.held = posix.getpid(), True, 0
    for number in SIGNALS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _end)


def hold() -> None:
    """Until `release`, or the end of the command, signals have no effect."""
    _State.raises = False


def release() -> None:
    """Let signals have their effect again, the one that was held at once."""
    if _State.pid:
        _State.raises = True
        if _State.held:
            _end(_State.held, None)


def _end(number: int, _: object) -> None:
    if posix.getpid() != _State.pid:
        posix._exit(128 + number)  # noqa: SLF001  (our child: what it has done its parent undoes)
    if _State.raises:
        _State.raises = False
        raise Terminated(number)
    _State.held = number
