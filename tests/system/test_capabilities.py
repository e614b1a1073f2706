"""The five capability sets, seen in /proc/self/status."""

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, new_id

NUMBERS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_CHROOT": 18, "CAP_AUDIT_WRITE": 29}
SETS = {
    "inheritable": "CapInh",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}


def mask(*names: str) -> int:
    """Bits of these capabilities."""
    return sum(1 << NUMBERS[name] for name in names)


def sets_of(runtime: Runtime, bundle: Bundle) -> dict[str, int]:
    """The sets of a program in the container (cat, so that a shell's doings do not matter)."""
    bundle.process["args"] = ["cat", "/proc/self/status"]
    result = runtime.run(bundle)
    assert result.returncode == 0, result.stderr
    values = dict(line.split(":\t") for line in result.stdout.splitlines() if line.startswith("Cap"))
    return {name: int(values[label], 16) for name, label in SETS.items()}


def test_root_has_what_is_permitted(runtime: Runtime, bundle: Bundle) -> None:
    found = sets_of(runtime, bundle.all_sets("CAP_CHOWN", "CAP_KILL"))
    both = mask("CAP_CHOWN", "CAP_KILL")
    assert found == {"bounding": both, "permitted": both, "effective": both, "inheritable": 0, "ambient": 0}


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_none(runtime: Runtime, bundle: Bundle, no_new_privileges: bool) -> None:
    bundle.capabilities(bounding=[], effective=[], permitted=[]).process["noNewPrivileges"] = no_new_privileges
    assert sets_of(runtime, bundle) == dict.fromkeys(SETS, 0)


def test_missing_object_means_none(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.process["capabilities"]
    assert sets_of(runtime, bundle) == dict.fromkeys(SETS, 0)


def test_missing_sets_are_empty(runtime: Runtime, bundle: Bundle) -> None:
    found = sets_of(runtime, bundle.capabilities(bounding=["CAP_KILL", "CAP_CHOWN"]))
    assert found["inheritable"] == found["ambient"] == 0
    assert found["bounding"] == mask("CAP_KILL", "CAP_CHOWN")


def test_ordinary_user_keeps_none_without_ambient(runtime: Runtime, bundle: Bundle) -> None:
    bundle.all_sets("CAP_CHOWN").process["user"] = {"uid": 1000, "gid": 1000}
    found = sets_of(runtime, bundle)
    assert (found["permitted"], found["effective"], found["ambient"]) == (0, 0, 0)
    assert found["bounding"] == mask("CAP_CHOWN")


def test_ambient_reaches_an_ordinary_user(runtime: Runtime, bundle: Bundle) -> None:
    names = ["CAP_NET_BIND_SERVICE"]
    bundle.capabilities(bounding=names, effective=names, permitted=names, inheritable=names, ambient=names)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert sets_of(runtime, bundle) == dict.fromkeys(SETS, mask(*names))


def test_inheritable_is_not_added(runtime: Runtime, bundle: Bundle) -> None:
    bundle.all_sets("CAP_KILL", "CAP_CHOWN").process["noNewPrivileges"] = False
    assert sets_of(runtime, bundle)["inheritable"] == 0


def test_inheritable_as_configured(runtime: Runtime, bundle: Bundle) -> None:
    names = ["CAP_KILL"]
    bundle.capabilities(bounding=names, effective=names, permitted=names, inheritable=names)
    assert sets_of(runtime, bundle)["inheritable"] == mask("CAP_KILL")


def test_bounding_larger_than_permitted(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.capabilities(bounding=["CAP_KILL", "CAP_CHOWN"], permitted=["CAP_KILL"], effective=["CAP_KILL"])
    assert sets_of(runtime, bundle)["bounding"] == mask("CAP_KILL", "CAP_CHOWN")


@pytest.mark.parametrize("name", ["CAP_NONSENSE", "KILL", ""])
def test_unknown_capability_is_a_warning(runtime: Runtime, bundle: Bundle, name: str) -> None:
    assert sets_of(runtime, bundle.all_sets("CAP_KILL", name))["effective"] == mask("CAP_KILL")


@differs(crun="1.28 says nothing")
def test_unknown_capability_of_several_sets_is_one_warning(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.all_sets("CAP_KILL", "CAP_NONSENSE").shell("true"))
    assert (result.returncode, result.stderr.count("CAP_NONSENSE")) == (0, 1), result.stderr


def without(capability: str) -> tuple[str, ...]:
    """A caller whose bounding set has not this capability."""
    return "setpriv", "--bounding-set", f"-{capability.removeprefix('CAP_').lower()}"


@only_pyrunc("fails: capset, operation not permitted")
@pytest.mark.parametrize("command", ["create", "run"])
def test_capability_that_the_caller_has_not_is_a_warning(runtime: Runtime, bundle: Bundle, command: str) -> None:
    bundle.all_sets("CAP_CHOWN", "CAP_KILL").process["args"] = ["cat", "/proc/self/status"]
    bundle.save(container_id := new_id())
    caller = runtime.behind(*without("CAP_CHOWN"))
    result = caller.call(command, "--bundle", bundle.path, container_id)
    try:
        assert (result.returncode, result.stderr.count("CAP_CHOWN")) == (0, 1), result.stderr
        assert "CAP_KILL" not in result.stderr
        assert command == "create" or f"CapBnd:\t{mask('CAP_KILL'):016x}" in result.stdout
    finally:
        runtime.delete(container_id, "--force")


@differs(crun="1.28 says nothing")
def test_ambient_capability_that_cannot_be_raised_is_a_warning(runtime: Runtime, bundle: Bundle) -> None:
    names = ["CAP_CHOWN"]
    bundle.capabilities(bounding=names, effective=names, permitted=names, ambient=names)
    bundle.process["args"] = ["cat", "/proc/self/status"]
    result = runtime.run(bundle)
    assert (result.returncode, result.stderr.count("CAP_CHOWN")) == (0, 1), result.stderr
    assert "CapAmb:\t0000000000000000" in result.stdout


@only_pyrunc("fails: capset, operation not permitted")
def test_what_the_caller_has_not_can_be_given_in_a_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace().all_sets("CAP_CHOWN").process["args"] = ["cat", "/proc/self/status"]
    result = runtime.behind(*without("CAP_CHOWN")).run(bundle)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"CapEff:\t{mask('CAP_CHOWN'):016x}" in result.stdout


@pytest.mark.parametrize("allowed", [True, False])
def test_effect(runtime: Runtime, bundle: Bundle, allowed: bool) -> None:
    bundle.all_sets(*["CAP_SYS_CHROOT"] * allowed)
    bundle.shell("busybox chroot / true")
    assert (runtime.run(bundle).returncode == 0) is allowed


def test_in_a_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    names = mask("CAP_KILL", "CAP_CHOWN")
    found = sets_of(runtime, bundle.user_namespace().all_sets("CAP_KILL", "CAP_CHOWN"))
    assert (found["bounding"], found["effective"], found["inheritable"], found["ambient"]) == (names, names, 0, 0)
