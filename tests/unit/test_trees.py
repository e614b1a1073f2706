"""Removal of a tree: nothing outside of it is reached, whoever changes it meanwhile."""

import os
from pathlib import Path

import pytest
from pyrunc.kernel import trees


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/link").symlink_to(tmp_path / "outside")
    trees.remove(str(tmp_path / "tree"))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["outside", "outside/sub"]


def test_directory_that_becomes_a_symlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have a directory in the state of a container: that of its notify socket."""
    for directory in ("outside/sub", "tree/top/sub"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "file").touch()

    def swap_then_list(where: int) -> list[str]:
        names = os.listdir(where)
        if names == ["sub"]:
            (tmp_path / "tree/top").rename(tmp_path / "tree/moved")
            (tmp_path / "tree/top").symlink_to(tmp_path / "outside")
        return names

    monkeypatch.setattr("posix.listdir", swap_then_list)
    with pytest.raises(NotADirectoryError):
        trees.remove(str(tmp_path / "tree"))
    assert (tmp_path / "outside/sub/file").exists()
