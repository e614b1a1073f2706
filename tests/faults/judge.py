"""What is wrong with how a command ended, as one or two words for the table and a sentence."""

import os
import re

from tests.runtime import MESSAGE_LIMIT, Result

Problem = tuple[str, str]  # its class, and what was seen


def of_text(result: Result, what: str) -> "list[Problem]":
    """Of a command that has not done its work: it must say so in one line that names an object, then the cause.

    Of a module or library that cannot be loaded the machinery knows no cause but for a few.
    """
    lines = [line for line in result.stderr.splitlines() if "warning: " not in line]
    problems = of_idioms(result)
    kind, _, number = what.partition("=")
    if problems or (kind == "signal" and not lines):
        return problems
    if not lines:
        return [("silent", f"status {result.returncode}")]
    if len(lines) > 1 or len(result.stderr) > MESSAGE_LIMIT:
        problems.append(("several lines", result.stderr))
    if " load " in lines[-1] or "cannot be loaded: " in lines[-1]:
        return problems
    cause = f": {os.strerror(int(number))}" if kind == "error" else ""
    # A place in config.json is an object, too.
    if not any(sign in lines[-1].replace(cause, "") for sign in ("`", "/", "container", "hook #")):
        problems.append(("no object", lines[-1]))
    if not re.search(rf"{re.escape(cause)}( \(.*\))?$", lines[-1]):
        problems.append(("no cause", lines[-1]))
    return problems


def of_idioms(result: Result) -> "list[Problem]":
    """Of any command: what no user is to read."""
    idioms = (("traceback", "Traceback"), ("internal error", "internal error"), ("no object", "pyrunc: in `"))
    for name, idiom in idioms:
        if idiom in result.stderr:
            return [(name, result.stderr.strip()[-300:])]
    return []
