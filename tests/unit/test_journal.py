"""pyrunc.container: the journal gives back what was noted, and nothing that was not."""

from pathlib import Path

import pytest
from pyrunc.container import Container


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A claimed container, of which the journal is all there is."""
    return Container.claim(str(tmp_path / "root"), "box")


@pytest.mark.parametrize("value", ["/a b", "/a\npid 1", "/a\r\x1e\x85b", "/a\\nb", '/"a"', "/ünï", "/7", ""])
def test_value_comes_back_as_it_was(container: Container, value: str) -> None:
    container.note("cgroup", value)
    container.note("startTime", 4711)
    state = container.load()
    assert state.to_json() == {"id": "box", "startTime": 4711} | ({"cgroup": value} if value else {})
    assert (state.pid, state.cgroup) == (0, value)


def test_later_line_wins(container: Container) -> None:
    for path in ("/a", "/b"):
        container.note("cgroup", path)
    assert container.load().cgroup == "/b"


def test_unit(container: Container) -> None:
    container.note("unit", ["a.slice", "b c.scope", "unix:path=/x y"])
    unit = container.load().unit
    assert unit is not None
    assert (unit.slice, unit.name, unit.address) == ("a.slice", "b c.scope", "unix:path=/x y")


@pytest.mark.parametrize(
    "line",
    [
        b"pid 7", b'["pid","7"]', b'["pid",true]', b'["pid",7.0]', b'["pid",7,8]', b'["pid"]', b'{"pid":7}', b"[[],7]",
        b'["nonsense",7]', b'["pid",7', b'\xff["pid",7]', b"[" * 100_000, b"7", b"",
    ],
)  # fmt: skip
def test_line_that_is_not_ours_says_nothing(container: Container, line: bytes) -> None:
    container.note("cgroup", "/a")
    with open(f"{container.path}/journal", "ab") as journal:
        journal.write(line + b"\n")
    container.note("startTime", 4711)
    assert container.load().to_json() == {"id": "box", "cgroup": "/a", "startTime": 4711}


def test_last_line_that_was_cut_off_says_nothing(container: Container) -> None:
    journal = Path(container.path, "journal")
    before = journal.read_bytes()
    container.note("cgroup", "/a/b")
    whole = journal.read_bytes()
    for length in range(len(before), len(whole)):
        journal.write_bytes(whole[:length])
        assert container.load().to_json() == {"id": "box"}
