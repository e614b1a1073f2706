"""Which facts are asked of the host for which config, since each costs a system call: none that nothing depends on."""

from typing import Any

import pytest
from pyrunc.cgroup import cgroupfs
from pyrunc.kernel import descriptors
from pyrunc.kernel.ids import idmap, subordinate
from pyrunc.kernel.ids.subordinate import Grant, IdRights
from pyrunc.kernel.process import credentials, lsm
from pyrunc.planning import facts
from pyrunc.spec.config import parse_config
from pyrunc.wings import netdevices, resctrl

from tests.unit.spec_specimen import MAPPING, PROCESS, full, minimal, put
from tests.unit.test_container_plan import options

LABELLED = {"cwd": "/", "args": ["x"]}


class Host:
    """What is asked of it, in `asked`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, euid: int, *, initial: bool) -> None:
        self.asked: list[object] = []
        for module, name, answer in (
            (descriptors, "inherited", frozenset((0, 3))), (lsm, "selinux_enabled", True),
            (lsm, "apparmor_enabled", True), (lsm, "apparmor_profiles", frozenset("p")), (cgroupfs, "own_path", "/own"),
            (netdevices, "pyroute2_is_installed", True), (resctrl, "mount_point", "/r"),
            (subordinate, "granted", (Grant("root", 5, 6),)),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, self.answering(name, answer))
        monkeypatch.setattr(facts.posix, "geteuid", lambda: euid)
        monkeypatch.setattr(idmap, "is_initial", lambda: initial)
        monkeypatch.setattr(idmap, "read", lambda kind: ((0, 5, len(kind)),))
        monkeypatch.setattr(credentials, "setgroups_denied", lambda: True)
        monkeypatch.setattr(subordinate, "rights", lambda path: IdRights(euid, euid, path, (), (), {}))

    def answering(self, name: str, answer: object) -> Any:
        def answered(*given: object) -> object:
            self.asked.append((name, *given) if given else name)
            return answer

        return answered

    def gathered(self, *changes: tuple[str, Any], **given: Any) -> facts.HostFacts:
        value = minimal()
        for pointer, item in changes:
            put(value, pointer, item)
        return facts.gather_for(parse_config(value), options(**given))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch, 0, initial=True)


def test_a_plain_config_depends_on_nothing(root: Host) -> None:
    found = root.gathered(("/process", LABELLED), ("/linux/namespaces", [{"type": "user", "path": "/u"}]))
    assert root.asked == []
    simple = {name: getattr(found, name) for kind in (facts.ProcessFacts, facts.HostFacts) for name in kind.__slots__}
    assert simple == {
        "apparmor": None, "cgroup": "/", "denies_setgroups": False, "euid": 0, "gids": (), "in_userns": False,
        "granted_to_root": {"uid": (), "gid": ()}, "inherited": frozenset(), "pyroute2": False, "resctrl": "",
        "rights": None, "selinux": False, "uids": (),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "given", "name", "answer", "asked"),
    [
        ([], {"preserve_fds": 1}, "inherited", frozenset((0, 3)), ["inherited"]),
        ([], {"environment": {b"LISTEN_FDS": b"1"}}, "inherited", frozenset((0, 3)), ["inherited"]),
        ([("/linux/mountLabel", "l")], {}, "selinux", True, ["selinux_enabled"]),
        ([("/process", LABELLED | {"selinuxLabel": "l"})], {}, "selinux", True, ["selinux_enabled"]),
        ([("/process", LABELLED | {"apparmorProfile": "p"})], {}, "apparmor", frozenset("p"),
         ["apparmor_enabled", "apparmor_profiles"]),
        ([("/linux/namespaces", [{"type": "network"}]), ("/linux/netDevices", {"eth0": {}})], {}, "pyroute2", True,
         ["pyroute2_is_installed"]),
        ([("/linux/intelRdt", {"closID": "c"})], {}, "resctrl", "/r", ["mount_point"]),
        ([("/linux/namespaces", [{"type": "user"}])], {}, "granted_to_root",
         dict.fromkeys(("uid", "gid"), (Grant("root", 5, 6),)),
         [("granted", "/etc/subuid", "root", 0), ("granted", "/etc/subgid", "root", 0)]),
        ([("/linux/namespaces", [{"type": "user"}]), ("/linux/uidMappings", MAPPING), ("/linux/gidMappings", MAPPING)],
         {}, "granted_to_root", {"uid": (), "gid": ()}, []),
    ],
)  # fmt: skip
def test_what_a_config_depends_on(
    root: Host, changes: list[Any], given: dict[str, Any], name: str, answer: object, asked: list[object]
) -> None:
    found = root.gathered(*changes, **given)
    assert root.asked == asked
    if name == "granted_to_root":
        assert {kind: [*map(str, grants)] for kind, grants in found.granted_to_root.items()} == {
            kind: [*map(str, grants)] for kind, grants in answer.items()  # type: ignore[attr-defined]
        }
    else:
        assert getattr(found, name) == answer


def test_without_apparmor_there_is_no_list_of_profiles(root: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: False)
    assert root.gathered(("/process", LABELLED | {"apparmorProfile": "p"})).apparmor is None
    assert root.asked == []


@pytest.mark.parametrize(("euid", "initial"), [(1000, True), (0, False)])
def test_whoever_is_not_root_of_the_host(monkeypatch: pytest.MonkeyPatch, euid: int, initial: bool) -> None:
    """Has a cgroup below his own. Root's lines of /etc/subuid are not for root of a user namespace, and an ordinary
    user moves no network interfaces."""
    host = Host(monkeypatch, euid, initial=initial)
    changes = ("/linux/namespaces", [{"type": "user"}, {"type": "network"}]), ("/linux/netDevices", {"eth0": {}})
    found = host.gathered(*changes, environment={b"PATH": b"/bin"})
    assert host.asked == (["own_path"] if euid else ["own_path", "pyroute2_is_installed"])
    assert (found.cgroup, found.privileged, found.in_userns) == ("/own", False, not initial)
    assert (found.denies_setgroups, found.uids) == (not initial, () if initial else ((0, 5, 3),))
    assert (found.rights is not None and found.rights.user) == ("/bin" if euid else False)
    host.asked.clear()
    for manager in ("systemd", "disabled"):
        assert host.gathered(cgroup_manager=manager, environment={b"DBUS_SESSION_BUS_ADDRESS": b"x"}).cgroup == "/"
    assert host.asked == []


def test_everything_is_asked_once(root: Host) -> None:
    config = parse_config(full())
    facts.gather_for(config, options(preserve_fds=1))
    assert len(set(root.asked)) == len(root.asked)
    assert {"inherited", "selinux_enabled", "apparmor_enabled"} <= set(root.asked)


def test_what_exec_depends_on(root: Host) -> None:
    found = facts.ProcessFacts()
    config = parse_config(minimal() | {"process": PROCESS})
    found.look(config.process, 2, {})
    assert set(root.asked) == {"inherited", "selinux_enabled", "apparmor_enabled", "apparmor_profiles"}
    assert (found.inherited, found.selinux, found.apparmor) == ({0, 3}, True, {"p"})
