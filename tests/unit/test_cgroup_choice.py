"""Who makes a container's cgroup, and where in it the processes are."""

import os

import pytest
from pyrunc import arguments, cli
from pyrunc.cgroup import cgroupfs, devices, limits, manager
from pyrunc.cgroup.names import Unit
from pyrunc.cgroup.values import Setting
from pyrunc.context import Context
from pyrunc.errors import ConfigError, PyruncError, UsageError
from pyrunc.log import Log
from pyrunc.planning import cgroup
from pyrunc.wings.systemd import scopes

SUBGROUP, DELEGATED = "run.oci.systemd.subgroup", "run.oci.delegate-cgroup"


def chosen(*words: str) -> str:
    given = arguments.Arguments()
    arguments.take_options(["--root", "/x", *words], cli.GLOBAL_OPTIONS, given, until_operand=True)
    return Context(given, Log(), {}).cgroup_manager


@pytest.mark.parametrize(
    ("words", "manager_"),
    [
        ((), "cgroupfs"),
        (("--systemd-cgroup",), "systemd"),
        (("--systemd-cgroup=false",), "cgroupfs"),
        (("--cgroup-manager=systemd",), "systemd"),
        (("--cgroup-manager", "disabled"), "disabled"),
        (("--systemd-cgroup", "--cgroup-manager", "cgroupfs"), "cgroupfs"),
    ],
)
def test_manager(words, manager_):
    assert chosen(*words) == manager_


def test_unknown_manager():
    with pytest.raises(UsageError):
        chosen("--cgroup-manager", "nonsense")


@pytest.mark.parametrize(
    ("annotations", "manager_", "leaf"),
    [
        ({}, "systemd", ""),
        ({SUBGROUP: "a"}, "systemd", "/a"),
        ({SUBGROUP: ""}, "systemd", ""),
        ({SUBGROUP: "a"}, "cgroupfs", ""),
        ({DELEGATED: "b/c"}, "cgroupfs", "/b/c"),
        ({DELEGATED: "b", SUBGROUP: "a"}, "systemd", "/a/b"),
    ],
)
def test_leaf(annotations, manager_, leaf):
    assert cgroup._leaf(annotations, manager_) == leaf


def test_leaf_without_a_cgroup_is_refused():
    with pytest.raises(ConfigError):
        cgroup._leaf({DELEGATED: "b"}, "disabled")


@pytest.mark.parametrize("leaf", ["", "/a"])
def test_process_is_moved_below_its_scope(monkeypatch, leaf):
    class Manager:
        def __init__(self, address):
            assert address == "unix:path=/bus"

        def start_scope(self, unit, pid, description, properties, newer):
            return f"/{unit.slice}/{unit.name}"

        def close(self):
            pass

    done = []
    monkeypatch.setattr(scopes, "Manager", Manager)
    opened = lambda: (os.open("/", os.O_RDONLY), False)
    monkeypatch.setattr(cgroupfs, "make", lambda path: done.append(("make", path)) or opened())
    monkeypatch.setattr(cgroupfs, "join", lambda path, pid: done.append(("join", path, pid)))
    want = manager.Want(manager.SYSTEMD, [], None)
    want.unit, want.leaf = Unit("s.slice", "x.scope", "unix:path=/bus"), leaf
    assert manager.adopt(want, 77, placed=False, description="") == "/s.slice/x.scope"
    assert done == ([("make", "/s.slice/x.scope/a"), ("join", "/s.slice/x.scope/a", 77)] if leaf else [])


@pytest.mark.parametrize("asked", [True, False])
def test_device_filter_that_the_host_refuses_is_an_error_if_it_was_asked_for(monkeypatch, asked):
    def attach(cgroup, rules):
        raise PyruncError("attach the device filter to the cgroup", errno=1)

    monkeypatch.setattr(cgroupfs, "enter", lambda path: os.open("/", os.O_RDONLY))
    monkeypatch.setattr(devices, "attach", attach)
    want = manager.Want(manager.CGROUPFS, [], devices.rules_without_any([]))
    want.asks_for_devices = asked
    if asked:
        with pytest.raises(PyruncError, match="attach the device filter"):
            manager.restrict(want, "/a")
    else:
        assert "attach the device filter" in manager.restrict(want, "/a")


@pytest.mark.parametrize("may_be_used", [True, False])
def test_without_a_cgroup_nothing_filters_devices_which_is_said(may_be_used):
    want = manager.Want(manager.DISABLED, [], devices.rules_without_any([]) if may_be_used else None)
    assert ("any device" in manager.restrict(want, "")) == may_be_used


@pytest.mark.parametrize(("users", "stopped"), [([], True), ([77], False)])
def test_scope_of_a_killed_create_is_stopped_if_nobody_is_in_it(monkeypatch, users, stopped):
    done = []

    class Manager:
        def __init__(self, address):
            assert address == "unix:path=/bus"

        def cgroup_of(self, unit):
            return f"/{unit.slice}/{unit.name}"

        def stop(self, unit):
            done.append(unit.name)

        def close(self):
            pass

    monkeypatch.setattr(scopes, "Manager", Manager)
    monkeypatch.setattr(manager, "PATIENCE", 0)
    monkeypatch.setattr(cgroupfs, "members", lambda path: users if path == "/s.slice/x.scope" else None)
    manager.stop_unused(Unit("s.slice", "x.scope", "unix:path=/bus"))
    assert done == (["x.scope"] if stopped else [])


@pytest.mark.parametrize(
    ("manager_", "value", "told", "written"),
    [
        (
            manager.CGROUPFS,
            "1000",
            [],
            [("memory.swap.max", "7"), ("memory.max", str(1000 + manager.ROOM_FOR_INIT))],
        ),
        (manager.CGROUPFS, "max", [], []),
        (
            manager.SYSTEMD,
            "1000",
            [("MemorySwapMax", "t", 7), ("MemoryMax", "t", 1000 + manager.ROOM_FOR_INIT)],
            [("memory.swap.max", "7"), ("memory.max", str(1000 + manager.ROOM_FOR_INIT))],
        ),
        (manager.DISABLED, "1000", [], []),
    ],
)
def test_what_init_copies_is_limited(monkeypatch, manager_, value, told, written):
    done, said = [], []
    monkeypatch.setattr(manager, "_tell_systemd", lambda _, properties: said.extend(properties))
    monkeypatch.setattr(limits, "apply", lambda _, settings: done.extend((each.file, each.value) for each in settings))
    settings = [Setting("pids.max", "5", "/pids/limit"), Setting("memory.max", value, "/memory/limit")]
    settings.append(Setting("memory.swap.max", "7", "/memory/swap"))
    want = manager.Want(manager_, settings, None)
    want.unit = Unit("s.slice", "x.scope", "") if manager_ == manager.SYSTEMD else None
    manager.limit_copies(want, "/x")
    assert (said, done) == (told, written)


def test_systemd_is_asked_again_before_its_properties_count_as_set(monkeypatch):
    """It answers before it writes, and on one processor no test sees that it does."""
    called = []

    class Bus:
        direct = False

        def __init__(self, address):
            pass

        def call(self, target, member, signatures, values):
            called.append(member)

        def free(self, message):
            pass

    monkeypatch.setattr(scopes, "Bus", Bus)
    scopes.Manager("unix:path=/bus").set_properties(Unit("s.slice", "x.scope", ""), [("MemoryMax", "t", 1)])
    assert called == ["AddMatch", "SetUnitProperties", "Ping"]
