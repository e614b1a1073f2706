"""How `delete --force` comes to a container of which another command keeps the lock: one that waits for a hook, say,
which need not end at all. The peers have no locks, and end such a container at once.
"""

import posix
import time
from _signal import SIGKILL, SIGTERM

from pyrunc.container import Container
from pyrunc.errors import PyruncError, printable
from pyrunc.kernel import files
from pyrunc.kernel.process import processes

_MOMENT = 1.0  # seconds: longer than any command keeps the lock that has not to wait for others
_PATIENCE = 10.0  # for what a command undoes, and for another delete


def lock(container: Container) -> None:
    """Take the lock, at the latest when its holder has been ended. Raises NotFound if the container is gone then, and
    PyruncError that names who cannot be ended.

    First the container's own process is killed, which ends most waiting; then the holder is asked to end, and undoes
    what it had begun; then it is killed: the hooks that it runs die with it, and the rest is in the journal.
    """
    if _comes(container, _MOMENT):
        return
    _kill_init(container)
    if _comes(container, _PATIENCE if "delete" in processes.words(_holder(container)) else _MOMENT):
        return
    for number in (SIGTERM, SIGKILL):
        holder = _holder(container)
        facts = processes.stat(holder) if holder else None
        # A stranger's lock is not ours to break; and who has the lock at the second look had this pid at the first.
        ours = facts is not None and _is_of_ours(holder) and _holder(container) == holder
        if facts and ours:
            processes.signal(holder, facts[1], number)
        if _comes(container, _PATIENCE if ours else _MOMENT):
            return
    holder = _holder(container)
    command = printable(" ".join(processes.words(holder)))[:200]
    who = f"process {holder} (`{command}`)" if holder else "a process that is not visible from here"
    raise PyruncError(f"container `{container.id}` is locked by {who}", hint="end that first")


def _comes(container: Container, seconds: float) -> bool:
    deadline, pause = time.monotonic() + seconds, 0.001
    while not container.try_lock():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def _kill_init(container: Container) -> None:
    try:
        state = container.load_or_journal()
    except PyruncError:  # the holder has not come to write one, or it is for the holder of the lock to tell of
        return
    processes.signal(state.pid, state.start_time, SIGKILL)


def _holder(container: Container) -> int:
    """Whose flock(2) is on the state directory (/proc/locks, proc(5)); 0 if that cannot be seen."""
    facts = posix.fstat(container.fd)
    where = f"{posix.major(facts.st_dev):02x}:{posix.minor(facts.st_dev):02x}:{facts.st_ino}".encode()
    try:
        lines = files.read("/proc/locks").split(b"\n")
    except OSError:
        return 0
    for words in map(bytes.split, lines):  # "1: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF"
        if len(words) == 8 and words[1] == b"FLOCK" and words[3] == b"WRITE" and words[5] == where:
            return max(int(words[4]), 0)
    return 0


def _is_of_ours(pid: int) -> bool:
    """Whether it runs what we run: the same file, and in it, if that is an interpreter, a program of our name."""
    try:
        theirs, ours = posix.stat(f"/proc/{pid}/exe"), posix.stat("/proc/self/exe")
    except OSError:
        return False
    name = processes.program("self").rpartition("/")[2]
    same_file = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
    return same_file and processes.program(pid).rpartition("/")[2] == name
