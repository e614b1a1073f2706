"""From config, options and host to the plan of create. No container is made: the plan is a value."""

import copy
from typing import Any

import pytest
from pyrunc import SPEC_VERSION
from pyrunc.cgroup import devices
from pyrunc.errors import ConfigError
from pyrunc.kernel import syscalls as k
from pyrunc.kernel.ids.subordinate import Grant, IdRights
from pyrunc.planning import container as plan
from pyrunc.planning.facts import HostFacts
from pyrunc.spec.config import Config, parse_config

from tests.unit.spec_specimen import HOOK, MAPPING, minimal, put

ROOT = HostFacts(0, in_userns=False)
PROCESS = {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}}
OWN_USER = {"uidMappings": MAPPING, "gidMappings": MAPPING}


def ordinary(*grants: Grant, denies_setgroups: bool = False) -> HostFacts:
    helpers = {"newuidmap": "/u", "newgidmap": "/g"}
    rights = IdRights(1000, 1001, "ann", grants, grants, helpers)
    return HostFacts(1000, in_userns=False, rights=rights, denies_setgroups=denies_setgroups)


def within(*, denies_setgroups: bool = False) -> HostFacts:
    """Root of another user namespace, with the ids 0 to 99."""
    result = HostFacts(0, in_userns=True, denies_setgroups=denies_setgroups)
    result.uids = result.gids = ((0, 5, 100),)
    return result


def config(*changes: tuple[str, Any], process: object = PROCESS) -> Config:
    value = minimal()
    if process:
        value["process"] = copy.deepcopy(PROCESS)
    for pointer, item in changes:
        put(value, pointer, item)
    return parse_config(value)


def options(**given: Any) -> plan.CreateOptions:
    result = plan.CreateOptions("c1", "/bundle")
    for key, value in given.items():
        setattr(result, key, value)
    return result


def planned(*changes: tuple[str, Any], host: HostFacts = ROOT, **given: Any) -> plan.ContainerPlan:
    return plan.build(config(*changes), options(**given), host)


def namespaces(*names: str) -> tuple[str, Any]:
    """ "pid" is a new one, "pid=/path" is joined."""
    entries = [name.partition("=") for name in names]
    return "/linux/namespaces", [{"type": kind} | ({"path": path} if path else {}) for kind, _, path in entries]


def test_the_command_line_as_it_begins() -> None:
    given = plan.CreateOptions("c1", "/bundle")
    assert {name: getattr(given, name) for name in plan.CreateOptions.__slots__} == {
        "container_id": "c1", "bundle": "/bundle", "console_socket": "", "pid_file": "", "pidfd_socket": "",
        "keyring": "", "notify_source": "", "cgroup_manager": "cgroupfs", "environment": {}, "preserve_fds": 0,
        "detach": True, "pivot": True, "new_keyring": True,
    }  # fmt: skip


def test_the_smallest_plan() -> None:
    made = plan.build(config(process=None), options(), ROOT)
    simple = {name: getattr(made, name) for name in plan.ContainerPlan.__slots__ if not name.startswith("_")}
    hooks, maps, cgroup = simple.pop("hooks"), simple.pop("maps"), simple.pop("cgroup")
    assert [entries for _, entries in hooks.named()] == [[]] * 6
    assert (maps.uids, maps.gids, maps.automatic) == ((), (), False)
    assert (cgroup.path, cgroup.pointer, cgroup.owner, cgroup.leaf, cgroup.settings) == ("/c1", "", None, "", ())
    assert (cgroup.asks_for_devices, len(cgroup.devices)) == (False, len(devices.rules_without_any([])))
    assert simple.pop("options").container_id == "c1"
    assert not simple.pop("process").exists
    assert simple == {
        "annotations": {}, "attributes": (), "bundle": "/bundle", "can_mknod": True,
        "container_id": "c1",
        "denies_setgroups": False, "devices": (), "domainname": None, "env": (), "filter": None, "hook_paths": ("", ""),
        "hostname": None, "joins": (), "keeps_groups": False, "kept_fds": 0, "keyring": "",
        "listener": None, "makes_nodes": False, "masked_paths": (), "memory_policy": None, "mount_label": "",
        "mounts": (), "net_devices": (), "new": 0, "new_keyring": True, "personality": None, "pidfd_socket": "",
        "profile": None, "propagation": "", "readonly_paths": (), "resctrl": None, "rootfs": "/",
        "rootfs_readonly": False, "sysctl": (), "time_offsets": (), "warnings": (),
    }  # fmt: skip


