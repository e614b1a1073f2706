"""Transient scopes: made, limited, changed and removed by the manager that serves this user."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyrunc.cgroup import cgroupfs, devices, limits, names, values
from pyrunc.cgroup import manager as managers
from pyrunc.errors import PyruncError
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import Resources
from pyrunc.wings.systemd import properties, scopes
from pyrunc.wings.systemd.bus import private

from tests.waiting import eventually

USER = os.geteuid() != 0
SYSTEMCTL = ["systemctl", "--user"] if USER else ["systemctl"]
ADDRESS = scopes.address(dict(os.environb), user=USER) if Path("/run/systemd/system").is_dir() else ""

pytestmark = pytest.mark.skipif(not ADDRESS, reason="systemd does not run here (or /run is private)")


@pytest.fixture(params=["the bus", "the manager itself"])
def manager(request, tmp_path):
    """A connection to the manager; the second as if there were no D-Bus daemon."""
    address, itself = ADDRESS, request.param == "the manager itself"
    if itself:
        (tmp_path / "systemd").symlink_to(Path(private(ADDRESS).removeprefix("unix:path=")).parent)
        address = f"unix:path={tmp_path}/bus"
    connection = scopes.Manager(address)
    assert connection.direct == itself
    yield connection
    connection.close()


@pytest.fixture
def process():
    """The process that a scope is made around."""
    sleeper = subprocess.Popen(["sleep", "1000"])
    yield sleeper
    sleeper.kill()
    sleeper.wait()


@pytest.fixture
def unit(request, manager):
    """A unit's name of this test's own; stopped afterwards."""
    found = names.unit(f":pyrunc-test-{os.getpid()}:{request.node.originalname}", "box", ADDRESS, user=USER)
    yield found
    manager.stop(found)


def wanted(resources):
    return values.settings(Resources(Reader(resources, "/linux/resources")), print)


def file(path, name):
    return Path(f"/sys/fs/cgroup{path}/{name}")


def shown(unit, name):
    command = [*SYSTEMCTL, "show", "--property", name, "--value", unit.name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_scope_holds_the_process(manager, unit, process):
    path = manager.start_scope(unit, process.pid, "a test", [])
    assert path == f"{manager.cgroup()}/{unit.slice}/{unit.name}"
    assert cgroupfs.members(path) == [process.pid]
    assert shown(unit, "Description") == "a test"
    assert shown(unit, "Delegate") == "yes"
    assert shown(unit, "Slice") == unit.slice


def test_limits_are_told_to_systemd_and_written(manager, unit, process):
    settings = wanted({
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 33333, "period": 100000},
        "pids": {"limit": 20},
        "unified": {"cgroup.max.descendants": "7"},
    })  # fmt: skip
    path = manager.start_scope(unit, process.pid, "a test", properties.of_settings(settings))
    limits.apply(path, settings)
    expected = {
        "memory.max": "67108864", "memory.low": "33554432", "cpu.weight": "59", "pids.max": "20",
        "cpu.max": "33333 100000", "cgroup.max.descendants": "7",
    }  # fmt: skip
    assert {name: file(path, name).read_text().strip() for name in expected} == expected
    told = {"MemoryMax": "67108864", "TasksMax": "20", "CPUWeight": "59", "CPUQuotaPerSecUSec": "340ms"}
    assert {name: shown(unit, name) for name in told} == told


def test_update(manager, unit, process):
    path = manager.start_scope(unit, process.pid, "a test", properties.of_settings(wanted({"pids": {"limit": 20}})))
    manager.set_properties(unit, properties.of_settings(wanted({"pids": {"limit": 30}})))
    assert file(path, "pids.max").read_text() == "30\n"
    assert shown(unit, "TasksMax") == "30"
    with pytest.raises(PyruncError, match="Nonsense"):
        manager.set_properties(unit, [("Nonsense", "t", 1)])


def test_what_systemd_writes_again_at_a_reload(manager, unit, process):
    settings = properties.held(wanted({"pids": {"limit": 0}, "unified": {"memory.oom.group": "1"}}))
    told = properties.of_settings(settings)
    path = manager.start_scope(unit, process.pid, "a test", told, properties.of_creation(settings))
    limits.apply(path, settings)
    expected = {"memory.oom.group": "1\n", "pids.max": "1\n"}
    assert {name: file(path, name).read_text() for name in expected} == expected
    subprocess.run([*SYSTEMCTL, "daemon-reload"], check=True)
    manager.set_properties(unit, [("MemoryHigh", "t", 1 << 30)])
    assert file(path, "memory.high").read_text() == f"{1 << 30}\n"
    assert {name: file(path, name).read_text() for name in expected} == expected
    assert shown(unit, "OOMPolicy") == "kill"


def test_annotations_win(manager, unit, process):
    extra = properties.of_annotations({
        "org.systemd.property.KillSignal": "10",
        "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
        "org.systemd.property.Description": "'mine'",
    })  # fmt: skip
    manager.start_scope(unit, process.pid, "a test", extra)
    assert shown(unit, "KillSignal") == "10"
    assert shown(unit, "TimeoutStopUSec") == "7s"
    assert shown(unit, "Description") == "mine"


def test_stop_ends_the_processes_and_forgets_the_unit(manager, unit, process):
    path = manager.start_scope(unit, process.pid, "a test", [])
    manager.stop(unit)
    assert process.wait() == -15
    assert not file(path, "").exists()
    assert shown(unit, "LoadState") == "not-found"
    manager.stop(unit)


def test_scope_of_a_name_in_use_is_refused(manager, unit, process):
    manager.start_scope(unit, process.pid, "a test", [])
    other = subprocess.Popen(["sleep", "1000"])
    try:
        with pytest.raises(PyruncError, match="already loaded"):
            manager.start_scope(unit, other.pid, "a test", [])
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_scope_around_a_process_that_is_gone(manager, unit):
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(PyruncError, match=r"No such process|refused"):
        manager.start_scope(unit, ended.pid, "a test", [])


def test_name_of_a_failed_unit_is_free_again(manager, unit, process):
    manager.start_scope(unit, process.pid, "a test", [("CollectMode", "s", "inactive"), ("RuntimeMaxUSec", "t", 1)])
    process.wait()
    eventually(lambda: shown(unit, "ActiveState") == "failed", "the unit to fail")
    successor = subprocess.Popen(["sleep", "1000"])
    try:
        path = manager.start_scope(unit, successor.pid, "a test", [])
        assert cgroupfs.members(path) == [successor.pid]
    finally:
        successor.kill()
        successor.wait()


def test_update_that_systemd_refuses_is_taken_back(manager, unit, process, monkeypatch):
    path = manager.start_scope(unit, process.pid, "a test", properties.of_settings(wanted({"pids": {"limit": 20}})))
    managers.update(path, wanted({"pids": {"limit": 25}}), unit)
    assert (file(path, "pids.max").read_text(), shown(unit, "TasksMax")) == ("25\n", "25")
    monkeypatch.setattr(properties, "of_settings", lambda _: [("Nonsense", "t", 1)])
    with pytest.raises(PyruncError, match="Nonsense"):
        managers.update(path, wanted({"pids": {"limit": 30}}), unit)
    assert file(path, "pids.max").read_text() == "25\n"


def test_manager_of_scopes_makes_restricts_and_removes(unit, process):
    settings = wanted({"cpu": {"quota": 33333, "period": 100000}})
    want = managers.Want(managers.SYSTEMD, settings, None if USER else [devices.Rule("a", -1, -1, "rwm", allow=True)])
    want.unit, want.properties = unit, properties.of_settings(settings)
    assert managers.place(want, managers.Before(), lambda *_: None) == -1
    path = managers.adopt(want, process.pid, placed=False, description="a test")
    managers.restrict(want, path)
    assert file(path, "cpu.max").read_text() == "33333 100000\n"
    managers.remove(path, unit)
    assert process.wait() == -9
    assert not file(path, "").exists()
    managers.remove(path, unit)


def test_limits_of_memory_come_last(unit, process):
    """While the scope is made, an interpreter is in it."""
    settings = wanted({"memory": {"limit": 8 << 20, "swap": 8 << 20}, "pids": {"limit": 20}})
    want = managers.Want(managers.SYSTEMD, settings, None)
    want.unit, want.properties = unit, properties.of_settings(settings)
    path = managers.adopt(want, process.pid, placed=False, description="a test")
    files = ("memory.max", "memory.swap.max", "pids.max")
    assert [file(path, name).read_text() for name in files] == ["max\n", "max\n", "20\n"]
    managers.restrict(want, path)
    for _ in range(2):
        assert [file(path, name).read_text() for name in files] == ["8388608\n", "0\n", "20\n"]
        assert (shown(unit, "MemoryMax"), shown(unit, "MemorySwapMax")) == ("8388608", "0")
        subprocess.run([*SYSTEMCTL, "daemon-reload"], check=True)


def test_process_below_the_scope(unit, process):
    want = managers.Want(managers.SYSTEMD, [], None)
    want.unit, want.leaf = unit, "/payload"
    path = managers.adopt(want, process.pid, placed=False, description="a test")
    assert cgroupfs.path_of(process.pid) == f"{path}/payload"
    managers.remove(path, unit)
    assert not file(path, "").exists()


def test_no_bus():
    with pytest.raises(PyruncError, match="connect to systemd's bus at `unix:path=/nonexistent`"):
        scopes.Manager("unix:path=/nonexistent")


@pytest.mark.skipif(USER, reason="a user may not attach device programs")
def test_device_filter_survives_what_systemd_does(manager, unit, process):
    path = manager.start_scope(unit, process.pid, "a test", [])
    fd = os.open(file(path, ""), os.O_RDONLY | os.O_DIRECTORY)
    devices.attach(fd, [devices.Rule("a", -1, -1, "rwm", allow=False)])
    os.close(fd)
    script = f"echo $$ > {file(path, 'cgroup.procs')} && cat /dev/zero"

    def denied():
        tried = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        return tried.returncode == 1 and os.strerror(errno.EPERM) in tried.stderr

    assert denied()
    subprocess.run([*SYSTEMCTL, "daemon-reload"], check=True)
    assert denied()
    manager.set_properties(unit, [("TasksMax", "t", 30)])
    assert denied()


@pytest.mark.skipif(not USER, reason="root has no use for a user namespace here")
def test_user_bus_from_inside_a_user_namespace():
    script = "from pyrunc.wings.systemd import scopes; import sys; print(scopes.Manager(sys.argv[1]).cgroup())"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, ADDRESS]
    environment = {**os.environ, "PYTHONPATH": "runtime"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.stdout.strip().endswith(f"/user@{os.getuid()}.service"), result.stderr
