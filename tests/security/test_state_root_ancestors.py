"""The directories above the state root: who can move one away makes root forget a container that runs."""

import os
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.ordinaryuser import OrdinaryUser
from tests.peers import only_pyrunc
from tests.runtime import Runtime, error_text

pytestmark = only_pyrunc("takes any directory that it can use")
OTHER = 5432


def of_another_user(above: Path) -> None:
    os.chown(above, OTHER, OTHER)


def of_everybody(above: Path) -> None:
    above.chmod(0o777)


def of_a_group(above: Path) -> None:
    os.chown(above, 0, OTHER)
    above.chmod(0o775)


def behind_a_link_of_another_user(above: Path) -> None:
    above.rename(above.with_name("target"))
    above.symlink_to("target")
    os.lchown(above, OTHER, OTHER)


def behind_a_link_into_a_directory_of_another_user(above: Path) -> None:
    theirs = above.with_name("theirs")
    theirs.mkdir()
    above.rename(theirs / "target")
    above.symlink_to("theirs/target")
    os.chown(theirs, OTHER, OTHER)


UNSAFE = (of_another_user, of_everybody, of_a_group, behind_a_link_of_another_user,
          behind_a_link_into_a_directory_of_another_user)  # fmt: skip


@pytest.mark.parametrize("exists", [False, True], ids=["new root", "old root"])
@pytest.mark.parametrize("change", UNSAFE)
def test_root_below_what_others_can_change(
    runtime: Runtime, bundle: Bundle, area: Path, change, *, exists: bool
) -> None:
    above = area / "above"
    (above / "deep").mkdir(parents=True)
    runtime.root = above / "deep/state"
    if exists:
        runtime.root.mkdir(mode=0o700)
    change(above)
    reason = "others may write" if change in {of_everybody, of_a_group} else f"belongs to uid {OTHER}"
    runtime.create_fails(bundle, reason)
    assert exists or not runtime.root.exists()
    if exists:
        for words in (("list",), ("state", "x"), ("kill", "x"), ("delete", "--force", "x"), ("exec", "x", "true")):
            error_text(runtime.call(*words), reason)


def sticky(above: Path) -> None:
    above.chmod(0o1777)


def of_roots_group(above: Path) -> None:
    above.chmod(0o775)


def behind_links_of_roots(above: Path) -> None:
    above.rename(above.with_name("target"))
    above.symlink_to(f"{above.parent}/target/../target/.")


@pytest.mark.parametrize("change", [sticky, of_roots_group, behind_links_of_roots])
def test_root_below_what_others_cannot_change(runtime: Runtime, bundle: Bundle, area: Path, change) -> None:
    (area / "above").mkdir()
    change(area / "above")
    runtime.root = area / "above/state"
    assert runtime.output(bundle, "echo ran") == "ran\n"


def test_own_directories_of_an_ordinary_user(runtime: Runtime, user: OrdinaryUser) -> None:
    runtime.root = user.home / "deep/state"
    runtime.root.mkdir(parents=True, mode=0o700)
    for directory in (runtime.root.parent, runtime.root):
        os.chown(directory, user.id, user.id)
    assert runtime.list_json() == []


def test_directories_of_the_hosts_root_in_a_user_namespace(runtime: Runtime, user: OrdinaryUser) -> None:
    """As podman calls us for an ordinary user: uid 0 there, and the host's root is nobody."""
    runtime.root.mkdir(mode=0o700)
    os.chown(runtime.root, user.id, user.id)
    below = runtime.behind("unshare", "--user", "--map-root-user")
    below.options = runtime.options
    assert below.list_json() == []


def test_root_of_a_stranger_in_a_user_namespace(runtime: Runtime, user: OrdinaryUser, area: Path) -> None:
    """He may rename what is in his directory, though it has the sticky bit; and looks like the host's root."""
    runtime.root = area / "theirs"
    runtime.root.mkdir()
    os.chown(runtime.root, OTHER, OTHER)
    runtime.root.chmod(0o1777)
    below = runtime.behind("unshare", "--user", "--map-root-user")
    below.options = runtime.options
    for words in (("list",), ("delete", "--force", "x")):
        error_text(below.call(*words), "belongs to uid 65534")


def test_what_a_stranger_has_put_into_a_sticky_root_is_left_alone(runtime: Runtime, area: Path) -> None:
    """Under the name of a state that is being removed: with his directory would go what root has put there."""
    runtime.root = area / "everybodys"
    theirs = runtime.root / ".deleted-x"
    (theirs / "of root").mkdir(parents=True)
    runtime.root.chmod(0o1777)
    os.chown(theirs, OTHER, OTHER)
    (runtime.root / ".deleted-ours").mkdir()
    assert runtime.delete("none", "--force").returncode == 0
    assert [path.name for path in runtime.root.iterdir()] == [".deleted-x"]
    (theirs / "of root").rmdir()
    theirs.rmdir()


def test_directory_of_nobody_is_a_strangers_elsewhere(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "above").mkdir()
    os.chown(area / "above", 65534, 65534)
    runtime.root = area / "above/state"
    runtime.create_fails(bundle, "belongs to uid 65534")


def test_links_in_a_circle(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "one").symlink_to("two")
    (area / "two").symlink_to("one")
    runtime.root = area / "one/state"
    runtime.create_fails(bundle, "too many levels of symbolic links")
