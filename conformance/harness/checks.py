"""How a check is declared and made, and what it says when it fails."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from conformance.harness.engine import CALL_SECONDS, Engine, Failed, Skipped

E = TypeVar("E", bound=Engine)


@dataclass(frozen=True)
class Check(Generic[E]):
    """A named check; rootful_only and rootless_only are why it cannot be made the other way."""

    group: str
    name: str
    action: Callable[[E], None]
    rootful_only: str = ""
    rootless_only: str = ""


class Checks(list[Check[E]]):
    """The checks of one engine, in the order of their declaration, behind those that others have declared."""

    def check(
        self, group: str, name: str, *, rootful_only: str = "", rootless_only: str = ""
    ) -> Callable[[Callable[[E], None]], Callable[[E], None]]:
        """Declares the decorated function as a check: it returns if all is well, else it raises Failed."""

        def declare(action: Callable[[E], None]) -> Callable[[E], None]:
            self.append(Check(group, name, action, rootful_only, rootless_only))
            return action

        return declare

    def outputs(self, group: str, rows: Iterable[tuple[str, str, str, str]], *, rootful_only: str = "") -> None:
        """Declares checks of one form: with these options this shell script prints this (a regular expression)."""
        for name, options, script, pattern in rows:

            def action(engine: E, options: str = options, script: str = script, pattern: str = pattern) -> None:
                matches(engine.sh(shlex.split(options), script), pattern)

            self.append(Check(group, name, action, rootful_only))


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


def perform(engine: E, item: Check[E]) -> tuple[str, str]:
    """Makes one check and clears up: ("ok" | "not ok" | "skip", the reason)."""
    reason = item.rootful_only if engine.rootless else item.rootless_only
    if reason:
        return "skip", reason
    outcome, text = "ok", ""
    engine.undo = contextlib.ExitStack()
    try:
        item.action(engine)
    except Skipped as skipped:
        outcome, text = "skip", str(skipped)
    except Failed as failed:
        outcome, text = "not ok", str(failed)
    except (OSError, subprocess.SubprocessError, LookupError, TypeError, ValueError) as error:
        outcome, text = "not ok", f"{type(error).__name__}: {error}"
    try:
        engine.undo.close()
    except (Failed, OSError, subprocess.SubprocessError) as error:
        return "not ok", f"{text}\nclearing up:\n{type(error).__name__}: {error}".strip()
    return outcome, text
