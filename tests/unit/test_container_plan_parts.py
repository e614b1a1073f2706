"""The parts of create's plan that come from a table or a list: mounts, devices, sysctls, the cgroup, the terminal."""

from typing import Any

import pytest
from pyrunc.cgroup import devices
from pyrunc.errors import ConfigError, UsageError
from pyrunc.kernel import syscalls as k
from pyrunc.kernel.mount import mountoptions
from pyrunc.planning import container as plan
from pyrunc.planning import mounts as planned_mounts
from pyrunc.planning.facts import HostFacts
from pyrunc.wings.systemd import notify, scopes

from tests.unit.spec_specimen import MAPPING, SECCOMP
from tests.unit.test_container_plan import GRANT, OWN_USER, config, namespaces, options, ordinary, planned, within

USER = [namespaces("user", "mount", "cgroup"), *((f"/linux/{key}", value) for key, value in OWN_USER.items())]
ROOT = HostFacts(0, in_userns=False)


def mount(**keys: Any) -> tuple[str, Any]:
    return "/mounts", [{"destination": "/first", "type": "tmpfs"}, {"destination": "/d", **keys}]


@pytest.mark.parametrize(
    ("keys", "source", "kind", "flags", "sealed"),
    [
        ({"type": "tmpfs", "options": ["nosuid"]}, "", "tmpfs", k.MS_NOSUID, False),
        ({"type": "tmpfs", "source": "s", "options": ["nosuid", "ro"]}, "s", "tmpfs", k.MS_NOSUID, True),
        ({"type": "tmpfs", "source": "/s", "options": ["bind", "ro"]}, "/s", "tmpfs", k.MS_RDONLY, False),
        ({"type": "proc", "source": "proc", "options": ["ro"]}, "proc", "proc", k.MS_RDONLY, False),
        ({"source": "s", "options": ["bind"]}, "/bundle/s", "", 0, False),
        ({"type": "bind", "source": "/s/t", "options": ["rbind"]}, "/s/t", "bind", 0, False),
        ({"options": ["remount"]}, "", "", 0, False),
        ({"options": ["rslave"]}, "", "", 0, False),
    ],
)
def test_mount(keys: dict[str, Any], source: str, kind: str, flags: int, sealed: bool) -> None:
    made = planned(mount(**keys)).mounts[1]
    assert (made.source, made.destination, made.kind, made.pointer) == (source, "/d", kind, "/mounts/1")
    assert (made.options.flags, made.sealed, made.mapping) == (flags, sealed, None)
    assert (made.label, made.label_option) == ("", "context")


