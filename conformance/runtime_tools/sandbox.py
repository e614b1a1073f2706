"""Runs one validation program where nothing of it can be left over.

The program is the child of a shell that is pid 1 of a pid namespace, in a cgroup of its own seen as the root of a
cgroup namespace, with private tmpfs on /run (the runtimes' state folders and the bundles).  When the shell ends,
or is killed at the time limit, the kernel kills every container, the mounts and state go with the namespace, and the
cgroup is removed with all its children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from conformance.private_mounts import CGROUP_ROOT, remove_cgroup
from conformance.runtime_tools.tap import Result

# $0 is the cgroup, the rest is the program.  The shell enters the cgroup before the cgroup namespace is made, so that
# this cgroup becomes the namespace's root.
ENTER = """
echo 0 >"$0/cgroup.procs" || exit 99
exec unshare --mount --pid --fork --kill-child --mount-proc --cgroup sh -c "$INSIDE" "$@"
"""
# $0 is the program.  It sits in a child cgroup because controllers can be enabled only in a cgroup without processes
# (cgroup v2's "no internal processes" rule); one that cannot be enabled is one that the host has not delegated.
# The shell does not exec the program: pid 1 has to reap the containers' init processes, which a Go program does not.
# The first cgroup2 mount has to go: the kernel refuses the same filesystem twice on one mount point (EBUSY).
INSIDE = """
mount -t tmpfs -o mode=755 tmpfs /run &&
    umount /sys/fs/cgroup &&
    mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
    mkdir /run/bundles /sys/fs/cgroup/program &&
    echo 0 >/sys/fs/cgroup/program/cgroup.procs || exit 99
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || :
done
unset INSIDE
"$0"
"""
SANDBOX_FAILED = 99


def run_program(program: Path, runtime: Path, timeout: float, log: Path) -> Result:
    """Runs program with RUNTIME=runtime in its own folder; standard output and error go to the file log (kept)."""
    group = CGROUP_ROOT / f"runtime-tools-{os.getpid()}-{program.name}-{log.parent.name}"
    group.mkdir()
    environment = os.environ | {"RUNTIME": str(runtime), "TMPDIR": "/run/bundles", "INSIDE": INSIDE}
    began = time.monotonic()
    try:
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["sh", "-c", ENTER, str(group), str(program)],
                cwd=program.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                output, status = process.communicate(timeout=timeout)[0], process.returncode
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)  # of unshare; --kill-child makes it end pid 1, and so everything
                output, status = process.communicate()[0], None
            errors.write(b"--- standard output\n" + output)
    finally:
        remove_cgroup(group)
    if status == SANDBOX_FAILED:
        raise RuntimeError(f"cannot make a sandbox for {program.name}: see {log}")
    result = Result.read(output.decode(errors="replace"), 0 if status is None else status)
    if status is None:
        result.failures.append(f"not finished after {timeout:g} s")
    result.seconds = time.monotonic() - began
    return result
