"""What a runtime may leave behind on the host, and the comparison of before and after.

Counted are: our child processes (containers are re-parented to us) and processes in this session's cgroups, zombies,
mounts, cgroups, entries of the state directory, files under /run and /dev/shm, files in /tmp that bear a container
id or the runtime's name, abstract sockets with such names, our own open file
descriptors, and owner and mode of /dev/null.
"""

import contextlib
import os
import signal
from dataclasses import dataclass, fields
from pathlib import Path

from tests.kernelcalls import umount
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT, ID_PREFIX
from tests.runtime import runtime_name
from tests.waiting import comes_true

# In the state directory: compiled filters (bounded in number; .cache is crun 1.28's), its source of masked folders.
KEPT = {".seccomp-cache", ".cache", ".empty-directory"}


@dataclass
class Facts:
    """One view of the host; each field is a set of names."""

    processes: set[str]
    mounts: set[str]
    cgroups: set[str]
    state: set[str]
    files: set[str]
    sockets: set[str]
    descriptors: set[str]
    null_device: set[str]

    def added_since(self, before: "Facts") -> list[str]:
        """What is here and was not before, as 'kind: name' lines."""
        lines = []
        for field in fields(self):
            more = getattr(self, field.name) - getattr(before, field.name)
            lines += [f"{field.name}: {name}" for name in sorted(more)]
        return lines


def observe(state_root: Path) -> Facts:
    """Look at the host; zombies among our children are reaped first, as conmon or init would."""
    reap()
    return Facts(
        processes={f"{pid} {_command(pid)}" for pid in _our_processes()},
        mounts=_mounts(),
        cgroups=set(_our_cgroups()),
        state=_state(state_root),
        files=_files(),
        sockets=_abstract_sockets(),
        descriptors=_descriptors(),
        null_device=_null_device(),
    )


def check(before: Facts, state_root: Path, patience: float = 5.0) -> list[str]:
    """What was left; dying processes get up to patience seconds. Afterwards the host is clean again."""
    comes_true(lambda: not _our_processes() - _pids(before), patience)
    left = observe(state_root).added_since(before)
    if left:
        _clean_up(before)
    return left


def reap() -> None:
    """Collect every child that has ended."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _state(root: Path) -> set[str]:
    """The state directory but for what is kept for later containers."""
    return {str(path) for path in root.rglob("*") if KEPT.isdisjoint(path.relative_to(root).parts)}


def _pids(facts: Facts) -> set[int]:
    return {int(line.split()[0]) for line in facts.processes}


def _parents() -> dict[int, int]:
    """Parent pid of every process, zombies included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue  # ended meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def _our_processes() -> set[int]:
    """All descendants of this process, and whoever is in a cgroup of this session."""
    reap()
    parents = _parents()
    ours = {os.getpid()}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= more
        grown = bool(more)
    for cgroup in _our_cgroups():
        try:
            ours.update(int(word) for word in Path(cgroup, "cgroup.procs").read_text().split())
        except OSError:
            continue  # removed meanwhile, or a threaded cgroup
    return ours - {os.getpid(), 0}


def _command(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(ended)"
    return f"{state} {command}"


def _our_cgroups() -> list[str]:
    """Cgroups that bear one of our container ids, wherever they are, and the children of the session's parent."""
    found = []
    for directory, names, _ in os.walk(CGROUP_ROOT):
        found += [os.path.join(directory, name) for name in names if ID_PREFIX in name or CGROUP_PARENT in directory]
    return found


def _files() -> set[str]:
    """Everything under /run and /dev/shm, which are private to us, and what looks like ours in /tmp."""
    names = {str(path) for top in ("/run", "/dev/shm") for path in Path(top).rglob("*")}
    return names | {str(path) for path in Path("/tmp").glob(f"*{ID_PREFIX}*")}


def _mounts() -> set[str]:
    return set(Path("/proc/self/mountinfo").read_text().splitlines())


def _abstract_sockets() -> set[str]:
    """Abstract sockets whose name holds the runtime's name or one of our ids."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
    names = {line.split(maxsplit=7)[7] for line in lines if " @" in line}
    return {name for name in names if ID_PREFIX in name or runtime_name() in name}


def _descriptors() -> set[str]:
    """Our open descriptors as 'number -> target', without the one that reads the list."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue  # the listing itself
    return found


def _null_device() -> set[str]:
    """Owner and mode of /dev/null, which crun 1.8 gives to the container's user when it is a standard stream."""
    if runtime_name() == "crun":
        return set()
    status = os.stat("/dev/null")
    return {f"{status.st_uid}:{status.st_gid} {status.st_mode:o}"}


def _clean_up(before: Facts) -> None:
    """Kill and remove what a failed test left, so that the next test starts clean."""
    for pid in _our_processes() - _pids(before):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    comes_true(lambda: not _our_processes() - _pids(before), deadline=5)
    for line in sorted(_mounts() - before.mounts, key=lambda line: int(line.split()[0]), reverse=True):
        with contextlib.suppress(OSError):  # went with the one that it was on
            umount(line.split()[4].encode().decode("unicode_escape"))
    for cgroup in sorted(_our_cgroups(), key=len, reverse=True):
        try:
            Path(cgroup).rmdir()
        except OSError:
            continue  # still in use: already reported