@pytest.mark.parametrize(
    ("keys", "where"), [({"options": ["bind"]}, "source"), ({}, "type"), ({"options": ["ro"], "source": "/x"}, "type")]
)
def test_mount_that_is_none(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(mount(**keys))
    assert caught.value.pointer == f"/mounts/1/{where}"


def test_a_bind_mount_has_no_options_of_a_file_system() -> None:
    given = config(mount(source="/s", options=["bind", "mode=1", "size=2"]))
    made = plan.build(given, options(), ROOT)
    assert (made.mounts[1].options.data, given.warnings) == ((), [])
    assert made.warnings == ("a bind mount has no file system options: `mode=1,size=2` is ignored (/mounts/1/options)",)
    other = config(mount(type="tmpfs", options=["mode=1"]))
    made = plan.build(other, options(), ROOT)
    assert (made.mounts[1].options.data, made.warnings) == (("mode=1",), ())
    without = config(mount(source="/s", options=["bind", "ro"]))
    made = plan.build(without, options(), ROOT)
    assert made.mounts[1].options.data == made.warnings == ()
    assert plan.build(config(mount(source="/s", options=["bind"])), options(), ROOT).mounts[1].options.data == ()


def with_labels() -> HostFacts:
    host = HostFacts(0, in_userns=False)
    host.selinux, host.apparmor = True, frozenset(("a",))
    return host


def test_labels_of_mounts() -> None:
    made = planned(
        mount(type="tmpfs"),
        ("/linux/mountLabel", "a:b:c:d"),
        ("/annotations", {"run.oci.mount_context_type": "fscontext"}),
        host=with_labels(),
    )
    assert made.mount_label == "a:b:c:d"
    assert [(one.label, one.label_option) for one in made.mounts] == [("a:b:c:d", "fscontext")] * 2


MAPPED = {"source": "/s", "options": ["bind"], "uidMappings": MAPPING, "gidMappings": MAPPING}


def test_id_mapped_mount() -> None:
    made = planned(namespaces("pid=/p", "user=/u", "mount"), mount(**MAPPED))
    assert [one.mapping is not None for one in made.mounts] == [False, True]
    with pytest.raises(ConfigError, match="needs root's privilege"):
        planned(mount(**MAPPED), host=ordinary(GRANT))


@pytest.mark.parametrize(
    ("destination", "source", "options_", "earlier"),
    [
        ("/a", "/b/root/a", ["bind"], "a"),
        ("/a/", "/b/./root//a/b/c", ["bind"], "a/b/c"),
        ("a/b", "/b/root/a/b", ["rbind"], "a/b"),
        ("/a/b", "/b/root/a", ["rbind"], "a"),
        ("/a/b", "/b/root/a", ["bind"], ""),  # what lies below is not bound with it
        ("/a/b", "/b/root/a/bc", ["rbind"], ""),
        ("/a/bc", "/b/root/a/b", ["rbind"], ""),
        ("/a", "/b/rootx/a", ["rbind"], ""),
        ("/a", "/a", ["rbind"], ""),
        ("/a", "/b/root/x/../a", ["rbind"], ""),
        ("/a", "/b/root/a", [], ""),
        ("/a", "/b/root/a/../q", ["rbind"], ""),
        ("/a", "/b/root/b/../a", ["rbind"], ""),
        ("/", "/b/root/a", ["rbind"], ""),
    ],
)
def test_source_in_what_an_earlier_mount_makes(
    destination: str, source: str, options_: list[str], earlier: str
) -> None:
    first = {"destination": destination, "type": "tmpfs"}
    second = {"destination": "/z", "type": "x", "source": source, "options": options_}
    within_root = {"destination": "/y", "type": "x", "source": "/b/root/none", "options": ["bind"]}
    made = planned(("/root/path", "/b/root"), ("/mounts", [first, second, first]))
    assert [one.earlier for one in made.mounts] == ["", earlier, ""]
    made = planned(("/root/path", "/b/root"), ("/mounts", [first, second, within_root]))
    assert [one.earlier for one in made.mounts] == ["", earlier, ""]
    swapped = planned(("/root/path", "/b/root"), ("/mounts", [second, first]))
    assert [one.earlier for one in swapped.mounts] == ["", ""]
    again = planned(("/root/path", "/b/root"), ("/mounts", [first | {"options": ["remount"]}, second]))
    assert [one.earlier for one in again.mounts] == ["", ""]


@pytest.mark.parametrize(("length", "number"), [(1, 1), (2, 2), (4095, 2048), (4096, 1), (4097, 1)])
def test_what_is_above_a_path(length: int, number: int) -> None:
    """With its NUL the kernel takes 4096 bytes; a longer one is not taken apart, which would cost its square."""
    path = ("a/" * length)[:length]
    found = planned_mounts._ways(path)
    assert (len(path), len(found), found[-1], found[0]) == (length, number, path, "a" if number > 1 else path)


def test_the_notify_socket_is_bound() -> None:
    made = planned(mount(type="tmpfs"), ("/process/env", ["A=b"]), notify_source="/state")
    last = made.mounts[2]
    source, destination, words = notify.mount("/state")
    assert (last.source, last.destination, last.kind) == (source, destination, "bind")
    assert last.options.flags == mountoptions.parse(words).flags
    assert made.env == ("A=b", notify.VARIABLE)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 1, "gid": 2}, (10, 229, 0o640, 1, 2)),
        ({"type": "p"}, (0, 0, 0o666, 0, 0)),
        ({"type": "p", "fileMode": 0}, (0, 0, 0, 0, 0)),
        ({"type": "b", "major": 8, "minor": 1, "fileMode": 0o107777}, (8, 1, 0o7777, 0, 0)),
    ],
)
def test_device(keys: dict[str, Any], expected: tuple[int, ...]) -> None:
    first = {"type": "p", "path": "/dev/a"}
    made = planned(("/linux/devices", [first, {"path": "/dev/x", **keys}])).devices[1]
    assert (made.path, made.kind, made.pointer) == ("/dev/x", keys["type"], "/linux/devices/1")
    assert repr((made.major, made.minor, made.mode, made.uid, made.gid)) == repr(expected)
    assert made.asked == tuple(key for key in ("fileMode", "uid", "gid") if key in keys)


def test_kernel_parameters() -> None:
    values = {"net.ipv4.ip_forward": "1", "kernel/msgmax": "5"}
    made = planned(namespaces("network", "ipc"), ("/linux/sysctl", values)).sysctl
    assert [(one.key, one.path, one.value, one.namespace, one.pointer) for one in made] == [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1", "network", "/linux/sysctl/net.ipv4.ip_forward"),
        ("kernel/msgmax", "kernel/msgmax", "5", "ipc", "/linux/sysctl/kernel~1msgmax"),
    ]


