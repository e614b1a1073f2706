"""The cgroup modules against the kernel: tracking, freezing, limits, ownership, device programs.

A host that binds its controllers to cgroup v1 runs what needs none of them and skips the rest.
"""

import errno
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from pyrunc.cgroup import cgroupfs, devices, events, limits, manager, values
from pyrunc.errors import PyruncError
from pyrunc.kernel import bpf
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import Resources
from pyrunc.wings.events import stats, watch

from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.waiting import eventually

NULL_ONLY = [
    devices.Rule("a", -1, -1, "rwm", allow=False),
    devices.Rule("c", 1, 3, "rw", allow=True),
]


@pytest.fixture
def cgroup(private_host, request):
    """The path of a cgroup of this test; made, and removed afterwards."""
    path = f"{CGROUP_PARENT}/{request.node.originalname}"
    os.close(cgroupfs.make(path)[0])
    yield path
    cgroupfs.kill(path)
    cgroupfs.remove(path)


@pytest.fixture
def sleeper(cgroup):
    """A process in the cgroup."""
    process = subprocess.Popen(["sleep", "1000"])
    file(cgroup, "cgroup.procs").write_text(str(process.pid))
    yield process
    process.kill()
    process.wait()


def file(path, name):
    return CGROUP_ROOT / path.strip("/") / name


def settings(resources, path):
    return values.settings(Resources(Reader(resources, "/linux/resources")), print, limits.current(path))


def limited(path, *controllers):
    """Turn controllers on for the cgroup; skip where the host has not got them."""
    there = Path(CGROUP_ROOT / "cgroup.controllers").read_text().split()
    missing = [controller for controller in controllers if controller not in there]
    if missing:
        pytest.skip(f"the unified hierarchy has no controller {', '.join(missing)}")
    limits.enable(path, dict.fromkeys(controllers, "/linux/resources"))


def run_in(path, script):
    """Run a shell script inside the cgroup; its exit status and errors."""
    joined = f"echo $$ > {file(path, 'cgroup.procs')} || exit 99; {script}"
    return subprocess.run(["sh", "-c", joined], capture_output=True, text=True, check=False)


# -- hostile containers --


def test_tree_that_is_deeper_than_a_path(cgroup, sleeper):
    """A container that owns its cgroup can make one: it must end and be removed all the same."""
    deepest = os.open(file(cgroup, ""), os.O_RDONLY)
    for letter in "abcdefghijklmnopqrst":
        os.mkdir(letter * 255, dir_fd=deepest)
        above, deepest = deepest, os.open(letter * 255, os.O_RDONLY, dir_fd=deepest)
        os.close(above)
    (Path(f"/proc/self/fd/{deepest}") / "cgroup.procs").write_text(str(sleeper.pid))
    os.close(deepest)
    assert cgroupfs.members(cgroup) == [sleeper.pid]
    cgroupfs.signal(cgroup, signal.SIGTERM)
    assert sleeper.wait() == -signal.SIGTERM
    cgroupfs.remove(cgroup)
    assert not file(cgroup, "").exists()


@pytest.mark.parametrize("stays", [True, False])
def test_only_what_is_still_in_the_cgroup_is_signalled(cgroup, sleeper, monkeypatch, stays):
    """A pid may be another process's by the time of the signal; 0 stands for those of other pid namespaces."""
    lists = iter([[0, sleeper.pid], [0, sleeper.pid] if stays else [0]])
    monkeypatch.setattr(cgroupfs, "members", lambda path: next(lists))
    cgroupfs.signal(cgroup, signal.SIGSTOP)
    expected = "T" if stays else "S"
    eventually(lambda: Path(f"/proc/{sleeper.pid}/stat").read_text().split()[2] == expected, "the signal")


# -- without controllers ----------------------------------------------------------------------------------------------


def test_many_processes_are_all_listed(cgroup):
    started = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    child = f"{cgroup}/below"
    os.close(cgroupfs.make(child)[0])
    for process, path in zip(started, (cgroup, cgroup, child), strict=True):
        file(path, "cgroup.procs").write_text(str(process.pid))
    assert sorted(cgroupfs.members(cgroup)) == sorted(process.pid for process in started)
    cgroupfs.kill(cgroup)
    assert [process.wait() for process in started] == [-9, -9, -9]
    assert cgroupfs.members(cgroup) == []


def test_used_cgroup_is_refused(cgroup, sleeper):
    with pytest.raises(PyruncError, match=f"not empty: process {sleeper.pid} is in"):
        cgroupfs.make(cgroup)
    assert sleeper.poll() is None


