"""Which ids an ordinary user's container gets, from the config and from /etc/subuid and /etc/subgid."""

import posix
from pathlib import Path

import pytest
from pyrunc.errors import ConfigError
from pyrunc.kernel.ids import idmap, subordinate
from pyrunc.kernel.ids.idmap import Range
from pyrunc.kernel.ids.subordinate import Grant, IdRights
from pyrunc.planning import idmaps
from pyrunc.planning.facts import HostFacts
from pyrunc.spec.config import Config, parse_config
from pyrunc.spec.process import NoProcess

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


def decide(config: Config, facts: HostFacts) -> idmaps.UserMaps:
    return idmaps.decide(config.linux, facts, config.process)


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
        # Inside, the last id is no id: nothing is left for the second.
        ([(0, 2**32), (2**32, 5)], [(0, 1000, 1), (1, 0, 1000), (1001, 1001, 2**32 - 1002)]),
    ],
)
def test_automatic_map(grants: list[tuple[int, int]], expected: list[tuple[int, int, int]]) -> None:
    ranges = idmaps.automatic(1000, tuple(Grant("ann", *grant) for grant in grants))
    assert list(ranges) == expected
    assert all(inside + count < 2**32 for inside, _, count in ranges)


@pytest.mark.parametrize(
    ("taken", "pieces"),
    [
        ([], [(10, 20)]),
        ([(0, 10)], [(10, 20)]),
        ([(0, 11)], [(11, 20)]),
        ([(10, 11)], [(11, 20)]),
        ([(11, 12)], [(10, 11), (12, 20)]),
        ([(15, 16), (11, 13), (12, 14)], [(10, 11), (14, 15), (16, 20)]),
        ([(11, 18), (12, 13)], [(10, 11), (18, 20)]),
        ([(19, 20)], [(10, 19)]),
        ([(19, 21)], [(10, 19)]),
        ([(20, 30), (40, 50)], [(10, 20)]),
        ([(10, 20)], []),
        ([(0, 15), (15, 30)], []),
    ],
)
def test_what_is_free(taken: list[tuple[int, int]], pieces: list[tuple[int, int]]) -> None:
    assert idmaps._free(10, 20, taken) == pieces


def test_without_a_user_namespace_all_ids_are_mapped() -> None:
    maps = decide(asking(), host())
    assert maps.automatic
    assert not maps.warning
    assert (maps.uids, maps.gids) == (((0, 1000, 1), (1, 100000, 65536)), ((0, 1001, 1), (1, 100000, 65536)))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (host(uids=()), "/etc/subuid has no line"),
        (host(gids=()), "/etc/subgid has no line"),
        (host(newuidmap=""), "newuidmap is not installed"),
        (host(newgidmap=""), "newgidmap is not installed"),
    ],
)
def test_one_id_and_why(facts: HostFacts, reason: str) -> None:
    maps = decide(asking(), facts)
    assert (maps.uids, maps.gids) == (((8, 1000, 1),), ((9, 1001, 1),))
    assert reason in maps.warning


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        (host(), ""),
        (
            host(uids=(), newuidmap=""),
            "/etc/subuid has no line for you; add one as root: `usermod --add-subuids FIRST-LAST ann`",
        ),
        (
            host(gids=(), newgidmap=""),
            "/etc/subgid has no line for you; add one as root: `usermod --add-subgids FIRST-LAST ann`",
        ),
        (
            host(newuidmap="", newgidmap=""),
            "newuidmap is not installed; install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)",
        ),
    ],
)
def test_the_warning_says_what_would_change_it(facts: HostFacts, warning: str) -> None:
    maps = decide(asking(), facts)
    before = "only your own uid and gid can be mapped: "
    assert maps.warning == (before + warning if warning else "")
    assert maps.alone == (((8, 1000, 1),), ((9, 1001, 1),))


def test_without_a_process_one_is_root() -> None:
    maps = idmaps.decide(asking().linux, host(uids=()), NoProcess())
    assert (maps.uids, maps.gids) == (((0, 1000, 1),), ((0, 1001, 1),))


def test_a_map_of_the_config_is_nothing_automatic() -> None:
    maps = decide(asking({"type": "user"}, **SINGLE), host())
    assert (maps.automatic, maps.warning, maps.alone) == (False, "", ((), ()))


def test_root_gets_none() -> None:
    maps = decide(asking(), HostFacts(0, in_userns=False))
    assert (maps.automatic, maps.uids, maps.gids) == (False, (), ())


@pytest.mark.parametrize("in_userns", [False, True])
def test_roots_ids_for_a_user_namespace_without_mappings(in_userns: bool) -> None:
    host = HostFacts(0, in_userns=in_userns)
    if not in_userns:
        host.granted_to_root = dict.fromkeys(("uid", "gid"), (Grant("root", 5000, 10),))
    maps = decide(asking({"type": "user"}), host)
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


@pytest.mark.parametrize(
    ("facts", "kind", "message"),
    [
        (host(uids=()), "uid", "uids 1-2 of the host are not yours to map: /etc/subuid has no line for `ann`"),
        (host(gids=()), "gid", "gids 1-2 of the host are not yours to map: /etc/subgid has no line for `ann`"),
        (host(newuidmap=""), "uid", "newuidmap is needed to map more than your own id"),
        (host(newgidmap=""), "gid", "newgidmap is needed to map more than your own id"),
    ],
)
def test_what_is_missing_for_a_range(facts: HostFacts, kind: str, message: str) -> None:
    config = asking({"type": "user"}, **SINGLE | {f"{kind}Mappings": [(0, 1, 2)]})
    with pytest.raises(ConfigError) as caught:
        decide(config, facts)
    assert caught.value.message == message
    assert (caught.value.pointer or "").startswith(f"/linux/{kind}Mappings")
    assert caught.value.check.endswith("subordinate-ids")