def test_network_devices() -> None:
    host, asked = HostFacts(0, in_userns=False), ("/linux/netDevices", {"eth0": {"name": "a"}, "ens4": {}})
    with pytest.raises(ConfigError, match="python3-pyroute2") as caught:
        planned(namespaces("network"), asked, host=host)
    assert caught.value.pointer == "/linux/netDevices"
    host.pyroute2 = True
    made = planned(namespaces("network"), asked, host=host).net_devices
    assert [(one.outside, one.inside, one.pointer) for one in made] == [
        ("eth0", "a", "/linux/netDevices/eth0"), ("ens4", "ens4", "/linux/netDevices/ens4"),
    ]  # fmt: skip


def test_seccomp_and_labels() -> None:
    made = planned(
        ("/linux/seccomp", SECCOMP), ("/process/apparmorProfile", "a"), ("/process/selinuxLabel", "s"),
        host=with_labels(),
    )  # fmt: skip
    assert made.profile is not None
    assert (made.filter, made.listener) == (None, ("/run/agent.sock", "a\0b"))
    assert [one.value for one in made.attributes] == [b"s", b"exec a"]
    ready = planned(("/annotations", {"run.oci.seccomp_bpf_data": "BgAAAAAA/38="}))
    assert (ready.profile, ready.filter is not None) == (None, True)


@pytest.mark.parametrize(("path", "named", "expected"), [("", False, "/c1"), ("/a/b", True, "/a/b"), ("b", True, "/b")])
def test_cgroup_of_root(path: str, named: bool, expected: str) -> None:
    made = planned(*([("/linux/cgroupsPath", path)] if path else [])).cgroup
    assert (made.manager, made.path, made.unit, made.owner) == ("cgroupfs", expected, None, None)
    assert made.pointer == ("/linux/cgroupsPath" if named else "")


def test_cgroup_of_others_lies_beside_theirs() -> None:
    for host in (ordinary(GRANT), within()):
        host.cgroup = "/user/own"
        assert planned(host=host).cgroup.path == "/user/c1"
    assert planned().cgroup.path == "/c1"


def test_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "address", lambda environment, *, user: f"{environment} {user}")
    changes = [
        ("/ociVersion", "1.3.0"),
        ("/linux/cgroupsPath", "a.slice:b:c"), ("/linux/resources/pids", {"limit": 0}),
        ("/linux/resources/unified", {"memory.oom.group": "1"}),
        ("/annotations", {"org.systemd.property.TimeoutStopUSec": "uint64 5"}),
    ]  # fmt: skip
    made = planned(*changes, cgroup_manager="systemd", environment={b"A": b"b"}).cgroup
    assert made.unit is not None
    assert (made.unit.slice, made.unit.name, made.path) == ("a.slice", "b-c.scope", "")
    assert made.pointer == "/linux/cgroupsPath"
    assert made.unit.address == "{b'A': b'b'} False"
    assert {one[0] for one in made.properties} >= {"TasksMax", "TimeoutStopUSec"}
    assert {one.file: one.value for one in made.settings} == {"pids.max": "1", "memory.oom.group": "1"}
    assert made.at_creation == (("OOMPolicy", "s", "kill"),)
    other = planned(cgroup_manager="systemd", host=ordinary(GRANT)).cgroup
    assert other.unit is not None
    assert (other.unit.slice, other.unit.address) == ("user.slice", "{} True")


def test_limits_need_a_manager() -> None:
    assert planned(cgroup_manager="disabled").cgroup.path == ""
    with pytest.raises(ConfigError) as caught:
        planned(("/linux/resources/pids", {"limit": 5}), cgroup_manager="disabled")
    assert caught.value.pointer == "/linux/resources/pids/limit"
    made = planned(("/linux/resources/pids", {"limit": 5})).cgroup
    assert [(one.file, one.value) for one in made.settings] == [("pids.max", "5")]


@pytest.mark.parametrize("key", ["kernel", "kernelTCP", "swappiness"])
def test_a_limit_of_cgroup_v1_is_warned_about_once(key: str) -> None:
    given = config(("/linux/resources/memory", {key: 5}))
    made = plan.build(given, options(), HostFacts(0, in_userns=False, rights=None))
    warnings = [text for text in (*given.warnings, *made.warnings) if key in text]
    assert warnings == [f"/linux/resources/memory/{key} is ignored: it exists in cgroup v1 only"]