def test_frozen_cgroup_is_refused(cgroup):
    file(cgroup, "cgroup.freeze").write_text("1")
    with pytest.raises(PyruncError, match="unexpectedly frozen"):
        cgroupfs.make(cgroup)
    file(cgroup, "cgroup.freeze").write_text("0")
    os.close(cgroupfs.make(cgroup)[0])


def test_too_many_cgroups_is_said(cgroup):
    file(cgroup, "cgroup.max.descendants").write_text("0")
    with pytest.raises(PyruncError, match=r"cgroup\.max\.descendants"):
        cgroupfs.make(f"{cgroup}/below")


def test_freeze_and_thaw(cgroup, sleeper):
    limits.freeze(cgroup)
    assert events.frozen(cgroup)
    assert "frozen 1" in file(cgroup, "cgroup.events").read_text()
    with pytest.raises(PyruncError, match="not empty"):
        cgroupfs.make(cgroup)
    limits.thaw(cgroup)
    assert not events.frozen(cgroup)
    assert "frozen 0" in file(cgroup, "cgroup.events").read_text()


def test_frozen_processes_can_be_killed(cgroup, sleeper):
    limits.freeze(cgroup)
    cgroupfs.kill(cgroup)
    assert sleeper.wait() == -9


def test_thaw_under_a_frozen_parent_says_so(cgroup, sleeper, monkeypatch):
    child = f"{cgroup}/below"
    os.close(cgroupfs.make(child)[0])
    file(child, "cgroup.procs").write_text(str(sleeper.pid))
    limits.freeze(child)
    limits.freeze(cgroup)
    monkeypatch.setattr(limits, "FREEZE_DEADLINE", 0.1)
    with pytest.raises(PyruncError, match="a cgroup above it is frozen"):
        limits.thaw(child)


def test_ownership_goes_to_the_user(cgroup):
    limits.delegate(cgroup, 4711, 4712)
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        facts = file(cgroup, name).stat()
        assert (facts.st_uid, facts.st_gid) == (4711, 4712), name
    assert file(cgroup, "cgroup.freeze").stat().st_uid == 0


def test_ownership_without_the_kernels_list(cgroup, monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "_DELEGATE", str(tmp_path / "missing"))
    limits.delegate(cgroup, 4711, 4712)
    given = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    assert {file(cgroup, name).stat().st_uid for name in given} == {4711}
    assert file(cgroup, "cgroup.freeze").stat().st_uid == 0
    (tmp_path / "list").write_text("cgroup.freeze\nno.such.file\n")
    monkeypatch.setattr(limits, "_DELEGATE", str(tmp_path / "list"))
    limits.delegate(cgroup, 4711, 4712)
    assert file(cgroup, "cgroup.freeze").stat().st_uid == 4711


def test_missing_controller_is_named_with_the_reason(cgroup):
    there = Path(CGROUP_ROOT / "cgroup.controllers").read_text().split()
    if "pids" in there:
        pytest.skip("the unified hierarchy has every controller")
    wanted = settings({"pids": {"limit": 5}}, cgroup)
    with pytest.raises(PyruncError, match="`pids` is bound to cgroup v1") as caught:
        limits.enable(cgroup, values.controllers(wanted))
    assert caught.value.pointer == "/linux/resources/pids/limit"
    with pytest.raises(PyruncError, match="`pids` is bound to cgroup v1"):
        limits.apply(cgroup, wanted)


def test_unknown_controller_of_unified(cgroup):
    wanted = settings({"unified": {"nonsense.max": "1"}}, cgroup)
    with pytest.raises(PyruncError, match="controller `nonsense` is not available"):
        limits.enable(cgroup, values.controllers(wanted))


def test_core_file_of_unified(cgroup):
    limits.apply(cgroup, settings({"unified": {"cgroup.max.descendants": "3"}}, cgroup))
    assert file(cgroup, "cgroup.max.descendants").read_text() == "3\n"


def test_update_takes_back_what_it_wrote(cgroup):
    file(cgroup, "cgroup.max.depth").write_text("5")
    wanted = settings({"unified": {"cgroup.max.depth": "4", "cgroup.max.descendants": "nonsense"}}, cgroup)
    with pytest.raises(PyruncError, match="Invalid argument") as caught:
        limits.update(cgroup, wanted)
    assert caught.value.pointer == "/linux/resources/unified/cgroup.max.descendants"
    assert file(cgroup, "cgroup.max.depth").read_text() == "5\n"


def test_update_of_a_file_that_can_only_be_written(cgroup, sleeper):
    limits.update(cgroup, settings({"unified": {"cgroup.kill": "1"}}, cgroup))
    assert sleeper.wait() == -9


