"""newuidmap and newgidmap: what they refuse leaves one id; what keeps them from running is an error. And who cannot
read which ids we have does not take us for root of the host."""

from errno import EIO, ENOENT
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.ids.subordinate import IdRights

RANGES = ((0, 100000, 65536),)
ALONE = {"uid": ((0, 1000, 1),), "gid": ((0, 1001, 1),)}


def mapped(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> tuple[object, ...]:
    """What `write_or_single` makes of helpers that are this shell script ("": none that the kernel could run)."""
    helper = directory / "helper"
    helper.write_text(f"#!{'/bin/sh' if script else '/none'}\n{script}\n")
    helper.chmod(0o755)
    monkeypatch.setattr(idmap, "_write_single", lambda *_: None)
    rights = IdRights(1000, 1001, "ann", (), (), {"newuidmap": str(helper), "newgidmap": str(helper)}, elsewhere=False)
    return idmap.write_or_single(1, RANGES, RANGES, rights, ALONE)


def test_one_that_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert mapped(monkeypatch, tmp_path, "exit 0") == (RANGES, RANGES, "")


def test_one_that_refuses_leaves_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uids, gids, warning = mapped(monkeypatch, tmp_path, "echo no; exit 1")
    assert (uids, gids) == (ALONE["uid"], ALONE["gid"])
    assert str(warning).endswith(": no; the container has one gid and one uid, yours")


@pytest.mark.parametrize(("script", "text"), [("kill -9 $$", "was killed by signal 9"), ("", "run `")])
def test_one_that_could_not_run_makes_no_other_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, text: str
) -> None:
    with pytest.raises(PyruncError, match=text) as caught:
        mapped(monkeypatch, tmp_path, script)
    assert caught.value.check == "id-map-programs subordinate-ids"


@pytest.mark.parametrize(("number", "initial"), [(ENOENT, True), (EIO, None)])
def test_ids_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, number: int, initial: bool | None) -> None:
    """ENOENT: the kernel has no user namespaces."""

    def fail(*_: object) -> bytes:
        raise OSError(number, "", "/proc/self/ns/user")

    monkeypatch.setattr("posix.stat", fail)
    if initial:
        assert idmap.is_initial()
        return
    with pytest.raises(OSError, match="/proc/self/ns/user"):
        idmap.is_initial()
