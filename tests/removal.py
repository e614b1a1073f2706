"""Removal of directories that a runtime under test has mounted in.

A runtime that fails half-way can leave a bind mount of the host's root below a test's directory; a plain rmtree would
then delete the host. So every mount below is detached first, and nothing is removed while one is left.
"""

import ctypes
import os
import re
import shutil
from pathlib import Path

_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_LIBC = ctypes.CDLL(None, use_errno=True)


def mounts_below(directory: Path) -> list[str]:
    """The mount points at and below `directory` that this process sees, the last mounted first."""
    top = os.path.realpath(directory)
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
        if point == top or point.startswith(f"{top}/"):
            points.append(point)
    return points[::-1]


def remove_tree(directory: Path) -> None:
    """Detach what is mounted below `directory` and remove it."""
    top = os.path.realpath(directory)
    if top.count("/") < 2:
        raise RuntimeError(f"{top} is no test's directory")
    for point in mounts_below(directory):
        _LIBC.umount2(os.fsencode(point), _MNT_DETACH | _UMOUNT_NOFOLLOW)
    if left := mounts_below(directory):
        raise RuntimeError(f"not removing {top}: {', '.join(left)} is still mounted below")
    device = os.stat(top).st_dev
    for place, names, _ in os.walk(top):
        for name in names:
            inner = os.lstat(os.path.join(place, name))
            if inner.st_dev != device and not os.path.islink(os.path.join(place, name)):
                raise RuntimeError(f"not removing {top}: {place}/{name} is on another device")
    shutil.rmtree(directory)
