"""How a check is declared, and what it says when it fails."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

IMAGE = "localhost/runtime-checks:latest"
CALL_SECONDS = 300  # what takes longer hangs: emulated machines that others use, too, need some ten seconds
check = pytest.mark.check  # @check(group, sentence): see plugin.py


class Failed(Exception):
    """The runtime did not do what the check wants; the text is for the reader of the report."""


def output_checks(
    group: str, rows: Sequence[tuple[str, str, str, str]], *, rootful_only: str = ""
) -> Callable[..., None]:
    """Checks of one form: with these options this shell script prints this (a regular expression)."""

    @check(group, "{sentence}", rootful_only=rootful_only)
    @pytest.mark.parametrize(("sentence", "options", "script", "pattern"), rows, ids=[row[0] for row in rows])
    def prints(engine: Any, sentence: str, options: str, script: str, pattern: str) -> None:
        del sentence
        matches(engine.sh(shlex.split(options), script), pattern)

    return prints


def equal(actual: object, wanted: object, what: str = "result") -> None:
    if actual != wanted:
        raise Failed(f"{what}: wanted {wanted!r}, got {actual!r}")


def matches(text: str, pattern: str, what: str = "output") -> None:
    """The whole text matches the regular expression (a dot matches a newline as well)."""
    if not re.fullmatch(pattern, text, re.DOTALL):
        raise Failed(f"{what}: wanted the form {pattern!r}, got {text!r}")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits for what must happen sooner or later; the deadline only ends a check that would hang."""
    deadline = time.monotonic() + CALL_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"did not happen: {what}")
        time.sleep(0.1)
