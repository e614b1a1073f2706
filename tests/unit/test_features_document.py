"""`pyrunc features`: it fits the schema, and what it lists is what the readers accept (features.md)."""

import pytest
from pyrunc import __version__, words
from pyrunc.errors import ConfigError
from pyrunc.kernel.mount import mountoptions
from pyrunc.spec import seccomp
from pyrunc.spec.config import parse_config
from pyrunc.wings.documents import features
from pyrunc.wings.documents.schema import _unknown, schema_problems, validator

from tests.unit.spec_specimen import full, put

VALUE = features.value()
LINUX = VALUE["linux"]
SECCOMP = LINUX["seccomp"]
MEMORY = LINUX["memoryPolicy"]


def accepted(pointer, item, **others):
    """Whether the reader takes the specimen with this item; nothing but the item may be wrong with it."""
    value = full()
    put(value, pointer, item)
    for other, content in others.items():
        put(value, other, content)
    try:
        parse_config(value)
    except ConfigError as error:
        return not error.pointer.startswith(pointer)
    return True


def test_it_fits_the_schema_of_the_specification():
    assert schema_problems(VALUE, "features") == []


def test_nothing_is_in_it_that_the_specification_does_not_have():
    schema = validator("features").schema
    assert list(_unknown(VALUE, schema, schema, "")) == []


def test_no_part_is_empty():
    for name in ("hooks", "mountOptions"):
        assert VALUE[name]
    for part in (LINUX["namespaces"], LINUX["capabilities"], MEMORY["modes"], MEMORY["flags"]):
        assert part
    for name in ("actions", "operators", "archs", "knownFlags", "supportedFlags"):
        assert SECCOMP[name]
    assert LINUX["cgroup"] == {"v1": False, "v2": True, "systemd": True, "systemdUser": True, "rdma": True}
    for part in (SECCOMP, LINUX["apparmor"], LINUX["selinux"]):
        assert part["enabled"]
    assert set(VALUE["potentiallyUnsafeConfigAnnotations"]) == {"org.systemd.property.", "org.criu.config", "run.oci."}
    assert VALUE["annotations"] == {"run.oci.pyrunc.version": __version__}


def test_no_annotation_is_in_the_names_that_are_reserved():
    """config.md, "Annotations": org.opencontainers is for the specifications."""
    assert [name for name in VALUE["annotations"] if name.startswith("org.opencontainers")] == []


@pytest.mark.parametrize("key", ["ociVersionMin", "ociVersionMax"])
def test_versions_are_accepted(key):
    assert accepted("/ociVersion", VALUE[key])


def test_versions_are_in_order():
    assert tuple(map(int, VALUE["ociVersionMin"].split("."))) <= tuple(map(int, VALUE["ociVersionMax"].split(".")))


@pytest.mark.parametrize(
    ("pointer", "words"),
    [
        ("/linux/namespaces/0/type", LINUX["namespaces"]),
        ("/linux/seccomp/syscalls/0/action", SECCOMP["actions"]),
        ("/linux/seccomp/syscalls/0/args/0/op", SECCOMP["operators"]),
        ("/linux/seccomp/architectures/0", SECCOMP["archs"]),
        ("/linux/seccomp/flags/0", SECCOMP["knownFlags"]),
        ("/linux/memoryPolicy/mode", MEMORY["modes"]),
        ("/linux/memoryPolicy/flags/0", MEMORY["flags"]),
    ],
)
def test_what_is_listed_is_accepted_and_other_words_are_not(pointer, words):
    rejected = [word for word in words if not accepted(pointer, word)]
    assert rejected == []
    assert not accepted(pointer, "NO_SUCH_WORD")


@pytest.mark.parametrize(
    ("listed", "known"),
    [
        (LINUX["namespaces"], words.NAMESPACES),
        (SECCOMP["actions"], words.SECCOMP_ACTIONS),
        (SECCOMP["operators"], words.SECCOMP_OPERATORS),
        (SECCOMP["archs"], seccomp.ARCHITECTURES),
        (SECCOMP["knownFlags"], words.SECCOMP_FLAGS),
        (SECCOMP["supportedFlags"], words.SECCOMP_FLAGS),
        (MEMORY["modes"], words.MEMORY_POLICY_MODES),
        (MEMORY["flags"], words.MEMORY_POLICY_FLAGS),
        (LINUX["capabilities"], words.CAPABILITIES),
        (VALUE["mountOptions"], mountoptions.KNOWN),
    ],
)
def test_what_is_accepted_is_listed(listed, known):
    assert sorted(listed) == sorted(known)


def test_hooks_and_mount_options_are_known():
    assert set(VALUE["hooks"]) == set(full()["hooks"])
    assert [word for word in VALUE["mountOptions"] if mountoptions.parse([word]).data] == []


def test_capabilities_are_known():
    value = full()
    put(value, "/process/capabilities", {"bounding": [*LINUX["capabilities"], "CAP_NO_SUCH"]})
    warnings = [text for text in parse_config(value).warnings if "capability" in text]
    assert len(warnings) == 1
    assert "CAP_NO_SUCH" in warnings[0]


def test_supported_flags_are_known_ones():
    assert set(SECCOMP["supportedFlags"]) <= set(SECCOMP["knownFlags"])


def test_idmapped_mounts_are_told():
    """features-linux.md wants true where the mappings of a mount are looked at, as parse_config does."""
    mappings = full()["mounts"][0]["uidMappings"]
    assert LINUX["mountExtensions"]["idmap"]["enabled"] == accepted("/mounts/0/uidMappings", mappings)


def test_what_needs_hardware_is_told():
    """Whether this host has it is no matter (features.md)."""
    assert LINUX["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert LINUX["netDevices"] == {"enabled": True}
