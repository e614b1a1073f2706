"""A mount namespace of our own, with one cgroup v2 tree on /sys/fs/cgroup whatever the host has there.

Runtimes choose their cgroup driver by the filesystem they find on /sys/fs/cgroup, so on a hybrid host (cgroup v1 with
the v2 tree on the side) they would run on v1.  The host's mounts stay as they are.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
# <linux/sched.h> and <linux/mount.h>; os.unshare exists from Python 3.12 on only, mount not at all.
CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
KILL_SECONDS = 10.0


def _call(what: str, result: int) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def enter_private_mounts() -> None:
    """Moves this process (single-threaded, root) into a private mount namespace with cgroup2 on /sys/fs/cgroup."""
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes namespaces, mounts and cgroups")
    libc = ctypes.CDLL(None, use_errno=True)
    _call("unshare(CLONE_NEWNS)", libc.unshare(CLONE_NEWNS))
    _call("make / private", libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    if not (CGROUP_ROOT / "cgroup.controllers").exists():
        _call("mount cgroup2", libc.mount(b"cgroup2", os.fsencode(CGROUP_ROOT), b"cgroup2", 0, None))


def remove_cgroup(group: Path) -> None:
    """Kills whatever is in the cgroup (cgroup.kill, Linux 5.14) and removes it with all its children."""
    (group / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + KILL_SECONDS
    while "populated 1" in (group / "cgroup.events").read_text():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} still has processes {KILL_SECONDS:g} s after cgroup.kill")
        time.sleep(0.01)
    for folder, _, _ in os.walk(group, topdown=False):
        os.rmdir(folder)
