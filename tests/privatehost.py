"""The view of the host that system tests run in: a private mount namespace, and this process as subreaper.

Containers are re-parented to the test process (PR_SET_CHILD_SUBREAPER), as they are to conmon or containerd's shim.
/run and /dev/shm are empty private tmpfs, so that whatever appears there is the runtime's doing, and /dev/null is a
node of our own, because a runtime may give it away. On a host with cgroup v1 or hybrid mounts, cgroup2 is mounted over
/sys/fs/cgroup. The host's own mounts and devices stay as they are. All mounts of the view are shared within it, as
systemd makes those of a host: what leaves a container by propagation is seen among the leftovers.
"""

import os
import stat
from pathlib import Path

from tests.kernelcalls import (
    CGROUP2_SUPER_MAGIC,
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    PR_SET_CHILD_SUBREAPER,
    filesystem_magic,
    mount,
    prctl,
    unshare,
)

OWN_NULL = "/run/null"
CGROUP_ROOT = Path("/sys/fs/cgroup")
ID_PREFIX = f"t{os.getpid()}-"  # of every container id of this session, so that leftovers are known to be ours
CGROUP_PARENT = f"/runtime-tests-{os.getpid()}"


def enter() -> None:
    """Move this process into the private view; needs root."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID, "mode=755")
    os.mknod(OWN_NULL, stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(OWN_NULL, 0o666)
    mount(OWN_NULL, "/dev/null", "", MS_BIND)
    if Path("/dev/shm").is_dir():
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    if filesystem_magic(str(CGROUP_ROOT)) != CGROUP2_SUPER_MAGIC:
        mount("cgroup2", str(CGROUP_ROOT), "cgroup2")
    mount("none", "/", "", MS_REC | MS_SHARED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def remove_cgroup_parent() -> None:
    """Remove the (by now empty) cgroup that held this session's containers."""
    parent = CGROUP_ROOT / CGROUP_PARENT.strip("/")
    if parent.is_dir():
        parent.rmdir()
