"""A process that exchanges two names all the time, as one in another container that shares a volume can."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SWAPPER = """
import ctypes, os, sys
libc, (a, b) = ctypes.CDLL(None), map(os.fsencode, sys.argv[1:])
parent = os.getppid()
print("ready", flush=True)
while os.getppid() == parent:
    for _ in range(1000):
        libc.renameat2(-100, a, -100, b, 2)
"""


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names (RENAME_EXCHANGE of renameat2(2)); at the end either may be where it was, or not."""
    command = [sys.executable, "-c", SWAPPER, str(one), str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()
