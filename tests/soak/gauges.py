"""What must not grow however many containers come and go.

Two kinds of figures. Of what is ours alone (the state directory, our mounts, keys with our ids, ...) not one may be
more. What the kernel counts for the whole machine, where others work, too, may grow by what they do and one in ten
rounds: a leak is at least one each round, which some thousand rounds show.
"""

import os
import re
from pathlib import Path

from tests import leftovers
from tests.privatehost import CGROUP_ROOT, ID_PREFIX

_CACHES = {  # of /proc/slabinfo: what a container, or a process in it, is made of
    "key_jar", "mnt_cache", "net_namespace", "nsproxy", "pid", "pid_namespace", "shmem_inode_cache", "sock_inode_cache",
    "task_struct", "user_namespace", "uts_namespace",
}  # fmt: skip
_OTHERS, _OTHERS_BYTES = 300, 16 << 20  # what others on the machine may have more at any moment
_BYTES_EACH_ROUND = 2048

Figures = dict[str, int]


def ours(state_root: Path) -> Figures:
    """How many there are of what nobody else makes."""
    facts = leftovers.observe(state_root)
    keys = Path("/proc/keys").read_text(errors="replace")
    return {
        "processes": len(facts.processes),
        "mounts": len(facts.mounts),
        "cgroups": len(facts.cgroups),
        "files of the state": len(facts.state),
        "files in /run, /dev/shm, /tmp": len(facts.files),
        "abstract sockets": len(facts.sockets),
        "our descriptors": len(facts.descriptors),
        "keys with our ids": keys.count(ID_PREFIX),
    }


def machine() -> Figures:
    """The kernel's figures for everybody: cgroups, keys of root, open files, objects of its caches, bytes of all."""
    figures = {
        "dying cgroups": _number(CGROUP_ROOT / "cgroup.stat", "nr_dying_descendants"),
        "root's keys": int(Path("/proc/key-users").read_text().split()[1]),
        "open files": int(Path("/proc/sys/fs/file-nr").read_text().split()[0]),
    }
    slabs = Path("/proc/slabinfo").read_text().splitlines()[2:]
    figures |= {f"slab {words[0]}": int(words[1]) for words in map(str.split, slabs) if words[0] in _CACHES}
    return figures | {"bytes in slabs": 1024 * _number(Path("/proc/meminfo"), "SUnreclaim")}


def process(pid: int) -> Figures:
    """One process of a container: its memory, descriptors and children."""
    status = Path(f"/proc/{pid}/status")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {
        "memory of init (KiB)": _number(status, "VmRSS"),
        "descriptors of init": len(os.listdir(f"/proc/{pid}/fd")),
        "children of init": len(children),
    }


def growth(before: Figures, after: Figures, rounds: int, *, exact: bool) -> list[str]:
    """A line for each figure that has grown by more than it may."""
    lines = []
    for name, value in after.items():
        more = value - before.get(name, 0)
        allowed = rounds // 10 + _OTHERS
        if name.startswith("bytes"):
            allowed = rounds * _BYTES_EACH_ROUND + _OTHERS_BYTES
        if more > (0 if exact else allowed):
            lines.append(f"{name}: {before.get(name, 0)} -> {value} in {rounds} rounds")
    return lines


def table(before: Figures, after: Figures) -> str:
    """The figures side by side, for people."""
    return "".join(f"    {name:30} {before.get(name, 0):>12} -> {value:>12}\n" for name, value in after.items())


def _number(file: Path, key: str) -> int:
    try:
        found = re.search(rf"^{key}:?\s+(\d+)", file.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
