"""All problems at once, misspelt keys, and the schemas themselves."""

import pytest
from jsonschema import Draft202012Validator
from pyrunc.wings.documents import schema as schema_module
from pyrunc.wings.documents.schema import load_schema, problems, report, schema_path, schema_problems

from tests.unit.spec_specimen import full, minimal, put

STATE = {"ociVersion": "1.3.0", "id": "a", "status": "running", "pid": 4422, "bundle": "/b", "annotations": {"k": "v"}}
FEATURES = {
    "ociVersionMin": "1.0.0",
    "ociVersionMax": "1.3.0",
    "hooks": ["prestart"],
    "mountOptions": None,
    "linux": {"namespaces": ["pid"], "cgroup": {"v1": True, "v2": None}, "seccomp": {"enabled": True, "actions": []}},
    "annotations": {"org.example": ""},
}


def places(errors):
    return sorted(error.pointer for error in errors)


@pytest.mark.parametrize("name", ["config", "state", "features"])
def test_schemas_are_valid_and_describe_every_key(name):
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)

    def undescribed(node, path):
        if isinstance(node, dict):
            for key, below in node.get("properties", {}).items() if isinstance(node.get("properties"), dict) else ():
                if "description" not in below and "if" not in path and "then" not in path:
                    yield f"{path}/{key}"
            for key, below in node.items():
                yield from undescribed(below, f"{path}/{key}")

    assert list(undescribed(schema, "")) == []


def test_all_problems_at_once():
    value = full()
    del value["root"]["path"]
    value["process"]["user"] = {"uid": -1, "additionalGids": [0, "5"]}
    value["process"]["capabilities"]["bounding"] = "all"
    value["mounts"][1]["type"] = "tmpfs"
    value["hooks"]["poststop"][0]["path"] = "hook"
    value["linux"]["namespaces"][0]["type"] = "net"
    assert places(problems(value)) == [
        "/hooks/poststop/0/path",
        "/linux/namespaces/0/type",
        "/mounts/1/destination",
        "/process/capabilities/bounding",
        "/process/user/additionalGids/1",
        "/process/user/uid",
        "/root/path",
    ]


def test_all_rules_speak_when_the_types_are_right():
    value = full()
    value["process"]["cwd"] = "a"
    value["linux"]["sysctl"] = {"vm.swappiness": "1", "kernel.hostname": "x"}
    value["linux"]["cgroupsPath"] = ".."
    assert places(problems(value)) == [
        "/linux/cgroupsPath",
        "/linux/sysctl/kernel.hostname",
        "/linux/sysctl/vm.swappiness",
        "/process/cwd",
    ]


SECTIONS = {
    "/process/cwd": "a", "/mounts/1/type": "tmpfs", "/hooks/poststop/0/path": "hook", "/linux/cgroupsPath": "..",
}  # fmt: skip


@pytest.mark.parametrize("broken", ["/root", *SECTIONS])
def test_rules_speak_about_each_section_that_can_be_read(broken):
    value = full()
    for pointer, item in SECTIONS.items():
        put(value, pointer, item)
    put(value, broken, 5)
    expected = {pointer.replace("/mounts/1/type", "/mounts/1/destination") for pointer in SECTIONS if pointer != broken}
    assert places(problems(value)) == sorted({*expected, broken})


@pytest.mark.parametrize("value", [None, [], "text", 1, {}])
def test_anything_can_be_reported(value):
    assert problems(value) != []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hostname": 1}, "expected a string or null, got 1"),
        ({"linux": {"resources": {"cpu": {"idle": 2}}}}, "expected an integer of at most 1, got 2"),
        ({"linux": {"resources": {"cpu": {"idle": -1}}}}, "expected an integer of at least 0, got -1"),
        ({"linux": {"resources": {"cpu": {"idle": 1.0}}}}, "expected an integer or null, got 1.0"),
        ({"root": {"path": ""}}, "must not be empty"),
        ({"process": {"args": [], "cwd": "/"}}, "must not be empty"),
        ({"hostname": "a\0b"}, "the string contains a NUL byte"),
        ({"ociVersion": "x"}, "'x' does not match "),
        ({"linux": {"rootfsPropagation": "x"}}, "expected one of `private`, `rprivate`, "),
        ({"linux": {"namespaces": [{}]}}, "the required key `type` is missing"),
        ({"linux": {"personality": {"domain": "X"}}}, "expected one of `LINUX`, `LINUX32`, got `X`"),
    ],
)
def test_findings_are_told_in_the_readers_words(change, text):
    (error,) = schema_problems(minimal() | change)
    assert error.message.startswith(text) if text.endswith(" ") else error.message == text


