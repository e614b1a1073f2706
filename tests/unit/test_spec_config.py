"""The model: every key of the specification has its attribute, and unset differs from zero."""

import subprocess
import sys

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec.config import Config, parse_config, parse_process, parse_resources
from pyrunc.wings.documents.default import default_config
from pyrunc.wings.documents.schema import load_schema

from tests.unit.spec_specimen import PROCESS, RESOURCES, full, minimal, places

IRREGULAR = {"class": "class_", "IOPSDevice": "iops_device"}


def attribute(key):
    """The name under which the model keeps `key` of the specification."""
    if key in IRREGULAR:
        return IRREGULAR[key]
    key = key.replace("IOPS", "Iops").replace("GUID", "Guid")
    name = ""
    for i, letter in enumerate(key):
        before, after = key[i - 1 : i], key[i + 1 : i + 2]
        if letter.isupper() and i and (before.islower() or before.isdigit() or after.islower()):
            name += "_"
        name += letter.lower()
    return name


def assert_holds(section, value):
    """`section` has an attribute with the value of each key of `value`, the JSON object that it was read from."""
    for key, wanted in value.items():
        found = getattr(section, attribute(key))
        if isinstance(wanted, dict) and not isinstance(found, dict):
            assert_holds(found, wanted)
        elif isinstance(wanted, dict):
            assert list(found) == list(wanted)
            for name, below in wanted.items():
                if isinstance(below, dict):
                    assert_holds(found[name], below)
                else:
                    assert found[name] == below
        elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
            assert len(found) == len(wanted)
            for item, below in zip(found, wanted, strict=True):
                assert_holds(item, below)
        else:
            assert found == wanted, key


def test_every_key_reaches_its_attribute():
    value = full()
    config = parse_config(value)
    assert_holds(config, value)


