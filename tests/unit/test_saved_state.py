"""What create saves is what later commands read; what a version before has written is read as well."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import processes
from pyrunc.planning import container as plan
from pyrunc.planning.facts import HostFacts
from pyrunc.savedstate import FIELDS, State
from pyrunc.stages import making, parent

from tests.unit.spec_specimen import HOOK, SECCOMP
from tests.unit.test_container_plan import config, namespaces, options

# Of 0.1.0 before the table: a container of --systemd-cgroup, so that it has all that a state can have but resctrl.
BEFORE = (
    '{"version":1,"id":"old1","bundle":"/b","rootfs":"/b/rootfs","pid":6223,"startTime":103189,'
    '"created":"2026-11-30T22:24:07Z","annotations":{"a":"b"},"cgroup":"/s.slice/old1.scope","cgroupFound":false,'
    '"cgroupLeaf":"","unit":["s.slice","old1.scope","unix:path=/bus"],"hooks":{"poststart":[{"path":"/bin/true",'
    '"args":["true"],"env":null,"timeout":5}],"poststop":[{"path":"/bin/true","args":[],"env":null,"timeout":null}]},'
    '"process":true,"privatePids":true,"newKeyring":true,"keyring":"_ses.old1.db89dc3a0299a841",'
    '"seccompListener":["/agent",null],"resctrl":null,"resctrlGroup":null,"resctrlMonitor":null,'
    '"streams":["/dev/null","pipe:[7]","/err"],"mounted":null,"mountsBefore":[],"namespaces":{"mount":[4,4026532254]},'
    '"seenFrom":[4026531836,4026531834]}'
)
# The least that every version has written.
OLDEST = '{"version":1,"id":"old1","bundle":"/b","pid":7,"startTime":8}'


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container.claim(str(tmp_path / "root"), "old1")


def written(container: Container, text: str) -> State:
    """The state that a file of this text is read as."""
    container.write("state.json", text.encode())
    return container.load()


def test_file_of_the_version_before(container: Container) -> None:
    state = written(container, BEFORE)
    assert (state.id, state.bundle, state.rootfs, state.created) == ("old1", "/b", "/b/rootfs", "2026-11-30T22:24:07Z")
    assert (state.pid, state.start_time, state.seen_from) == (6223, 103189, [4026531836, 4026531834])
    assert (state.annotations, state.namespaces) == ({"a": "b"}, {"mount": [4, 4026532254]})
    assert (state.cgroup, state.cgroup_found, state.cgroup_leaf) == ("/s.slice/old1.scope", False, "")
    assert state.unit is not None
    assert (state.unit.slice, state.unit.name, state.unit.address) == ("s.slice", "old1.scope", "unix:path=/bus")
    assert (state.has_process, state.private_pids, state.new_keyring) == (True, True, True)
    assert state.keyring == "_ses.old1.db89dc3a0299a841"
    assert (state.listener, state.streams) == (["/agent", None], ["/dev/null", "pipe:[7]", "/err"])
    assert (state.resctrl, state.resctrl_group, state.resctrl_monitor) == ("", "", "")
    assert (state.mounted, state.mounts_before) == ("", [])
    (first,), (last,) = state.hooks("poststart"), state.hooks("poststop")
    assert (first.path, first.args, first.env, first.timeout) == ("/bin/true", ["true"], None, 5)
    assert (last.path, last.args, last.env, last.timeout) == ("/bin/true", [], None, None)


def test_file_of_an_older_version(container: Container) -> None:
    state = written(container, OLDEST)
    assert state.to_json() == {"id": "old1", "bundle": "/b", "pid": 7, "startTime": 8}
    assert (state.private_pids, state.has_process, state.new_keyring) == (None, True, True)
    assert (state.cgroup, state.unit, state.hooks("poststop")) == ("", None, [])


@pytest.mark.parametrize("text", [BEFORE, OLDEST])
def test_what_is_saved_is_read_again(container: Container, text: str) -> None:
    state = written(container, text)
    container.save(state)
    assert container.load().to_json() == state.to_json()


def test_file_of_a_newer_version(container: Container) -> None:
    with pytest.raises(PyruncError, match="was written by a newer pyrunc"):
        written(container, '{"version":2,"pid":"x"}')
    assert written(container, OLDEST.replace("{", '{"unheardOf":[],')).pid == 7


VALUES = (7, "a", True, 7.0, {"a": []}, ["a"], [7])


@pytest.mark.parametrize("key", FIELDS)
def test_value_of_a_wrong_type_is_damage(container: Container, key: str) -> None:
    (fitting,) = [value for value in VALUES if State().take(key, value)]
    default = getattr(State(), FIELDS[key])
    assert type(fitting) is (bool if default is None else type(default))
    for value in (*VALUES, [[]], [None, 7.0]):
        text = json.dumps(json.loads(OLDEST) | {key: value})
        if value is fitting:
            written(container, text)
        else:
            with pytest.raises(PyruncError, match=r"^the state of container `old1` is damaged \(`pyrunc delete"):
                written(container, text)


@pytest.mark.parametrize("key", ["pid", "startTime", "bundle"])
def test_state_without_what_every_version_has_written_is_damage(container: Container, key: str) -> None:
    with pytest.raises(PyruncError, match=r"^the state of container `old1` is damaged "):
        written(container, OLDEST.replace(key, "x"))


def test_every_field_has_a_key() -> None:
    assert sorted((*FIELDS.values(), "past", "saved")) == sorted(State.__slots__)
    assert len(set(FIELDS.values())) == len(FIELDS)
    assert all(hasattr(State(), field) for field in State.__slots__)


def saved(container: Container, *changes: tuple[str, object], process: bool = True, **words: object) -> State:
    """What create saves by the plan of such a configuration, if its first process is this one."""
    settings = options(**words)
    host = HostFacts(0, in_userns=False)
    host.resctrl = "/r"
    made_by = plan.build(config(*changes, **({} if process else {"process": None})), settings, host)
    made = making.Making(container, made_by)
    made.pid, made.start_time, made.seen_from = os.getpid(), 8, processes.vantage()
    made.resources.cgroup.path = "/c1"
    if made_by.resctrl is not None:
        made.resources.groups._group = made_by.resctrl
    parent.save(made_by, container, made)
    return container.load()


def test_create_saves(container: Container) -> None:
    state = saved(
        container, namespaces("pid"), ("/hooks/poststart", [HOOK]), ("/hooks/poststop", [{"path": "/x"}]),
        ("/annotations", {"a": ""}),
    )  # fmt: skip
    data = state.to_json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", state.created)
    there = time.mktime(time.strptime(state.created, "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(there - time.mktime(time.gmtime())) < 3600
    assert len(state.streams) == 3
    assert state.namespaces["pid"] == [(facts := os.stat("/proc/self/ns/pid")).st_dev, facts.st_ino]
    for key in ("created", "streams", "namespaces"):
        del data[key]
    assert data == {
        "id": "c1", "bundle": "/bundle", "rootfs": "/", "pid": os.getpid(), "startTime": 8,
        "seenFrom": processes.vantage(), "annotations": {"a": ""}, "cgroup": "/c1", "privatePids": True,
        "hooks": {"poststart": [HOOK], "poststop": [{"path": "/x", "args": [], "env": None, "timeout": None}]},
    }  # fmt: skip


def test_create_saves_other_kinds(container: Container) -> None:
    state = saved(
        container, ("/linux/seccomp", SECCOMP), ("/linux/intelRdt", {"enableMonitoring": True}),
        ("/annotations", {"run.oci.delegate-cgroup": "a/b"}), process=False,
        cgroup_manager="systemd", environment={b"DBUS_SYSTEM_BUS_ADDRESS": b"unix:path=/bus"},
    )  # fmt: skip
    assert state.unit is not None
    assert state.unit.words == ["system.slice", "pyrunc-c1.scope", "unix:path=/bus"]
    assert state.cgroup_leaf == "/a/b"
    assert state.listener == ["/run/agent.sock", "a\0b"]
    assert (state.has_process, state.private_pids) == (False, False)
    assert (state.resctrl, state.resctrl_group, state.resctrl_monitor) == ("/r/c1", "/r/c1", "/r/c1/mon_groups/c1")


def test_a_listener_that_nothing_is_sent_to_is_not_saved(container: Container) -> None:
    silent = SECCOMP | {"syscalls": SECCOMP["syscalls"][:1]}  # type: ignore[index]  # a list
    assert saved(container, ("/linux/seccomp", silent)).listener == []