OUTER = ((0, 100, 10), (10, 200, 5), (20, 300, 1))  # of the namespace that pyrunc runs in: inside, outside, count


@pytest.mark.parametrize(
    ("first", "count", "good"),
    [(0, 10, True), (0, 11, False), (9, 1, True), (9, 2, False), (10, 5, True), (10, 6, False), (14, 1, True),
     (14, 2, False), (15, 1, False)],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_ranges_inside_of_another_user_namespace(kind: str, first: int, count: int, good: bool) -> None:
    maps = {key: [(0, 0, 1)] for key in ("uidMappings", "gidMappings")}
    config = asking({"type": "user"}, **maps | {f"{kind}Mappings": [(50, 20, 1), (0, first, count)]})
    facts = HostFacts(0, in_userns=True)
    facts.uids = facts.gids = OUTER
    if good:
        assert getattr(decide(config, facts), f"{kind}s") == ((50, 20, 1), (0, first, count))
        return
    shown = f"{first}-{first + count - 1}" if count > 1 else first
    with pytest.raises(ConfigError) as caught:
        decide(config, facts)
    assert caught.value.pointer == f"/linux/{kind}Mappings/1"
    assert caught.value.message == (
        f"{kind}s {shown} do not lie in one range of the user namespace that pyrunc runs in, which has 0-9, 10-14, 20"
    )


@pytest.mark.parametrize(
    ("uids", "gids", "expected"),
    [
        ([(0, 500, 1)], [(0, 600, 1)], (500, 600)),
        ([(1, 400, 9), (0, 500, 1)], [(0, 600, 9)], (500, 600)),
        ([(8, 500, 1)], [(9, 600, 1)], (500, 600)),  # 0 is not mapped: those of the process
        ([(7, 500, 2)], [(1, 600, 9)], (501, 608)),
        ([(9, 500, 1)], [(1, 600, 8)], (0, 0)),
        ([], [], (0, 0)),
    ],
)
def test_root_outside(uids: list[Range], gids: list[Range], expected: tuple[int, int]) -> None:
    process = asking().process
    assert idmaps.root_outside(idmaps.UserMaps(tuple(uids), tuple(gids)), process) == expected
    maps = idmaps.UserMaps(((1, 5, 1), (0, 50, 1)), ((0, 60, 1),))
    assert idmaps.root_outside(maps, NoProcess()) == (50, 60)


@pytest.mark.parametrize(
    ("uids", "gids", "groups", "where", "id_", "ranges"),
    [
        ([(8, 1, 1)], [(9, 1, 1)], [], "", "", ""),
        ([(0, 1, 9)], [(0, 1, 10)], [], "", "", ""),
        ([(0, 1, 8)], [(0, 1, 10)], [], "uid", "uid 8", "0-7"),
        ([(9, 1, 2)], [(0, 1, 10)], [], "uid", "uid 8", "9-10"),
        ([(0, 1, 9)], [(0, 1, 1), (3, 1, 6)], [], "gid", "gid 9", "0, 3-8"),
        ([(0, 1, 9)], [(9, 1, 2)], [9, 10], "", "", ""),
        ([(0, 1, 9)], [(9, 1, 2)], [9, 11, 12], "additionalGids/1", "gid 11", "9-10"),
    ],
)
def test_ids_of_the_process(
    uids: list[Range], gids: list[Range], groups: list[int], where: str, id_: str, ranges: str
) -> None:
    process, maps = asking().process, idmaps.UserMaps(tuple(uids), tuple(gids))
    assert process is not None
    process.user.additional_gids = groups
    if not where:
        idmaps.check_process(process, maps)
        return
    for automatic, warning, hint in (
        (False, "", "map it, or choose another"), (True, "why", "why"), (False, "why", "why"),
        (True, "", "/etc/subuid must give you more ids"),
    ):  # fmt: skip
        maps = idmaps.UserMaps(tuple(uids), tuple(gids), automatic=automatic, warning=warning)
        with pytest.raises(ConfigError) as caught:
            idmaps.check_process(process, maps)
        assert caught.value.pointer == f"/process/user/{where}"
        assert caught.value.message == f"{id_} is not mapped in the container's user namespace, which has {ranges}"
        assert caught.value.hint == (hint if where == "uid" else hint.replace("uid", "gid"))


def test_with_another_source_than_the_files_the_helper_judges() -> None:
    config = asking({"type": "user"}, **SINGLE | {"uidMappings": [(0, 1, 5)]})
    assert decide(config, host(elsewhere=True)).uids == ((0, 1, 5),)


def test_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_bytes(b"bob:1:2\nann:10:20\n 1000:30:40 \n1001:5:5\nann:x:1\nann:1\nann:5:0\n\n\xff:1:1\nannn:1:1\n")
    assert [str(grant) for grant in subordinate.granted(str(file), "ann", 1000)] == ["ann:10:20", "1000:30:40"]


def test_a_map_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives a page at a time, which a map of more than 124 ranges is longer than."""
    whole, real = idmap.read("uid"), posix.read
    monkeypatch.setattr(posix, "read", lambda fd, size: real(fd, min(size, 7)))
    assert idmap.read("uid") == whole


def test_no_file(tmp_path: Path) -> None:
    assert subordinate.granted(str(tmp_path / "none"), "ann", 1000) == ()
