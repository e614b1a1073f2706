"""The caller's supplementary groups, kept where crun's annotation asks for it (podman's `--group-add keep-groups`)."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text

pytestmark = differs(runc="does not know the annotation")

ANNOTATION = "run.oci.keep_original_groups"
GROUPS = [4242, 4343]
UNMAPPED = [65534, 65534]  # what a user namespace without an id for them shows
SHOW = "grep Groups: /proc/self/status"


@pytest.fixture
def keeping(bundle: Bundle) -> Bundle:
    bundle.config["annotations"] = {ANNOTATION: "1"}
    bundle.process["user"] = {"uid": 10, "gid": 20}
    return bundle


@contextlib.contextmanager
def caller_in_groups() -> Iterator[None]:
    before = os.getgroups()
    os.setgroups(GROUPS)
    try:
        yield
    finally:
        os.setgroups(before)


def shown(text: str) -> list[int]:
    return [int(word) for word in text.split()[1:]]


@pytest.mark.parametrize("user_namespace, groups", [(False, GROUPS), (True, UNMAPPED)])
def test_program_is_in_them(runtime: Runtime, keeping: Bundle, groups: list[int], *, user_namespace: bool) -> None:
    if user_namespace:
        keeping.user_namespace()
    with caller_in_groups():
        assert shown(runtime.output(keeping, SHOW)) == groups


@pytest.mark.parametrize("user_namespace, groups", [(False, GROUPS), (True, UNMAPPED)])
def test_exec_keeps_those_of_its_own_caller(
    runtime: Runtime, keeping: Bundle, groups: list[int], *, user_namespace: bool
) -> None:
    if user_namespace:
        keeping.user_namespace()
    with runtime.running(keeping.shell("exec sleep 1000")) as container, caller_in_groups():
        result = runtime.call("exec", container.id, "sh", "-c", SHOW)
    assert (shown(result.stdout), result.stderr) == (groups, "")


def test_they_give_access_to_files(runtime: Runtime, keeping: Bundle) -> None:
    secret = keeping.path / "secret"
    secret.write_text("for the group\n")
    os.chown(secret, 0, GROUPS[0])
    secret.chmod(0o040)
    keeping.user_namespace().mount("/secret", secret, "bind", "ro")
    with caller_in_groups():
        assert runtime.output(keeping, "cat /secret") == "for the group\n"


@pytest.mark.parametrize("annotations", [{}, {ANNOTATION: "0"}])
def test_otherwise_nobody_is_in_them(runtime: Runtime, keeping: Bundle, annotations: dict[str, str]) -> None:
    keeping.config["annotations"] = annotations
    with runtime.running(keeping.shell("exec sleep 1000")) as container, caller_in_groups():
        assert shown(runtime.call("exec", container.id, "sh", "-c", SHOW).stdout) == []


@only_pyrunc("says nothing of the groups that it does not give")
def test_groups_of_the_config_give_way_with_a_warning(runtime: Runtime, keeping: Bundle) -> None:
    keeping.process["user"]["additionalGids"] = [7]
    with caller_in_groups():
        result = runtime.run(keeping.shell(SHOW))
    assert shown(result.stdout) == GROUPS
    assert "/process/user/additionalGids" in result.stderr


@only_pyrunc("takes it for a yes")
@pytest.mark.parametrize("value", ["false", "", "2"])
def test_other_values_are_refused(runtime: Runtime, keeping: Bundle, value: str) -> None:
    keeping.config["annotations"] = {ANNOTATION: value}
    runtime.create_fails(keeping, f"/annotations/{ANNOTATION}", "neither `1` nor `0`")


@only_pyrunc("says nothing of the groups that it does not give")
def test_further_groups_for_exec_are_refused(runtime: Runtime, keeping: Bundle) -> None:
    with runtime.running(keeping.shell("exec sleep 1000")) as container:
        error_text(runtime.call("exec", "--additional-gids", "7", container.id, "id"), "--additional-gids")
