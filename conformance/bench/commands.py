"""Runs one command of a runtime and measures it.

The measuring process is a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), so the containers' init processes
become its children when the runtime has ended: it knows, without polling, when one is gone.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# Starts a command that waits for the end of file on 4, tells its pid on 3, and ends: see peak_memory.
ORPHAN = '{ read -r _ <&4; exec "$@" 3>&- 4<&-; } & echo $! >&3'


def become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Commands:
    """Spawns commands with standard input and output on /dev/null and standard error in a file."""

    def __init__(self, folder: Path) -> None:
        self.errors = str(folder / "stderr")

    def _spawn(self, words: list[str], descriptors: dict[int, int] | None = None) -> int:
        """posix_spawn uses vfork, so the time does not depend on how large the measuring process is."""
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, self.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        actions += [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in (descriptors or {}).items()]
        return os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=actions)

    def _check(self, words: list[str], status: int) -> None:
        if status != 0:
            text = Path(self.errors).read_text(errors="replace").strip()
            sys.exit(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}: {text}")

    def milliseconds(self, words: list[str]) -> float:
        """From before the spawn to after the command has been reaped."""
        began = time.perf_counter_ns()
        pid = self._spawn(words)
        _, status = os.waitpid(pid, 0)
        ended = time.perf_counter_ns()
        self._check(words, status)
        return (ended - began) / 1e6

    def peak_memory(self, words: list[str]) -> float:
        """Peak resident memory in MB of the command or any child that it waited for, the largest of them.

        ru_maxrss outlives execve and so begins with the memory of the process that forked.  The command is therefore
        started by a shell of 1 MB, whose orphan it becomes, and reaped here.  It must not end before the shell, which
        would reap it: it waits until the pipe for that is closed.
        """
        pid_reader, pid_writer = os.pipe()
        go_reader, go_writer = os.pipe()
        shell = self._spawn(["/bin/sh", "-c", ORPHAN, "sh", *words], {pid_writer: 3, go_reader: 4})
        os.close(pid_writer)
        os.close(go_reader)
        with open(pid_reader, encoding="ascii") as pipe:
            pid = int(pipe.readline())
        os.waitpid(shell, 0)
        os.close(go_writer)
        _, status, usage = os.wait4(pid, 0)
        self._check(words, status)
        return usage.ru_maxrss / 1024


def wait_until_gone(pid: int) -> None:
    """Reaps children until pid, a container's init, is among them."""
    while os.waitpid(-1, 0)[0] != pid:
        pass


def resident_memory(pid: int) -> dict[str, float]:
    """Memory of a process in MB (proc_pid_smaps_rollup(5)): all that is resident, and what it shares with nobody."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) / 1024
    return {"resident": fields["Rss"], "private": fields["Private_Clean"] + fields["Private_Dirty"]}