def properties(schema, root, pointer=""):
    """The pointers of all keys that `schema` has, with `*` for the index of a list and the key of a map."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for key, below in schema.get("properties", {}).items():
        yield f"{pointer}/{key}"
        yield from properties(below, root, f"{pointer}/{key}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from properties(schema[name], root, f"{pointer}/*")


def test_the_specimen_uses_every_key_of_the_schema():
    schema = load_schema("config")
    wanted = set(properties(schema, schema))
    maps = ("/annotations/", "/linux/sysctl/", "/linux/timeOffsets/", "/linux/netDevices/")
    maps += ("/linux/resources/rdma/", "/linux/resources/unified/")
    found = set()
    for _, _, pointer in places(full()):
        for prefix in maps:
            if pointer.startswith(prefix):
                _, slash, rest = pointer.removeprefix(prefix).partition("/")
                pointer = f"{prefix}*{slash}{rest}"  # noqa: PLW2901
        found.add("/".join("*" if part.isdigit() else part for part in pointer.split("/")))
    assert wanted - found == set()
    assert {pointer for pointer in found - wanted if not pointer.endswith("*")} == set()


def test_unset_is_none_and_zero_is_a_value():
    config = parse_config(minimal())
    assert not config.process.exists
    assert config.linux.resources is None
    assert config.linux.seccomp is None
    assert (config.hostname, config.domainname, config.linux.cgroups_path) == (None, None, None)
    assert (config.mounts, config.annotations, config.warnings) == ([], {}, [])
    assert [hooks for _, hooks in config.hooks.named()] == [[]] * 6

    assert parse_resources({"pids": {}}).pids.limit is None
    zero = parse_resources({"pids": {"limit": 0}, "memory": {"limit": 0, "swappiness": 0, "disableOOMKiller": False}})
    assert (zero.pids.limit, zero.memory.limit, zero.memory.swappiness) == (0, 0, 0)
    assert zero.memory.disable_oom_killer is False
    assert zero.memory.use_hierarchy is None

    process = parse_process({"args": ["a"], "cwd": "/"})
    assert (process.user.uid, process.user.gid, process.user.umask, process.user.additional_gids) == (0, 0, None, [])
    assert process.user.names_gid  # nobody has named an id without it
    assert (process.oom_score_adj, process.capabilities) == (None, None)
    assert parse_process({"args": ["a"], "cwd": "/", "oomScoreAdj": 0}).oom_score_adj == 0


def test_numbers_that_are_0_if_they_are_not_given():
    """Numbers, since they are written into files: `False` is as equal."""
    linux = {"namespaces": [{"type": "time"}], "timeOffsets": {"monotonic": {}, "boottime": {"secs": 1}}}
    offsets = parse_config(minimal() | {"linux": linux}).linux.time_offsets
    assert [f"{clock} {one.secs} {one.nanosecs}" for clock, one in offsets.items()] == ["monotonic 0 0", "boottime 1 0"]
    process = parse_process({"args": ["a"], "cwd": "/", "ioPriority": {"class": "IOPRIO_CLASS_BE"}, "user": {"uid": 3}})
    assert f"{process.io_priority.priority} {process.user.gid} {process.user.names_gid}" == "0 0 False"


@pytest.mark.parametrize(("given", "listener"), [({}, "/run/receiver"), ({"listenerPath": "/run/agent"}, "/run/agent")])
def test_an_annotation_can_name_the_listener(given, listener):
    value = minimal() | {"annotations": {"run.oci.seccomp.receiver": "/run/receiver"}}
    assert parse_config(value).linux.seccomp is None
    value["linux"] = {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", **given}}
    assert parse_config(value).linux.seccomp.listener_path == listener


@pytest.mark.parametrize(
    ("path", "kept"), [("/", "/"), ("//", "/"), ("/dev/x", "/dev/x"), ("/dev/x//", "/dev/x"), ("/dev//x", "/dev//x")]
)
def test_path_of_a_device(path, kept):
    devices = [{"type": "c", "path": path, "major": 1, "minor": 1}]
    assert parse_config(minimal() | {"linux": {"devices": devices}}).linux.devices[0].path == kept


@pytest.mark.parametrize(
    ("env", "more", "expected"),
    [
        ([], None, []),
        ([], ["A=1"], ["A=1"]),
        (["A=1", "A=2"], None, ["A=2"]),
        (["A=1", "B=", "C=x"], ["A=2=3", "D=4"], ["A=2=3", "B=", "C=x", "D=4"]),
        (["a=1", "A=1", "A==1"], [], ["a=1", "A==1"]),
    ],
)
def test_of_a_name_the_last_value_counts(env, more, expected):
    assert parse_process({"args": ["a"], "cwd": "/", "env": env}).environment(more) == expected


def test_lists_whose_absence_means_something():
    absent, empty = {"path": "/a"}, {"path": "/a", "env": []}
    config = parse_config(minimal() | {"hooks": {"poststop": [absent, empty]}})
    assert [hook.env for hook in config.hooks.poststop] == [None, []]
    for section, key in (("seccomp", "flags"), ("intelRdt", "schemata")):
        for value, wanted in (({}, None), ({key: []}, [])):
            given = {"defaultAction": "SCMP_ACT_ALLOW", **value}
            linux = parse_config(minimal() | {"linux": {section: given}}).linux
            assert getattr({"seccomp": linux.seccomp, "intelRdt": linux.intel_rdt}[section], key) == wanted


def test_hooks_are_named_in_the_order_in_which_they_run():
    value = {key: [{"path": f"/{key}"}] for key in full()["hooks"]}
    named = parse_config(minimal() | {"hooks": value}).hooks.named()
    assert [(key, [hook.path for hook in hooks]) for key, hooks in named] == [(key, [f"/{key}"]) for key in value]


def test_bind_mounts_are_told_by_their_options():
    mounts = [{"destination": "/a", "type": kind, "options": [option]} for kind in ("bind", "x") for option in "ab"]
    mounts += [{"destination": "/a", "type": "x", "options": [option]} for option in ("bind", "rbind")]
    assert [mount.bind for mount in parse_config(minimal() | {"mounts": mounts}).mounts] == [False] * 4 + [True] * 2


VERSIONS = """
1.0.0 1.3.0 1.99.0 1.0.2-dev 1.0.0-rc.1+b.7 1.0.0-- 1.0.0+01 1.0.0-0 1.0.0-0a 1.0.0-0.a-0
""".split()  # noqa: SIM905  (a table)
NO_VERSIONS = """
0.5.0 2.0.0 10.0.0 1 1.0 1.0.0.0 v1.0.0 01.0.0 1.00.0 1.0.0- 1.0.0-01 1.0.0-a..b 1.0.0+ 1.0.0+a+b 1.0.٣ 1.0.0-é 1.0.0+é
""".split()  # noqa: SIM905  (a table)
SPACES = [" 1.0.0", "1.0.0\n", "1.0. 0"]


@pytest.mark.parametrize(
    ("version", "accepted"), [(one, True) for one in VERSIONS] + [(one, False) for one in NO_VERSIONS + SPACES]
)
def test_oci_version_is_semver_of_major_1(version, accepted):
    value = minimal() | {"ociVersion": version}
    if accepted:
        assert parse_config(value).oci_version == version
    else:
        with pytest.raises(ConfigError) as caught:
            parse_config(value)
        assert caught.value.pointer == "/ociVersion"


@pytest.mark.parametrize(("version", "limit"), [("1.0.2-dev", -1), ("1.2.1", -1), ("1.3.0-rc.1", 0), ("1.20.0", 0)])
def test_no_processes_are_no_limit_before_1_3(version, limit):
    """podman 4 writes 0 for `--pids-limit -1`."""
    value = minimal() | {"ociVersion": version, "linux": {"resources": {"pids": {"limit": 0}}}}
    assert parse_config(value).linux.resources.pids.limit == limit


@pytest.mark.parametrize("pids", [{}, {"limit": -1}, {"limit": 7}])
def test_other_limits_of_processes_are_the_same_in_every_version(pids):
    values = [minimal() | {"ociVersion": version, "linux": {"resources": {"pids": pids}}} for version in VERSIONS]
    assert {parse_config(value).linux.resources.pids.limit for value in values} == {pids.get("limit")}


def test_other_platforms_are_ignored():
    others = {"windows": 1, "solaris": 2, "vm": 3, "zos": 4, "freebsd": 5}
    process = {"cwd": "/", "args": ["a"], "commandLine": 6, "user": {"uid": 0, "gid": 0, "username": 7}}
    assert isinstance(parse_config(minimal() | others | {"process": process}), Config)


def test_parts_can_stand_in_files_of_their_own():
    assert parse_process(PROCESS).cwd == "/srv"
    assert parse_resources(RESOURCES).cpu.shares == 1024
    for value, pointer in (({"args": ["a"]}, "/cwd"), ({"args": ["a"], "cwd": "a"}, "/cwd"), ({}, "/args")):
        with pytest.raises(ConfigError) as caught:
            parse_process(value)
        assert caught.value.pointer == pointer
    with pytest.raises(ConfigError) as caught:
        parse_resources({"unified": {"../a": "1"}}, "/resources")
    assert caught.value.pointer == "/resources/unified/..~1a"


@pytest.mark.parametrize("rootless", [False, True])
def test_the_default_configuration_is_accepted(rootless):
    config = parse_config(default_config(rootless, 1000, 1001))
    assert config.warnings == []
    assert config.process.capabilities.inheritable == []
    mapped = [(m.container_id, m.host_id, m.size) for m in config.linux.uid_mappings + config.linux.gid_mappings]
    assert mapped == ([(0, 1000, 1), (0, 1001, 1)] if rootless else [])
    kinds = {namespace.type for namespace in config.linux.namespaces}
    assert ("user" in kinds, "network" in kinds) == (rootless, not rootless)
    assert any("gid=5" in mount.options for mount in config.mounts) is not rootless
    assert (config.linux.resources is None) is rootless


def test_reading_a_config_imports_no_heavy_module():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import pyrunc.spec.config; print(*sys.modules)"
    runtime = __file__.rpartition("/tests/")[0] + "/runtime"
    loaded = subprocess.run([sys.executable, "-IS", "-c", code, runtime], capture_output=True, text=True, check=True)
    heavy = {
        "os",
        "re",
        "enum",
        "typing",
        "json",
        "dataclasses",
        "collections",
        "functools",
        "__future__",
        "jsonschema",
    }
    assert heavy & set(loaded.stdout.split()) == set()
