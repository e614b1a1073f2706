"""A daemon in the background, for as long as the checks need it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conformance.harness.checks import CALL_SECONDS, Failed


@contextlib.contextmanager
def daemon(command: Sequence[str], log: Path, ready: Callable[[], object]) -> Iterator[None]:
    """Runs the command until the block ends; enters the block when ready() says so. Its output goes to the log."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
    try:
        deadline = time.monotonic() + CALL_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[0]} does not come up; its last words:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(CALL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