@pytest.mark.parametrize(("path", "manager"), [("../a", "cgroupfs"), ("a:b:c", "cgroupfs"), ("/a", "systemd")])
def test_a_cgroups_path_that_is_refused_is_named(path: str, manager: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(("/linux/cgroupsPath", path), cgroup_manager=manager, environment={b"DBUS_SESSION_BUS_ADDRESS": b"x"})
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize("name", ["a b", "1"])
def test_a_property_that_is_refused_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(("/annotations", {f"org.systemd.property.{name}": "1"}), cgroup_manager="systemd", environment={})
    assert caught.value.pointer == f"/annotations/org.systemd.property.{name}"


def named(kind: str, count: int) -> Any:
    return devices.Rule(kind, count, -1, "rwm", allow=True)


def rules_of(made: Any) -> tuple[object, ...]:
    (rule,) = made.devices
    return rule.type, rule.major, made.asks_for_devices


def test_device_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "rules", lambda listed, pointer: [named(pointer, len(listed))])
    monkeypatch.setattr(devices, "rules_without_any", lambda nodes: [named("none", len(nodes))])
    listed = ("/linux/resources/devices", [{"allow": False}])
    made = planned(("/linux/devices", [{"type": "p", "path": "/a"}])).cgroup
    assert rules_of(made) == ("none", 1, False)
    made = planned(listed).cgroup
    assert rules_of(made) == ("/linux/resources/devices", 1, True)
    made = planned(listed, *USER).cgroup
    assert rules_of(made) == ("/linux/resources/devices", 1, True)
    made = planned(listed, host=within()).cgroup
    assert (made.devices, made.asks_for_devices) == (None, False)


def cgroup_mount(kind: str, *words: str) -> tuple[str, Any]:
    return "/mounts", [{"destination": "/sys/fs/cgroup", "type": kind, "options": list(words)}]


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ([*USER, cgroup_mount("cgroup")], (100000, 100000)),
        ([*USER, cgroup_mount("cgroup2", "rw")], (100000, 100000)),
        ([*USER, cgroup_mount("cgroup", "nosuid", "ro")], None),
        ([*USER, cgroup_mount("tmpfs")], None),
        ([*USER], None),
        ([namespaces("cgroup"), cgroup_mount("cgroup")], None),
        ([namespaces("user", "mount"), *USER[1:], cgroup_mount("cgroup")], None),
        ([("/annotations", {"run.oci.delegate-cgroup": "x"})], (0, 0)),
        ([*USER, ("/annotations", {"run.oci.delegate-cgroup": "x"})], (100000, 100000)),
    ],
)
def test_whose_the_cgroup_is(changes: list[Any], owner: "tuple[int, int] | None") -> None:
    assert planned(*changes).cgroup.owner == owner


def test_an_ordinary_user_gives_no_cgroup_away() -> None:
    assert planned(namespaces("cgroup"), cgroup_mount("cgroup"), host=ordinary(GRANT)).cgroup.owner is None


@pytest.mark.parametrize(
    ("terminal", "detach", "socket", "error"),
    [
        (False, False, "", ""),
        (False, True, "", ""),
        (True, False, "", ""),
        (True, True, "/s", ""),
        (True, False, "/s", ""),
        (True, True, "", "cannot allocate a terminal for a detached container without --console-socket"),
        (False, True, "/s", "--console-socket is given, but process.terminal is false in config.json"),
        (False, False, "/s", "--console-socket is given, but process.terminal is false in config.json"),
    ],
)
def test_terminal(terminal: bool, detach: bool, socket: str, error: str) -> None:
    given, said = config(("/process/terminal", terminal)), options(detach=detach, console_socket=socket)
    if not error:
        assert plan.build(given, said, ROOT).options is said
        return
    with pytest.raises(UsageError) as caught:
        plan.build(given, said, ROOT)
    assert caught.value.message == error
    if socket:
        with pytest.raises(UsageError):
            plan.build(config(process=None), said, ROOT)


@pytest.mark.parametrize(
    ("paths", "readonly", "left"),
    [
        (["/a"], False, ("/a",)),
        (["/x"], False, ("/x",)),
        (["/a", "/"], True, ("/a",)),
        (["//"], True, ()),
    ],
)
def test_a_root_that_is_among_the_read_only_paths(paths: list[str], readonly: bool, left: tuple[str, ...]) -> None:
    made = planned(namespaces("mount"), ("/linux/readonlyPaths", paths))
    assert (made.rootfs_readonly, made.readonly_paths) == (readonly, left)


def test_setgroups_in_a_namespace_that_is_joined_is_asked_for_inside() -> None:
    one = [{"containerID": 0, "hostID": 1001, "size": 1}]
    ids = [("/linux/uidMappings", one), ("/linux/gidMappings", one)]
    assert planned(namespaces("user=/u"), *ids, host=ordinary()).denies_setgroups is False
