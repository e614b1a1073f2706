"""Which modules a command loads: start-up is most of what a command costs, and `json` alone would double it."""

import os
import re
import subprocess
from pathlib import Path

from tests.runtime import DEFAULT_RUNTIME, caller_environment

# Built into the interpreter or C extensions without imports of their own. The cffi module loads `_cffi_backend`.
HOT = frozenset((
    "_cffi_backend", "_frozen_importlib", "_frozen_importlib_external", "_json", "_prctl", "_signal", "_socket",
    "_stat", "_struct", "errno", "fcntl", "gc", "itertools", "marshal", "posix", "resource", "select", "sys", "time",
))  # fmt: skip
_LINE = re.compile(r"import time:\s+\d+ \|\s+\d+ \|\s*(\S+)")


def interpreter() -> list[str]:
    """The interpreter and its options, as the launcher's first line names them."""
    return DEFAULT_RUNTIME.read_text().split("\n", 1)[0].removeprefix("#!").split()


def loaded(*arguments: str | Path, directory: Path, expect: int = 0) -> set[str]:
    """Names of the modules outside of `pyrunc` that a command imports, beyond those of an empty program.

    Those of its children up to their execve are among them: they write to the same standard error.
    """
    ours = _trace([str(DEFAULT_RUNTIME), *map(str, arguments)], directory, expect)
    return {name for name in ours - _trace(["-c", "pass"], directory, 0) if name.partition(".")[0] != "pyrunc"}


def _trace(words: list[str], directory: Path, expect: int) -> set[str]:
    command = [*interpreter(), "-X", "importtime", *words]
    log = directory / "importtime"
    # A file, not a pipe: the container keeps the stream open after the command has ended.
    with log.open("wb") as stderr:
        result = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            env=caller_environment(), cwd=directory, timeout=60,
        )  # fmt: skip
    text = log.read_text(errors="replace")
    os.unlink(log)
    assert result.returncode == expect, text
    return set(_LINE.findall(text))
