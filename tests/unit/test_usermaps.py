"""Which ids an ordinary user's container gets, from the config and from /etc/subuid and /etc/subgid."""

import posix
from pathlib import Path

import pytest
from pyrunc import usermaps
from pyrunc.errors import ConfigError
from pyrunc.host import HostFacts
from pyrunc.kernel import idmap, subids
from pyrunc.kernel.subids import Grant, IdRights
from pyrunc.spec.config import Config, parse_config

HELPERS = {"newuidmap": "/usr/bin/newuidmap", "newgidmap": "/usr/bin/newgidmap"}
GRANTS = (Grant("ann", 100000, 65536),)


def host(
    uids: tuple[Grant, ...] = GRANTS, gids: tuple[Grant, ...] = GRANTS, *, elsewhere: bool = False, **helpers: str
) -> HostFacts:
    rights = IdRights(1000, 1001, "ann", uids, gids, HELPERS | helpers, elsewhere=elsewhere)
    return HostFacts(1000, in_userns=False, rights=rights)


def asking(*namespaces: dict[str, str], **maps: list[tuple[int, int, int]]) -> Config:
    value = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"user": {"uid": 8, "gid": 9}, "cwd": "/", "args": ["x"]},
        "linux": {
            "namespaces": list(namespaces),
            **{key: [dict(zip(("containerID", "hostID", "size"), one, strict=True)) for one in ranges]
               for key, ranges in maps.items()},
        },
    }  # fmt: skip
    return parse_config(value)


def decide(config: Config, facts: HostFacts) -> usermaps.UserMaps:
    return usermaps.decide(config.linux, facts, config.process)


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ([], [(0, 1000, 1)]),
        ([(100000, 10)], [(0, 1000, 1), (1, 100000, 10)]),
        ([(100000, 10), (5000, 1)], [(0, 1000, 1), (1, 100000, 10), (11, 5000, 1)]),
        ([(990, 20)], [(0, 1000, 1), (1, 990, 10), (11, 1001, 9)]),  # one's own id in the middle
        ([(1000, 1)], [(0, 1000, 1)]),
        ([(1000, 5)], [(0, 1000, 1), (1, 1001, 4)]),
        ([(100, 10), (100, 10)], [(0, 1000, 1), (1, 100, 10)]),
        ([(100, 10), (105, 10), (95, 30)], [(0, 1000, 1), (1, 100, 10), (11, 110, 5), (16, 95, 5), (21, 115, 10)]),
        (
            [(2**31 - 1, 2**31), (2000, 2**31 - 1)],
            [(0, 1000, 1), (1, 2**31 - 1, 2**31), (2**31 + 1, 2000, 2**31 - 2001)],
        ),
    ],
)
def test_automatic_map(grants: list[tuple[int, int]], expected: list[tuple[int, int, int]]) -> None:
    ranges = usermaps.automatic(1000, tuple(Grant("ann", *grant) for grant in grants))
    assert list(ranges) == expected
    assert all(inside + count < 2**32 for inside, _, count in ranges)


def test_without_a_user_namespace_all_ids_are_mapped() -> None:
    maps = decide(asking(), host())
    assert maps.automatic
    assert not maps.warning
    assert (maps.uids, maps.gids) == (((0, 1000, 1), (1, 100000, 65536)), ((0, 1001, 1), (1, 100000, 65536)))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (host(uids=()), "no line of /etc/subuid"),
        (host(gids=()), "no line of /etc/subgid"),
        (host(newuidmap=""), "no newuidmap"),
        (host(newgidmap=""), "no newgidmap"),
    ],
)
def test_one_id_and_why(facts: HostFacts, reason: str) -> None:
    maps = decide(asking(), facts)
    assert (maps.uids, maps.gids) == (((8, 1000, 1),), ((9, 1001, 1),))
    assert reason in maps.warning