@pytest.mark.parametrize("key", ["sysctl", "timeOffsets", "netDevices"])
def test_a_name_that_holds_a_nul_byte_is_told(key):
    item: object = "1" if key == "sysctl" else {}
    (error,) = schema_problems(minimal() | {"linux": {key: {"a": item, "b/\0": item}}})
    assert (error.pointer, error.message) == (f"/linux/{key}/b~1\0", "the string contains a NUL byte")


def test_keys_of_other_platforms_are_known():
    others = {key: {"a": 1} for key in ("solaris", "windows", "vm", "zos", "freebsd")}
    process = {"args": ["a"], "cwd": "/", "commandLine": "a", "user": {"uid": 0, "gid": 0, "username": "a"}}
    assert report(minimal() | others | {"process": process}) == ([], [])
    assert len(report(minimal() | {"process": process | others})[1]) == len(others)


def test_misspelt_keys_are_warned_about_with_the_near_one():
    value = minimal() | {"hostnme": "a", "x-y": 1, "annotations": {"hostnme": "b"}, "windows": {}}
    value["mounts"] = [{"destination": "/a", "optoins": []}]
    value["linux"] = {"sysctl": {}, "timeOffsets": {"monotonic": {"sec": 1}}, "namespaces": [{"type": "time"}]}
    errors, warnings = report(value)
    assert errors == []
    assert sorted(warnings) == [
        "unknown key `hostnme`, did you mean `hostname`? (/hostnme)",
        "unknown key `optoins`, did you mean `options`? (/mounts/0/optoins)",
        "unknown key `sec`, did you mean `secs`? (/linux/timeOffsets/monotonic/sec)",
        "unknown key `x-y` (/x-y)",
    ]


@pytest.mark.parametrize("value", [{"hostname": {"a": 1}}, {"annotations": {"a": {"b": 1}}}, {"mounts": {"a": 1}}, []])
def test_no_key_is_unknown_where_none_is_known(value):
    assert report(value)[1] == []


def test_a_refusal_that_the_schema_does_not_explain_is_told(monkeypatch):
    monkeypatch.setattr(schema_module, "schema_problems", lambda _: [])
    assert places(problems({"ociVersion": "1.0.0"})) == ["/root"]


def test_warnings_of_the_model_are_reported_too():
    value = full()
    value["process"]["capabilities"]["bounding"] = ["CAP_FLY"]
    assert any("CAP_FLY" in warning for warning in report(value)[1])


@pytest.mark.parametrize(
    ("name", "good", "change", "pointer"),
    [
        ("state", STATE, {"status": "dead"}, "/status"),
        ("state", STATE, {"pid": 0}, "/pid"),
        ("state", STATE, {"pid": None}, "/pid"),
        ("state", STATE, {"bundle": "b"}, "/bundle"),
        ("state", STATE, {"id": ""}, "/id"),
        ("state", STATE, {"annotations": {"k": 1}}, "/annotations/k"),
        ("features", FEATURES, {"ociVersionMin": None}, "/ociVersionMin"),
        ("features", FEATURES, {"hooks": ["prestart", 1]}, "/hooks/1"),
        ("features", FEATURES, {"linux": {"cgroup": {"v2": "yes"}}}, "/linux/cgroup/v2"),
        ("features", FEATURES, {"annotations": {"k": 1}}, "/annotations/k"),
    ],
)
def test_state_and_features(name, good, change, pointer):
    assert schema_problems(good, name) == []
    assert places(schema_problems(good | change, name)) == [pointer]


def test_a_stopped_container_has_no_pid():
    stopped = {key: value for key, value in STATE.items() if key != "pid"} | {"status": "stopped"}
    assert schema_problems(stopped, "state") == []
    assert schema_problems(stopped | {"pid": 0}, "state") == []
    assert places(schema_problems(stopped | {"status": "created"}, "state")) == ["/pid"]


def test_where_schemas_are_found(tmp_path, monkeypatch):
    source = tmp_path / "oci-schemas/state.schema.json"
    source.parent.mkdir()
    source.write_text("{}")
    monkeypatch.setattr(schema_module, "__file__", str(tmp_path / "runtime/pyrunc/wings/documents/schema.py"))
    assert schema_path("state") == str(source)
    source.unlink()
    assert schema_path("state") == str(tmp_path / "runtime/pyrunc/oci-schemas/state.schema.json")
    source.write_text("{}")
    monkeypatch.setattr(schema_module, "__file__", str(tmp_path / "site/pyrunc/wings/documents/schema.py"))
    assert schema_path("state") == str(tmp_path / "site/pyrunc/oci-schemas/state.schema.json")
