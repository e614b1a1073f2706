"""Signals by number or name (signal(7)), without the `signal` module, whose import costs half an interpreter start."""

import _signal

from pyrunc.errors import UsageError


def number(text: str) -> int:
    """The number that "9", "KILL", "SIGKILL", "sigkill" or "RTMIN+3" means; 0 asks whether there is somebody (kill(2)).
    Raises UsageError."""
    if _is_number(text) and int(text) < _signal.NSIG:
        return int(text)
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, sign, distance = name.partition("+") if "+" in name else name.partition("-")
    value = getattr(_signal, base, None) if base.isidentifier() and not base.startswith("SIG_") else None
    if isinstance(value, int) and not sign:
        return value
    if isinstance(value, int) and base in ("SIGRTMIN", "SIGRTMAX") and _is_number(distance):
        value += int(sign + distance)
        if _signal.SIGRTMIN <= value <= _signal.SIGRTMAX:
            return value
    raise UsageError(f"unknown signal `{text}`", hint="use a number, or a name such as TERM, SIGTERM or RTMIN+3")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3  # the largest is 64


def name(value: int) -> str:
    """The name of a signal, "signal 34" where it has none."""
    for key, number_ in vars(_signal).items():
        if number_ == value and key.startswith("SIG") and not key.startswith("SIG_") and key != "SIGRTMIN":
            return str(key)
    return f"signal {value}"
