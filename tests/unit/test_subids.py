"""Which ids a user may map: /etc/subuid and /etc/subgid, and who has a say in them."""

import posix
from pathlib import Path

import pytest
from pyrunc.kernel.ids import subordinate
from pyrunc.kernel.ids.subordinate import Grant, IdRights
from pyrunc.kernel.process import programs


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Path -> text, in place of the host's files; a path that is not in it is missing."""
    texts: dict[str, str] = {}
    monkeypatch.setattr(subordinate, "_text", lambda path: texts.get(path, ""))
    return texts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ann:1:2", ("ann", 1, 2)),
        (" ann:1:2 ", ("ann", 1, 2)),
        ("ann:0:1", ("ann", 0, 1)),
        ("ann:4294967295:4294967295", ("ann", 2**32 - 1, 2**32 - 1)),
        ("ann:00000000001:1", None),
        ("ann:1:00000000001", None),
        ("ann:1:0", None),
        ("ann:1:", None),
        ("ann::1", None),
        ("ann:1:2:3", None),
        ("ann:\u0661:1", None),
        ("ann:-1:1", None),
        ("#", None),
        ("", None),
    ],
)
def test_line(line: str, expected: "tuple[str, int, int] | None", files: dict[str, str]) -> None:
    files["/f"] = f"{line}\nend:5:6\n"
    found = [(grant.owner, grant.first, grant.count) for grant in subordinate.lines("/f")]
    assert found == [*([expected] if expected else []), ("end", 5, 6)]


def test_rights_of_this_user(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[tuple[str, str]] = []
    monkeypatch.setattr(programs, "find", lambda name, path: looked.append((name, path)) or f"/bin/{name}")
    monkeypatch.setattr(posix, "geteuid", lambda: 1000)
    monkeypatch.setattr(posix, "getegid", lambda: 1001)
    monkeypatch.setattr(subordinate, "login_name", lambda uid: f"u{uid}")
    files["/etc/subuid"], files["/etc/subgid"] = "u1000:1:2\nother:3:4\n1000:5:6\n", "u1000:7:8\n"
    for sources in ("files", "sss"):
        files["/etc/nsswitch.conf"] = f"subid: {sources}\n"
        found = subordinate.rights("/my/bin")
        assert (found.uid, found.gid, found.user, found.elsewhere) == (1000, 1001, "u1000", sources == "sss")
        assert [str(grant) for grant in found.uids] == ["u1000:1:2", "1000:5:6"]
        assert [str(grant) for grant in found.gids] == ["u1000:7:8"]
    assert found.helpers == {"newuidmap": "/bin/newuidmap", "newgidmap": "/bin/newgidmap"}
    path = "/my/bin:/usr/bin:/bin:/usr/local/bin:/usr/sbin:/run/wrappers/bin"
    assert looked[:2] == [("newuidmap", path), ("newgidmap", path)]
    assert (found.own("uid"), found.own("gid")) == (1000, 1001)
    assert (found.grants("uid"), found.grants("gid")) == (found.uids, found.gids)


@pytest.mark.parametrize(
    ("text", "elsewhere"),
    [
        ("", False),
        ("passwd: sss\n", False),
        ("subid:\n", False),
        ("subid: files\n", False),
        ("subid: sss\n", True),
        ("subid: files sss\n", True),
        ("# subid: sss\n", False),
        ("passwd: files\n subid : sss # ours\n", True),
        ("subid: files # sss\n", False),
    ],
)
def test_another_source(text: str, elsewhere: bool, files: dict[str, str]) -> None:
    files["/etc/nsswitch.conf"] = text
    assert subordinate._granted_elsewhere() == elsewhere


@pytest.mark.parametrize(
    ("first", "count", "good"),
    [
        (1000, 1, True), (1000, 2, False), (999, 1, False), (100, 10, True), (99, 1, False), (99, 2, False),
        (109, 1, True), (100, 11, False), (110, 1, False), (120, 20, True), (120, 21, False), (125, 15, True),
        (119, 5, False), (200, 1, True), (201, 1, False), (200, 2, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_ranges_that_may_be_mapped(kind: str, first: int, count: int, good: bool) -> None:
    grants = tuple(Grant("ann", *grant) for grant in ((130, 10), (100, 10), (200, 1), (120, 10)))
    both = {"uid": (), "gid": (), kind: grants}
    rights = IdRights(1000, 1000, "ann", both["uid"], both["gid"], {})
    assert rights.may_map(kind, first, count) == good
    assert not rights.elsewhere


def test_name_of_a_user() -> None:
    assert subordinate.login_name(0) == "root"
    assert subordinate.login_name(2**31 - 7) == "2147483641"


def test_what_is_read_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_bytes(b"a\xff" + b"x" * (4 << 20))
    assert subordinate._text(str(file)) == "a\udcff" + "x" * ((4 << 20) - 2)
    assert subordinate._text(str(tmp_path / "none")) == ""
    assert subordinate._text(str(tmp_path)) == ""
    posix.mkfifo(tmp_path / "fifo")  # nobody writes: to open it must not wait
    assert subordinate._text(str(tmp_path / "fifo")) == ""


def test_the_file_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened, closed, flags, real_open, real_close = [], [], [], posix.open, posix.close

    def opens(path: str, how: int, **more: int | None) -> int:
        flags.append(how)
        opened.append(real_open(path, how, **more))
        return opened[-1]

    monkeypatch.setattr(posix, "open", opens)
    monkeypatch.setattr(posix, "close", lambda fd: closed.append(fd) or real_close(fd))
    subordinate._text("/dev/null")
    subordinate._text(str(tmp_path))
    assert opened == closed
    assert len(opened) == 2
    assert flags == [posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK] * 2
