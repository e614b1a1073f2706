"""The leftovers check itself: it must see each kind of thing that a runtime could leave."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import leftovers
from tests.bundle import Bundle
from tests.kernelcalls import mount
from tests.peers import differs
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Runtime, new_id


def test_sees_a_running_process_and_ends_it(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    process = subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000"])
    kinds = {line.split(":")[0] for line in leftovers.check(before, runtime.root, patience=0.1)}
    process.wait()
    assert kinds == {"processes"}
    assert leftovers.check(before, runtime.root) == []


def test_sees_an_orphan_of_a_child(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    subprocess.run(["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"], check=True)
    assert any("sleep 1000" in line for line in leftovers.check(before, runtime.root, patience=0.1))


def test_sees_a_mount_and_detaches_it(runtime: Runtime, bundle: Bundle) -> None:
    before = leftovers.observe(runtime.root)
    mount("tmpfs", str(bundle.rootfs / "mnt"), "tmpfs")
    left = leftovers.check(before, runtime.root)
    assert [line.split(":")[0] for line in left] == ["mounts"]
    assert leftovers.check(before, runtime.root) == []


def test_sees_a_cgroup_and_removes_it(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    cgroup = CGROUP_ROOT / new_id()
    cgroup.mkdir()
    assert leftovers.check(before, runtime.root) == [f"cgroups: {cgroup}"]
    assert not cgroup.exists()


@pytest.mark.parametrize("directory", ["/run", "/dev/shm", "/tmp"])
def test_sees_a_file(runtime: Runtime, directory: str) -> None:
    before = leftovers.observe(runtime.root)
    path = Path(directory, f".{new_id()}.tmp")
    path.touch()
    left = leftovers.check(before, runtime.root)
    path.unlink()
    assert left == [f"files: {path}"]


def test_sees_an_entry_of_the_state_directory(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    (runtime.root / "x").mkdir(parents=True)
    assert leftovers.check(before, runtime.root) == [f"state: {runtime.root}/x"]
    (runtime.root / "x").rmdir()


def test_sees_an_open_descriptor(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    reading, writing = os.pipe()
    left = leftovers.check(before, runtime.root)
    os.close(reading)
    os.close(writing)
    assert [line.split(":")[0] for line in left] == ["descriptors", "descriptors"]


@differs(crun="1.8.1 gives it away, so it is not checked there")
def test_sees_a_change_of_the_null_device(runtime: Runtime) -> None:
    before = leftovers.observe(runtime.root)
    os.chown("/dev/null", 7, 7)
    left = leftovers.check(before, runtime.root)
    os.chown("/dev/null", 0, 0)
    assert [line.split(":")[0] for line in left] == ["null_device"]