def test_process_joins(cgroup):
    process = subprocess.Popen(["sleep", "1000"])
    cgroupfs.join(cgroup, process.pid)
    assert cgroupfs.members(cgroup) == [process.pid]
    cgroupfs.kill(cgroup)
    assert process.wait() == -9
    with pytest.raises(PyruncError, match=f"move process {process.pid} to cgroup"):
        cgroupfs.join(cgroup, process.pid)


def test_manager_of_directories_makes_restricts_and_removes(private_host):
    path = f"{CGROUP_PARENT}/managed"
    want = manager.Want(manager.CGROUPFS, settings({"unified": {"cgroup.max.depth": "3"}}, path), NULL_ONLY)
    want.path, want.owner = path, (4711, 4712)
    fd = manager.place(want, manager.Before(), lambda *_: None)
    assert os.fstat(fd).st_ino == file(path, "").stat().st_ino
    os.close(fd)
    process = subprocess.Popen(["sleep", "1000"])
    assert manager.adopt(want, process.pid, placed=False, description="") == path
    manager.restrict(want, path)
    assert file(path, "cgroup.max.depth").read_text() == "3\n"
    assert file(path, "cgroup.procs").stat().st_uid == 4711
    assert run_in(path, "cat /dev/zero").returncode == 1
    manager.remove(path)
    assert process.wait() == -9
    assert not file(path, "").exists()
    manager.remove(path)


def test_failed_place_leaves_nothing(private_host):
    path = f"{CGROUP_PARENT}/unplaced"
    want = manager.Want(manager.CGROUPFS, settings({"unified": {"nonsense.max": "1"}}, path), None)
    want.path = path
    with pytest.raises(PyruncError, match="controller `nonsense` is not available"):
        manager.place(want, manager.Before(), lambda *_: None)
    assert not file(path, "").exists()


def test_failed_place_keeps_what_was_there(cgroup):
    want = manager.Want(manager.CGROUPFS, settings({"unified": {"nonsense.max": "1"}}, cgroup), None)
    want.path = cgroup
    noted = []
    with pytest.raises(PyruncError, match="controller `nonsense` is not available"):
        manager.place(want, manager.Before(), lambda *entry: noted.append(entry))
    assert file(cgroup, "").exists()
    assert noted == [("cgroupFound", True), ("cgroup", cgroup)]


def test_cgroup_that_cannot_be_noted_goes(private_host):
    want = manager.Want(manager.CGROUPFS, [], None)
    want.path = f"{CGROUP_PARENT}/unnoted"

    def note(key, value):
        if key == "cgroup":
            raise OSError(errno.ENOSPC, "")

    with pytest.raises(OSError, match="28"):
        manager.place(want, manager.Before(), note)
    assert not file(want.path, "").exists()


def test_disabled_manager_does_nothing(private_host):
    want = manager.Want(manager.DISABLED, [], None)
    assert manager.place(want, manager.Before(), lambda *_: None) == -1
    assert manager.adopt(want, os.getpid(), placed=False, description="") == ""
    manager.restrict(want, "")


# -- devices ----------------------------------------------------------------------------------------------------------


def attach(cgroup, rules):
    fd = os.open(file(cgroup, ""), os.O_RDONLY | os.O_DIRECTORY)
    try:
        devices.attach(fd, rules)
        return bpf.attached(fd)
    finally:
        os.close(fd)


def test_device_rules_are_enforced(cgroup, tmp_path):
    zero = f"cat /dev/zero | head -c 1 > {tmp_path}/x; test -s {tmp_path}/x"
    assert run_in(cgroup, zero).returncode == 0
    assert len(attach(cgroup, NULL_ONLY)) == 1
    assert run_in(cgroup, "echo hello > /dev/null && cat /dev/null").returncode == 0
    refused = run_in(cgroup, "cat /dev/zero")
    assert refused.returncode == 1
    assert os.strerror(errno.EPERM) in refused.stderr
    assert run_in(cgroup, f"mknod {tmp_path}/null c 1 3").returncode == 1


def test_devices_are_replaced_not_added(cgroup):
    first = attach(cgroup, NULL_ONLY)
    second = attach(cgroup, [*NULL_ONLY, devices.Rule("c", 1, 5, "r", allow=True)])
    assert len(second) == 1
    assert first != second
    assert run_in(cgroup, "head -c 1 /dev/zero").returncode == 0
    assert attach(cgroup, [devices.Rule("a", -1, -1, "rwm", allow=True)]) == []


