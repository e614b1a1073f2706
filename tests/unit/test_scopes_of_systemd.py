"""What systemd is asked for a container's scope; tests/systemd asks a real one."""

import pytest
from pyrunc.cgroup.names import Unit
from pyrunc.wings.systemd import scopes
from pyrunc.wings.systemd.bus import CallError

UNIT = Unit("box.slice", "pyrunc-x.scope", "")


class Manager(scopes.Manager):
    """A manager that takes down what it is asked; refuses: for how many times the name is taken."""

    __slots__ = ("asked", "refuses", "version")

    def __init__(self, refuses: int = 0, version: str = "") -> None:
        self.asked: list[tuple[str, list[object]]] = []
        self.refuses, self.version = refuses, version

    def _text(self, thing, interface, name):
        assert (thing, interface, name) == (scopes._PATH, scopes._INTERFACE, "Version")
        assert self.version, "nobody has asked for what is newer"
        return self.version

    def _job(self, member, signatures, arguments):
        self.asked.append((member, arguments))
        if self.refuses:
            self.refuses -= 1
            raise CallError(member, scopes._UNIT_EXISTS)

    def reset_failed(self, unit):
        self.asked.append(("ResetFailedUnit", [unit.name]))

    def names(self) -> list[str]:
        return [member for member, _ in self.asked]


@pytest.fixture(autouse=True)
def _moved(monkeypatch):
    monkeypatch.setattr(scopes, "_cgroup_of", lambda _: f"/box.slice/{UNIT.name}")


def properties(manager: Manager) -> dict[str, tuple[str, object]]:
    _, (name, mode, wanted, _) = manager.asked[-1]
    assert (name, mode) == (UNIT.name, "fail")
    return dict(wanted)


def test_scope_has_what_every_container_needs():
    manager = Manager()
    assert manager.start_scope(UNIT, 77, "container x", []) == f"/box.slice/{UNIT.name}"
    found = properties(manager)
    assert found["PIDs"] == ("au", [77])
    assert found["Slice"] == ("s", "box.slice")
    assert found["Description"] == ("s", "container x")
    assert found["Delegate"] == ("b", True)
    assert found["DefaultDependencies"] == ("b", False)
    for what in ("CPU", "IO", "Memory", "Tasks"):
        assert found[f"{what}Accounting"] == ("b", True)


def test_own_properties_win():
    manager = Manager()
    manager.start_scope(UNIT, 77, "container x", [("Description", "s", "mine"), ("TasksMax", "t", 5)])
    found = properties(manager)
    assert (found["Description"], found["TasksMax"]) == (("s", "mine"), ("t", 5))


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("252.39-1~deb12u1", False), ("252", False), ("253", True), ("v253~rc2", True), ("257.13-1~deb13u1", True),
        ("1000 (git)", True), ("unknown", False),
    ],
)  # fmt: skip
def test_older_systemd_gets_no_property_that_it_does_not_know(version, knows):
    manager = Manager(version=version)
    manager.start_scope(UNIT, 77, "container x", [], [("OOMPolicy", "s", "kill")])
    assert properties(manager).get("OOMPolicy") == (("s", "kill") if knows else None)


def test_annotation_wins_over_what_is_newer():
    manager = Manager(version="257")
    manager.start_scope(UNIT, 77, "container x", [("OOMPolicy", "s", "stop")], [("OOMPolicy", "s", "kill")])
    assert properties(manager)["OOMPolicy"] == ("s", "stop")


def test_name_of_a_failed_unit_is_taken_again():
    manager = Manager(refuses=1)
    manager.start_scope(UNIT, 77, "", [])
    assert manager.names() == ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]


def test_name_in_use_is_refused():
    with pytest.raises(CallError):
        Manager(refuses=2).start_scope(UNIT, 77, "", [])


def test_stopped_unit_is_forgotten():
    manager = Manager()
    manager.stop(UNIT)
    assert manager.asked == [("StopUnit", [UNIT.name, "replace"]), ("ResetFailedUnit", [UNIT.name])]