def test_root_gets_none() -> None:
    maps = decide(asking(), HostFacts(0, in_userns=False))
    assert (maps.automatic, maps.uids, maps.gids) == (False, (), ())


@pytest.mark.parametrize("in_userns", [False, True])
def test_roots_ids_for_a_user_namespace_without_mappings(monkeypatch: pytest.MonkeyPatch, in_userns: bool) -> None:
    """Inside another user namespace the lines of /etc/subuid are not for its root."""
    monkeypatch.setattr(subids, "lines", lambda _: [Grant("root", 5000, 10), Grant("ann", 100000, 65536)])
    maps = decide(asking({"type": "user"}), HostFacts(0, in_userns=in_userns))
    assert maps.uids == maps.gids == ((0, 0, 1), *([] if in_userns else [(1, 5000, 10)]))
    assert "root" in maps.warning


def test_a_user_namespace_that_is_joined_has_its_own() -> None:
    maps = decide(asking({"type": "user", "path": "/proc/1/ns/user"}), host(uids=(), newuidmap=""))
    assert (maps.automatic, maps.uids) == (False, ())


SINGLE = {"uidMappings": [(0, 1000, 1)], "gidMappings": [(7, 1001, 1)]}


def test_own_ids_need_no_helper() -> None:
    maps = decide(asking({"type": "user"}, **SINGLE), host((), (), newuidmap="", newgidmap=""))
    assert (maps.uids, maps.gids) == (((0, 1000, 1),), ((7, 1001, 1),))


@pytest.mark.parametrize("asked", [(100000, 65536), (165535, 1), (100000, 1)])
def test_granted_ranges(asked: tuple[int, int]) -> None:
    ranges = [(0, 1000, 1), (1, *asked)]
    maps = decide(asking({"type": "user"}, **SINGLE | {"uidMappings": ranges}), host())
    assert list(maps.uids) == ranges


def test_two_lines_that_follow_each_other_grant_one_range() -> None:
    rights = IdRights(1000, 1001, "ann", (Grant("ann", 110, 10), Grant("1000", 100, 10)), (), HELPERS)
    assert rights.may_map("uid", 100, 20)
    assert not rights.may_map("uid", 100, 21)
    assert not rights.may_map("uid", 99, 2)


@pytest.mark.parametrize("asked", [(99999, 2), (165535, 2), (0, 1), (1001, 1), (1000, 2)])
def test_ranges_that_are_not_granted(asked: tuple[int, int]) -> None:
    config = asking({"type": "user"}, **SINGLE | {"uidMappings": [(0, 165000, 1), (1, *asked)]})
    with pytest.raises(ConfigError) as caught:
        decide(config, host())
    last = asked[0] + asked[1] - 1
    assert caught.value.pointer == "/linux/uidMappings/1"
    assert "`ann:100000:65536` for `ann`" in str(caught.value)
    assert f"`usermod --add-subuids {asked[0]}-{last} ann`" in str(caught.value)


def test_with_another_source_than_the_files_the_helper_judges() -> None:
    config = asking({"type": "user"}, **SINGLE | {"uidMappings": [(0, 1, 5)]})
    assert decide(config, host(elsewhere=True)).uids == ((0, 1, 5),)


def test_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_bytes(b"bob:1:2\nann:10:20\n 1000:30:40 \n1001:5:5\nann:x:1\nann:1\nann:5:0\n\n\xff:1:1\nannn:1:1\n")
    assert [str(grant) for grant in subids.granted(str(file), "ann", 1000)] == ["ann:10:20", "1000:30:40"]


def test_a_map_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives a page at a time, which a map of more than 124 ranges is longer than."""
    whole, real = idmap.read("uid"), posix.read
    monkeypatch.setattr(posix, "read", lambda fd, size: real(fd, min(size, 7)))
    assert idmap.read("uid") == whole


def test_no_file(tmp_path: Path) -> None:
    assert subids.granted(str(tmp_path / "none"), "ann", 1000) == ()