def test_programs_of_others_stay(cgroup):
    fd = os.open(file(cgroup, ""), os.O_RDONLY | os.O_DIRECTORY)
    other = bpf.load(devices.encode(devices.program([devices.Rule("a", -1, -1, "rwm", allow=True)])), "another")
    bpf.attach(fd, other)
    identity = bpf.identity(other)
    os.close(other)
    os.close(fd)
    assert identity[1] == "another"
    attach(cgroup, NULL_ONLY)
    assert len(attach(cgroup, NULL_ONLY)) == 2
    assert attach(cgroup, [devices.Rule("a", -1, -1, "rwm", allow=True)]) == [identity[0]]


def test_the_verifier_takes_long_lists(cgroup):
    rules = [devices.Rule("bc"[i % 2], i % 4096, i, ("r", "rw", "rwm")[i % 3], allow=i % 5 > 0) for i in range(500)]
    assert len(attach(cgroup, [*NULL_ONLY, *rules, *devices.DEFAULTS])) == 1


# -- limits -----------------------------------------------------------------------------------------------------------


def test_limits_are_written(cgroup):
    limited(cgroup, "memory", "cpu", "pids")
    resources = {
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 10000},
        "pids": {"limit": 20},
        "unified": {"memory.high": "50331648"},
    }
    limits.apply(cgroup, settings(resources, cgroup))
    expected = {
        "memory.max": "67108864", "memory.low": "33554432", "memory.high": "50331648", "cpu.weight": "59",
        "cpu.max": "50000 100000", "cpu.max.burst": "10000", "pids.max": "20",
    }  # fmt: skip
    assert {name: file(cgroup, name).read_text().strip() for name in expected} == expected
    limits.update(cgroup, settings({"cpu": {"quota": 5000, "burst": 5000}, "memory": {"limit": 128 << 20}}, cgroup))
    assert file(cgroup, "cpu.max").read_text() == "5000 100000\n"
    assert file(cgroup, "memory.max").read_text() == f"{128 << 20}\n"


def test_memory_hog_is_killed_and_counted(cgroup):
    limited(cgroup, "memory")
    limits.apply(cgroup, settings({"memory": {"limit": 8 << 20, "swap": 8 << 20}}, cgroup))
    assert limits.oom_kills(cgroup) == 0
    assert run_in(cgroup, "exec head -c 100m /dev/zero | exec tail -c 50m > /dev/null").returncode != 0
    assert limits.oom_kills(cgroup) >= 1


def test_oom_is_reported_then_the_end(cgroup):
    limited(cgroup, "memory")
    limits.apply(cgroup, settings({"memory": {"limit": 8 << 20, "swap": 8 << 20}}, cgroup))
    holder = subprocess.Popen(["sleep", "1000"])
    file(cgroup, "cgroup.procs").write_text(str(holder.pid))
    with watch.Watch(cgroup) as events:
        assert events.wait(0) == ""
        run_in(cgroup, "exec head -c 100m /dev/zero | exec tail -c 50m > /dev/null")
        assert events.wait(30) == "oom"
        holder.kill()
        holder.wait()
        assert events.wait(30) == "end"


def test_watch_of_a_cgroup_without_controllers_sees_its_end(cgroup, sleeper):
    with watch.Watch(cgroup) as events:
        assert events.wait(0) == ""
        cgroupfs.kill(cgroup)
        assert events.wait(30) == "end"


def test_processes_in_a_parent_are_named(cgroup, sleeper):
    limited(cgroup, "memory")
    with pytest.raises(PyruncError, match=f"process {sleeper.pid} must move to a child") as caught:
        limits.enable(f"{cgroup}/below", {"memory": "/linux/resources/memory/limit"})
    assert caught.value.errno == errno.EBUSY


def test_statistics_of_a_cgroup(cgroup):
    limited(cgroup, "memory", "cpu", "pids")
    run_in(cgroup, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    limits.apply(cgroup, settings({"pids": {"limit": 9}, "memory": {"limit": 64 << 20}}, cgroup))
    data = stats.stats(cgroup)
    assert data["pids"] == {"limit": 9}
    assert data["cpu"]["usage"]["total"] > 0
    assert data["memory"]["usage"]["limit"] == 64 << 20
    assert data["memory"]["raw"]["anon"] == 0


def test_statistics_without_controllers(cgroup):
    data = stats.stats(cgroup)
    assert set(data) == {
        "cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces",
    }  # fmt: skip


def test_directories_are_not_open_to_everybody(cgroup):
    assert stat.S_IMODE(file(cgroup, "").stat().st_mode) == 0o755
