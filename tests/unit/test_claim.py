"""A claim of an id: it stands whatever is removed meanwhile of what other commands have left."""

import fcntl
import os
from pathlib import Path

import pytest
from pyrunc import stateroot
from pyrunc.container import Container
from pyrunc.errors import PyruncError


@pytest.mark.parametrize("moment", ["made", "opened"])
def test_claim_that_is_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Who collects can come in between, as long as it is not locked."""
    root, done = str(tmp_path), []
    name = "posix.mkdir" if moment == "made" else "fcntl.flock"
    really = os.mkdir if moment == "made" else fcntl.flock

    def meanwhile(*arguments: object) -> None:
        if moment == "made":
            really(*arguments)
        if not done:
            done.append(moment)
            stateroot.collect(root)
        if moment != "made":
            really(*arguments)

    monkeypatch.setattr(name, meanwhile)
    container = Container.claim(root, "box")
    assert done
    assert os.listdir(root) == ["box"]
    assert container.exists()
    assert container.load().to_json() == {"id": "box"}


def test_claim_that_is_always_removed_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_and_remove(path: str, mode: int) -> None:
        os.mkdir(path, mode)
        os.rmdir(path)

    monkeypatch.setattr("posix.mkdir", make_and_remove)
    with pytest.raises(PyruncError, match="keep removing it"):
        Container.claim(str(tmp_path), "box")


@pytest.mark.parametrize("number", [22, 38])
def test_file_system_that_cannot_rename_without_replacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from pyrunc.kernel import syscalls

    def fail(*_: str) -> None:
        raise OSError(number, "")

    monkeypatch.setattr(syscalls, "rename_to_new", fail)
    Container.claim(str(tmp_path), "box")
    with pytest.raises(PyruncError, match="already exists"):
        Container.claim(str(tmp_path), "box")
    assert os.listdir(tmp_path) == ["box"]


def test_directory_of_somebody_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    with pytest.raises(PyruncError, match="already exists"):
        Container.claim(str(tmp_path), "box")
    assert os.listdir(tmp_path) == ["box"]
    assert os.listdir(tmp_path / "box") == []
