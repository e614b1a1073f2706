"""Reaping, as an init does it: the container's processes become ours when a runtime is killed.

One that nobody reaps keeps its pid namespace from ending.
"""

import os
import subprocess
import threading
import time
from typing import Any

from tests.runtime import Runtime

_lock = threading.Lock()  # between the start of a command and our knowing its pid
_commands: set[int] = set()


class Watched(Runtime):
    """A runtime whose commands are not taken for orphans."""

    def popen(self, *arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        """As Runtime's."""
        with _lock:
            process = super().popen(*arguments, **options)
            _commands.add(process.pid)
        return process


def reap() -> None:
    """For a thread: reap every orphan, from now on. What is a child of ours now is none."""
    with _lock:
        _commands.update(_children())
    while True:
        with _lock:
            children = _children()
            _commands.intersection_update(children)  # pids come again
            for pid in children - _commands:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue  # another has reaped it
        time.sleep(0.02)


def _children() -> "set[int]":
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                found.update(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has ended; its children are another's now
    return found