def test_what_is_taken_as_it_stands() -> None:
    made = planned(
        namespaces("uts", "mount", "time", "pid", "ipc"), ("/hostname", "h"), ("/domainname", "d"),
        ("/root/path", "rootfs"), ("/root/readonly", True), ("/linux/maskedPaths", ["/a"]),
        ("/linux/readonlyPaths", ["/b"]), ("/linux/rootfsPropagation", "rshared"), ("/annotations", {"a": "b"}),
        ("/process/env", ["A=b"]), ("/linux/personality", {"domain": "LINUX32"}),
        ("/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "0", "flags": []}),
        ("/linux/timeOffsets", {"boottime": {"secs": -5, "nanosecs": 6}}), new_keyring=False, keyring="k",
    )  # fmt: skip
    assert (made.hostname, made.domainname, made.rootfs, made.rootfs_readonly) == ("h", "d", "/bundle/rootfs", True)
    assert (made.masked_paths, made.readonly_paths, made.propagation) == (("/a",), ("/b",), "rshared")
    assert (made.annotations, made.env, made.new_keyring, made.keyring) == ({"a": "b"}, ("A=b",), False, "k")
    assert made.personality is not None
    assert made.memory_policy is not None
    assert made.time_offsets == (("boottime", -5, 6),)
    assert made.new == k.CLONE_NEWUTS | k.CLONE_NEWNS | k.CLONE_NEWTIME | k.CLONE_NEWPID | k.CLONE_NEWIPC
    assert made.new_at_once == made.new & ~k.CLONE_NEWTIME
    assert made.process.exists
    assert made.process.args == ["sh"]


def test_annotations_that_are_meant_for_us() -> None:
    words = {"run.oci.hooks.stdout": "/o", "run.oci.hooks.stderr": "/e", "run.oci.pidfd_receiver": "/p",
             "run.oci.keep_original_groups": "1"}  # fmt: skip
    made = planned(("/annotations", words))
    assert (made.hook_paths, made.pidfd_socket, made.keeps_groups) == (("/o", "/e"), "/p", True)
    assert planned(("/annotations", words), pidfd_socket="/q").pidfd_socket == "/q"
    assert planned().pidfd_socket == ""


def test_descriptors_that_are_kept() -> None:
    host = HostFacts(0, in_userns=False)
    host.inherited = frozenset(range(9))
    assert planned(host=host).kept_fds == 0
    made = planned(("/process/env", ["A=b"]), host=host, preserve_fds=2, environment={b"LISTEN_FDS": b"1"})
    assert (made.kept_fds, made.env) == (3, ("A=b", "LISTEN_FDS=1", "LISTEN_PID=1"))


@pytest.mark.parametrize("name", ["mount", "pid", "user", "network", "ipc", "uts", "cgroup", "time"])
def test_namespaces(name: str) -> None:
    flag = plan.namespaces.FLAGS[name]
    new = plan.build(config(namespaces(name), *(("/linux/" + key, m) for key, m in OWN_USER.items() if name == "user")),
                     options(), ROOT)  # fmt: skip
    assert (new.new, new.joins, new.creates(name), new.joins_kind(name)) == (flag, (), True, False)
    assert new.new_at_once == (0 if name in ("cgroup", "time") else flag)
    joined = planned(namespaces(f"{name}=/ns/x"))
    assert [(one.kind, one.path, one.pointer) for one in joined.joins] == [(name, "/ns/x", "/linux/namespaces/0/path")]
    assert (joined.new, joined.creates(name), joined.joins_kind(name)) == (0, False, True)
    for made in (new, joined):
        assert made.has_mount_namespace == (name == "mount")
        assert made.enters_user_namespace == (name == "user")
        assert made.can_mknod == (name != "user")
        assert made.cgroup.devices
    other = "uts" if name != "uts" else "ipc"
    assert (new.creates(other), new.joins_kind(other), joined.joins_kind(other)) == (False, False, False)


def test_the_second_namespace_is_the_one_that_is_joined() -> None:
    made = planned(namespaces("pid", "network=/ns/net"))
    assert [one.pointer for one in made.joins] == ["/linux/namespaces/1/path"]
    assert made.new == k.CLONE_NEWPID


def test_device_nodes_for_a_user_namespace_are_made_by_the_root_of_the_host() -> None:
    fifo, node = {"type": "p", "path": "/p", "uid": 7}, {"type": "c", "path": "/c", "major": 1, "minor": 3}
    user = [namespaces("user"), *((f"/linux/{key}", value) for key, value in OWN_USER.items())]
    for listed, made in (([fifo], False), ([fifo, node], True)):
        assert planned(("/linux/devices", listed)).makes_nodes is False
        assert planned(("/linux/devices", listed), namespaces("user=/ns/user")).makes_nodes is made
        assert planned(("/linux/devices", listed), *user).makes_nodes is made
        assert planned(("/linux/devices", listed), host=within()).makes_nodes is False
    for kind in ("uid", "gid"):
        with pytest.raises(ConfigError, match=f"{kind} 5000000 is not mapped") as caught:
            planned(("/linux/devices", [fifo, node | {kind: 5000000}]), *user)
        assert caught.value.pointer == f"/linux/devices/1/{kind}"
        # Who makes no nodes binds the host's, which keep their owner; a fifo is made in any case.
        assert planned(("/linux/devices", [fifo, node | {kind: 5000000}]), host=ordinary(GRANT)).makes_nodes is False
        for changes, host in ((user, ROOT), ([], ordinary(GRANT))):
            with pytest.raises(ConfigError, match=f"{kind} 5000000 is not mapped") as caught:
                planned(("/linux/devices", [node, fifo | {kind: 5000000}]), *changes, host=host)
            assert caught.value.pointer == f"/linux/devices/1/{kind}"
            with pytest.raises(ConfigError, match=f"{kind} 5000000 is not mapped"):
                planned(("/linux/devices", [fifo | {kind: 5000000}]), *changes, host=host)


def test_device_nodes_are_made_by_the_root_of_the_host() -> None:
    made = planned(host=within())
    assert (made.can_mknod, made.cgroup.devices) == (False, None)


@pytest.mark.parametrize(
    ("names", "hooks", "process", "middle", "splits"),
    [
        ((), (), True, False, False),
        (("pid", "network=/n"), (), True, False, False),
        (("pid=/p",), (), True, False, True),
        (("pid=/p",), (), False, True, False),
        (("pid=/p",), ("prestart",), True, True, False),
        (("pid=/p",), ("createRuntime",), True, True, False),
        (("pid=/p",), ("createContainer",), True, True, False),
        (("pid=/p",), ("startContainer",), True, True, False),
        (("pid=/p",), ("poststart",), True, False, True),
        (("pid=/p",), ("poststop",), True, False, True),
        (("user=/u",), (), True, True, False),
        (("user=/u", "pid=/p"), (), True, False, True),
        (("user",), (), True, False, False),
        (("user", "network=/n"), (), True, True, False),
    ],
)
def test_whose_child_init_is(names: tuple[str, ...], hooks: tuple[str, ...], process: bool, middle: bool, splits: bool
) -> None:  # fmt: skip
    changes = [namespaces(*names), *((f"/hooks/{hook}", [HOOK]) for hook in hooks)]
    changes += [(f"/linux/{key}", value) for key, value in OWN_USER.items() if "user" in names]
    made = plan.build(config(*changes, process=process), options(), ROOT)
    assert (made.needs_middle, made.splits, made.joins_first) == (middle, splits, middle or splits)


@pytest.mark.parametrize("hook", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"])
def test_init_waits_for_hooks_outside(hook: str) -> None:
    assert planned((f"/hooks/{hook}", [HOOK])).asks_parent_for_hooks == (hook in ("prestart", "createRuntime"))
    assert planned().asks_parent_for_hooks is False


def test_a_read_only_root_needs_its_own_mounts() -> None:
    with pytest.raises(ConfigError) as caught:
        planned(("/root/readonly", True))
    assert caught.value.pointer == "/root/readonly"
    for name in ("mount", "mount=/ns/mnt"):
        assert planned(("/root/readonly", True), namespaces(name)).rootfs_readonly


GRANT = Grant("ann", 100000, 65536)


def test_an_ordinary_user_gets_a_user_namespace() -> None:
    rich, poor = planned(host=ordinary(GRANT)), config()
    assert (rich.new, rich.denies_setgroups, rich.can_mknod) == (k.CLONE_NEWUSER, False, False)
    made = plan.build(poor, options(), ordinary())
    assert (made.new, made.denies_setgroups) == (k.CLONE_NEWUSER, True)
    assert (made.warnings, poor.warnings) == ((made.maps.warning,), [])
    assert "only your own uid and gid" in made.maps.warning
    assert planned(host=ordinary(GRANT, denies_setgroups=True)).denies_setgroups


@pytest.mark.parametrize(
    ("host", "denied"),
    [(ordinary(GRANT), False), (ordinary(), True), (ROOT, False), (within(), False),
     (within(denies_setgroups=True), True)],
)  # fmt: skip
def test_additional_groups_need_setgroups(host: HostFacts, denied: bool) -> None:
    changes = ("/process/user/additionalGids", [5])
    if not denied:
        planned(changes, host=host)
        return
    with pytest.raises(ConfigError) as caught:
        planned(changes, host=host)
    assert caught.value.pointer == "/process/user/additionalGids"
    planned(host=host)


def test_ids_of_the_process_are_mapped() -> None:
    """In the new user namespace, or in the one that pyrunc runs in; not looked at in one that is joined."""
    own = [namespaces("user"), *((f"/linux/{key}", value) for key, value in OWN_USER.items())]
    for last, changes, host in ((65535, own, ROOT), (99, [], within())):
        planned(*changes, ("/process/user/uid", last), host=host)
        with pytest.raises(ConfigError) as caught:
            planned(*changes, ("/process/user/uid", last + 1), host=host)
        assert caught.value.pointer == "/process/user/uid"
    planned(namespaces("user=/u"), ("/process/user/uid", 100), host=within())
    planned(("/process/user/uid", 2**31 - 1))


def test_state() -> None:
    made = planned(("/annotations", {"a": "b"}))
    plain = {"ociVersion": SPEC_VERSION, "id": "c1", "status": "created"}
    assert made.state("created", 7) == plain | {"pid": 7, "bundle": "/bundle", "annotations": {"a": "b"}}
    assert planned().state("stopped", 7) == plain | {"status": "stopped", "bundle": "/bundle"}


