"""containerd's events, as `ctr events` prints them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

from conformance.containerd.harness import Containerd
from conformance.harness.checks import IMAGE, wait_until


@contextlib.contextmanager
def listening(engine: Containerd) -> Iterator[Callable[[], str]]:
    """Gives a function that returns all lines since the beginning; the listener is there when the block is entered."""
    lines: list[str] = []
    with subprocess.Popen([*engine.command, "events"], stdout=subprocess.PIPE) as process:
        output = process.stdout
        assert output
        os.set_blocking(output.fileno(), False)

        def seen() -> str:
            lines.append((output.read() or b"").decode())
            return "".join(lines)

        def subscribed() -> bool:
            engine("image", "label", IMAGE, f"round={len(lines)}")
            return "/images/update" in seen()

        try:
            wait_until(subscribed, "the listener is there")
            yield seen
        finally:
            process.terminate()
