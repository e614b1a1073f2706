"""Programs like the installed one, of both kinds: a script, and one around the interpreter's library."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import interpreter

PACKAGING = Path(__file__).resolve().parents[1] / "runtime/packaging"
sys.path.append(str(PACKAGING))
import launcher  # noqa: E402  (found by the line above)
import native_launcher  # noqa: E402

KINDS = ("script", "native")


def write(kind: str, target: Path, body: str) -> None:
    """Write a program that executes `body`. Skips if the interpreter cannot be linked to."""
    python = interpreter()[0]
    if kind == "script":
        launcher.write(target, python, body)
        return
    asked = subprocess.run([python, "-IS", "-c", native_launcher.ASK], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(asked.stderr.strip())
    native_launcher.write(target, python, body)


def directories() -> list[str]:
    """Where the modules of this checkout, and of what it needs, are."""
    (line,) = (line for line in launcher_lines() if line.startswith("sys.path += "))
    return eval(line.removeprefix("sys.path += "))


def launcher_lines() -> list[str]:
    """The lines of the checkout's program."""
    from tests.runtime import DEFAULT_RUNTIME

    return DEFAULT_RUNTIME.read_text().splitlines()
