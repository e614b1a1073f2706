"""The id mapping that a mount asks for, in all the forms in which it can be written."""

from typing import Any

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec.config import Mount
from pyrunc.spec.linux import Linux
from pyrunc.spec.reader import Reader
from pyrunc.wings.idmapped.mappings import MountMapping, mapping_of

CONTAINER = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 5000, "size": 99}]
ABSOLUTE = ((0, 1000, 1), (1, 5000, 99))


def linux(*, user: bool, **keys: object) -> Linux:
    return Linux(Reader({"namespaces": [{"type": "user"}] if user else [], **keys}, "/linux"))


def mapped(option: str, *, user: bool = True, **keys: Any) -> MountMapping | None:
    """What a bind mount with this option in a container with (or without) CONTAINER's mapping asks for."""
    container = linux(user=user, **({"uidMappings": CONTAINER, "gidMappings": CONTAINER} if user else {}))
    entry = {"destination": "/mnt", "options": ["bind", option], **keys}
    return mapping_of(Mount(Reader(entry, "/mounts/0")), container, "/mounts/0")


def both(option: str, *, user: bool = True) -> tuple[object, object, bool]:
    mapping = mapped(option, user=user)
    assert mapping is not None
    return mapping.uids, mapping.gids, mapping.recursive


def test_no_option_is_no_mapping() -> None:
    assert mapped("ro") is None


@pytest.mark.parametrize("word, recursive", [("idmap", False), ("ridmap", True)])
def test_the_containers(word: str, recursive: bool) -> None:
    assert both(word) == (ABSOLUTE, ABSOLUTE, recursive)


def test_of_a_namespace_that_is_joined() -> None:
    mount = Mount(Reader({"destination": "/mnt", "options": ["bind", "idmap"]}, "/mounts/0"))
    mapping = mapping_of(mount, linux(user=True), "/mounts/0")
    assert mapping is not None
    assert (mapping.uids, mapping.gids) == ((), ())


@pytest.mark.parametrize(
    "text, uids, gids",
    [
        ("uids=0-1-10;gids=0-100-10", ((0, 1, 10),), ((0, 100, 10),)),
        ("gids=0-100-10;uids=0-1-10", ((0, 1, 10),), ((0, 100, 10),)),
        ("uids=0-1-10#10-11-20;gids=5-5-1", ((0, 1, 10), (10, 11, 20)), ((5, 5, 1),)),
        ("uids=@0-0-1#@1-11-5;gids=@0-99-1", ((0, 1000, 1), (1, 5010, 5)), ((0, 5098, 1),)),
        ("uids=0-1-10", ((0, 1, 10),), ABSOLUTE),
        ("uids=4294967294-0-1", ((4294967294, 0, 1),), ABSOLUTE),
        ("uids=0-4294967290-5", ((0, 4294967290, 5),), ABSOLUTE),
        ("uids=0000000007-0-1", ((7, 0, 1),), ABSOLUTE),
        ("", ABSOLUTE, ABSOLUTE),
    ],
)
def test_words_in_the_option(text: str, uids: object, gids: object) -> None:
    assert both(f"idmap={text}") == (uids, gids, False)
    assert both(f"ridmap={text}") == (uids, gids, True)


@pytest.mark.parametrize(
    "text",
    [
        "uids", "uids=", "uids=1", "uids=1-2", "uids=1-2-3-4", "uids=a-b-c", "uids=1-2-0", "uids=-1-2-3", "uids=1- 2-3",
        "uids=4294967295-0-1", "uids=0-4294967290-6", "uids=99999999999-0-1", "uids=0-1-1;uids=0-1-1", "other=0-1-1",
        "uids=00000000007-0-1", "uids=@0-99-2", "uids=@0-0-2", "uids=0-0-1#7-@", "uids=\u0661-1-1",
    ],
)  # fmt: skip
def test_words_that_mean_nothing(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapped(f"idmap={text}")
    assert caught.value.pointer == "/mounts/0/options/1"


def test_ids_in_the_container_are_those_of_their_kind() -> None:
    ids = {"uidMappings": CONTAINER[:1], "gidMappings": [{"containerID": 0, "hostID": 7000, "size": 1}]}
    entry = {"destination": "/mnt", "options": ["bind", "idmap=uids=@3-0-1;gids=@4-0-1"]}
    mapping = mapping_of(Mount(Reader(entry, "/mounts/0")), linux(user=True, **ids), "/mounts/0")
    assert mapping is not None
    assert (mapping.uids, mapping.gids) == (((3, 1000, 1),), ((4, 7000, 1),))


def test_no_more_ranges_than_the_kernel_takes() -> None:
    text = "idmap=uids=0-1-10;gids=" + "#".join(f"{i}-{i}-1" for i in range(340))
    assert len(both(text)[1]) == 340  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^341 ranges of gids, where the kernel takes 340 at most"):
        mapped(f"{text}#340-340-1")


def test_keys_of_the_mount() -> None:
    keys = {"uidMappings": CONTAINER[:1], "gidMappings": CONTAINER[1:]}
    for option in ("ro", "idmap"):
        mapping = mapped(option, user=False, **keys)
        assert mapping is not None
        assert (mapping.uids, mapping.gids) == (ABSOLUTE[:1], ABSOLUTE[1:])


def test_two_mappings_are_refused() -> None:
    with pytest.raises(ConfigError, match="mutually exclusive"):
        mapped("idmap=uids=0-1-1", uidMappings=CONTAINER, gidMappings=CONTAINER)


@pytest.mark.parametrize(
    ("words", "good"),
    [
        (["bind", "idmap"], True), (["idmap"], True), (["bind", "iversion", "idmap"], True),
        (["iversion", "idmap"], False), (["remount", "idmap"], False), (["bind", "remount", "idmap"], False),
    ],
)  # fmt: skip
def test_what_an_id_mapping_is_for(words: list[str], good: bool) -> None:
    mount = Mount(Reader({"destination": "/mnt", "options": words}, "/mounts/0"))
    container = linux(user=True, uidMappings=CONTAINER, gidMappings=CONTAINER)
    if good:
        assert mapping_of(mount, container, "/mounts/0") is not None
        return
    with pytest.raises(ConfigError, match="cannot be combined") as caught:
        mapping_of(mount, container, "/mounts/0")
    assert caught.value.pointer == f"/mounts/0/options/{words.index('idmap')}"


def test_words_without_a_user_namespace() -> None:
    assert both("idmap=uids=0-1-1;gids=0-2-1", user=False) == (((0, 1, 1),), ((0, 2, 1),), False)


@pytest.mark.parametrize("option", ["idmap", "ridmap", "idmap=uids=0-1-1", "idmap=gids=0-1-1"])
def test_without_any_mapping_it_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="needs uidMappings and gidMappings"):
        mapped(option, user=False)
