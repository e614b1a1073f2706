"""What of a container is undone, in which order, and what becomes of it if a part of the undoing fails, too."""

from types import SimpleNamespace

import pytest
from pyrunc.cgroup import cgroupfs, events, manager
from pyrunc.cgroup.names import Unit
from pyrunc.errors import PyruncError
from pyrunc.kernel.mount import rootfs
from pyrunc.resources import Resources
from pyrunc.savedstate import State
from pyrunc.stages import making
from pyrunc.wings import resctrl
from pyrunc.wings.criu import restorer


class Host:
    """What is undone on it; fails: words of what cannot be."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.fails = ""

    def do(self, *what: object) -> None:
        self.done.append(what)
        if what[0] == self.fails:
            raise PyruncError(f"{what[0]} `{what[1]}`", errno=16)


@pytest.fixture
def host(monkeypatch):
    host = Host()

    def remove(path, unit, *, found, kill=True):
        host.do("cgroup", path, unit and tuple(unit.words), found, kill)

    monkeypatch.setattr(manager, "remove", remove)
    monkeypatch.setattr(manager, "stop_unused", lambda unit: host.do("unused unit", unit.name, unit.address))
    monkeypatch.setattr(cgroupfs, "remove_unused", lambda path: host.do("unused cgroup", path))
    monkeypatch.setattr(events, "frozen", lambda path: path == "/frozen")
    monkeypatch.setattr(rootfs, "detach", lambda path, before: host.do("mounts", path, before))
    monkeypatch.setattr(rootfs, "without_namespace", lambda path: (path, [7]))
    monkeypatch.setattr(resctrl, "remove", lambda path: host.do("group", path))
    monkeypatch.setattr(resctrl, "remove_unused", lambda path: host.do("unused group", path))
    monkeypatch.setattr(resctrl.posix, "mkdir", lambda path, mode: None)
    return host


def directory(host):
    """The state directory, as a container that can only be removed."""
    return SimpleNamespace(remove=lambda: host.do("directory", "/root/c1"))


def planned(want):
    """What a Making takes of a plan."""
    return SimpleNamespace(cgroup=want, maps=None, filter=None, denies_setgroups=False)


def made_all(host, kind):
    """A create or restore that has made all that it can make but processes."""
    want = manager.Want(manager.CGROUPFS, [], None)
    want.path = "/a"
    made, noted = kind(directory(host), planned(want)), []

    def note(*entry):
        noted.append(entry)

    made.resources.groups.make(resctrl.Group("/r", "c1", None, [], monitor=True), note)
    made.resources.mounts.make("/bundle/rootfs", note)
    made.resources.interfaces._move = SimpleNamespace(give_back=lambda: None)
    made.resources.cgroup.adopt(77, note, "c1")
    return made, dict(noted)


ALL = [
    ("interfaces", "eth1"), ("processes", 77), ("cgroup", "/a", None, False, True), ("mounts", "/bundle/rootfs", [7]),
    ("group", "/r/c1/mon_groups/c1"), ("group", "/r/c1"), ("hooks", "poststop"), ("directory", "/root/c1"),
]  # fmt: skip


@pytest.mark.parametrize("kind", [making.Making, restorer.Restored])
@pytest.mark.parametrize("fails", ["", *(step[0] for step in ALL)])
def test_all_is_undone_though_a_part_cannot_be(monkeypatch, host, kind, fails):
    monkeypatch.setattr(cgroupfs, "join", lambda path, pid: None)
    made, _ = made_all(host, kind)
    made.resources.interfaces._move.give_back = lambda: host.do("interfaces", "eth1")
    monkeypatch.setattr(kind, "end", lambda _: host.do("processes", 77))
    host.fails = fails
    error = PyruncError("mount `proc`")
    made.undo(error, lambda: host.do("hooks", "poststop"))
    # Of two groups the first that cannot be removed keeps the other.
    assert host.done == [step for step in ALL if fails != "group" or step != ("group", "/r/c1")]
    assert ("the cleanup failed, too: " in str(error)) == bool(fails)


def test_a_better_hint_stays(host):
    host.fails = "cgroup"
    made = making.Making(directory(host), planned(manager.Want(manager.CGROUPFS, [], None)))
    made.resources.cgroup.path, made.resources.cgroup._ours = "/a", True
    error = PyruncError("mount `proc`", hint="mount it")
    made.undo(error)
    assert str(error) == "mount `proc` (mount it)"


def test_who_ends_by_a_signal_undoes_all_the_same(host):
    host.fails = "cgroup"
    made = making.Making(directory(host), planned(manager.Want(manager.CGROUPFS, [], None)))
    made.resources.cgroup.path, made.resources.cgroup._ours = "/a", True
    made.undo(KeyboardInterrupt())
    assert [step[0] for step in host.done] == ["cgroup", "directory"]


def undo(host, data, *, was_alive=False, warnings=None):
    """What delete undoes by this journal."""
    told = [] if warnings is None else warnings
    state = State()
    for key, value in data.items():
        state.take(key, value)
    resources = Resources.from_journal(directory(host), state, told.append, was_alive=was_alive)
    resources.undo(lambda: host.do("processes", 77), lambda: host.do("hooks", "poststop"))
    assert host.done[-2:] == ALL[-2:]
    return host.done[1:-2]


def test_delete_undoes_what_create_has_noted(monkeypatch, host):
    monkeypatch.setattr(cgroupfs, "join", lambda path, pid: None)
    _, noted = made_all(host, making.Making)
    assert undo(host, {**noted, "cgroup": "/a"}) == ALL[2:-2]


@pytest.mark.parametrize("fails", ["processes", "cgroup", "mounts", "hooks", "directory"])
def test_delete_stops_at_what_cannot_be_undone(monkeypatch, host, fails):
    monkeypatch.setattr(cgroupfs, "join", lambda path, pid: None)
    _, noted = made_all(host, making.Making)
    host.fails = fails
    with pytest.raises(PyruncError, match=fails):
        undo(host, {**noted, "cgroup": "/a"})
    assert host.done[-1][0] == fails


@pytest.mark.parametrize(
    ("journal", "undone"),
    [
        ({}, []),
        ({"cgroup": ""}, []),
        ({"cgroupIntent": "", "cgroup": ""}, []),
        ({"cgroupIntent": "/a"}, [("unused cgroup", "/a")]),
        ({"cgroupIntent": "/a", "cgroupFound": True}, []),
        ({"cgroupIntent": "/a", "cgroup": "/a"}, [("cgroup", "/a", None, False, True)]),
        ({"cgroupFound": True, "cgroup": "/a"}, [("cgroup", "/a", None, True, True)]),
        ({"unitIntent": ["s", "u", "b"]}, [("unused unit", "u", "b")]),
        ({"unitIntent": ["s", "u"]}, []),
        ({"unitIntent": ["s", "u", "b"], "unit": ["s", "u", "b"]}, [("cgroup", "", ("s", "u", "b"), False, True)]),
        ({"unit": ["s", "u", "b"], "cgroup": "/s/u"}, [("cgroup", "/s/u", ("s", "u", "b"), False, True)]),
        ({"mountsBefore": [7]}, []),
        ({"mounted": "/m"}, [("mounts", "/m", [])]),
        ({"mounted": "/m", "mountsBefore": [7]}, [("mounts", "/m", [7])]),
        ({"resctrlGroupIntent": "/g"}, [("unused group", "/g")]),
        ({"resctrlGroupIntent": "/g", "resctrlGroup": "/g"}, [("group", "/g")]),
        (
            {"resctrlGroup": "/g", "resctrlMonitorIntent": "/g/mon_groups/c"},
            [("unused group", "/g/mon_groups/c"), ("group", "/g")],
        ),
        ({"resctrlGroup": None, "resctrlMonitor": "/g/mon_groups/c"}, [("group", "/g/mon_groups/c")]),
    ],
)  # fmt: skip
def test_journal(host, journal, undone):
    assert undo(host, journal) == undone


@pytest.mark.parametrize(
    ("data", "was_alive", "kill"),
    [
        ({"cgroup": "/a", "privatePids": True}, False, False),
        ({"cgroup": "/a", "privatePids": True}, True, True),
        ({"cgroup": "/frozen", "privatePids": True}, False, True),
        ({"cgroup": "/a", "privatePids": False}, False, True),
        ({"cgroup": "/a", "privatePids": True, "unit": ["s", "u", "b"]}, False, True),
    ],
)
def test_who_may_be_anothers_is_not_killed(host, data, was_alive, kill):
    assert undo(host, data, was_alive=was_alive)[0][-1] == kill


@pytest.mark.parametrize(("users", "frozen"), [([78], False), ([], False), ([78], True)])
def test_cgroup_that_another_is_in_by_now_stays(monkeypatch, host, users, frozen):
    monkeypatch.setattr(cgroupfs, "members", lambda path: users)
    host.fails, warnings, path = "cgroup", [], "/frozen" if frozen else "/a"
    if not users or frozen:
        with pytest.raises(PyruncError, match="cgroup"):
            undo(host, {"cgroup": path, "privatePids": True}, warnings=warnings)
        assert not warnings
    else:
        undo(host, {"cgroup": path, "privatePids": True, "mounted": "/m"}, warnings=warnings)
        assert warnings == ["cgroup `/a` is not removed: process 78 in it is not this container's"]
        assert ("mounts", "/m", []) in host.done


def test_scope_is_noted_before_and_after(monkeypatch, host):
    noted = []

    def adopt(want, pid, *, placed, description):
        assert noted == [("unitIntent", ["s.slice", "u.scope", "bus"])]
        assert (placed, description) == (False, "container c1")
        return "/s.slice/u.scope"

    monkeypatch.setattr(manager, "adopt", adopt)
    want = manager.Want(manager.SYSTEMD, [], None)
    want.unit = Unit("s.slice", "u.scope", "bus")
    made = making.Making(directory(host), planned(want))
    assert made.resources.cgroup.make(lambda *entry: noted.append(entry)) == -1
    made.undo(PyruncError("it fails before"))
    assert host.done == [("directory", "/root/c1")]
    host.done.clear()
    made.resources.cgroup.adopt(77, lambda *entry: noted.append(entry), "c1")
    assert noted[1:] == [("unit", ["s.slice", "u.scope", "bus"]), ("cgroup", "/s.slice/u.scope")]
    made.undo(PyruncError("it fails after"))
    assert host.done[0] == ("cgroup", "/s.slice/u.scope", ("s.slice", "u.scope", "bus"), False, True)
