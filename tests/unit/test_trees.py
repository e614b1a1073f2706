"""Removal of a tree: nothing outside of it is reached, whoever changes it meanwhile."""

import os
import subprocess
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


def test_deeper_than_frames_or_descriptors_would_go(tmp_path: Path) -> None:
    below = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("tree", dir_fd=below)
        os.mkdir("beside", dir_fd=below)
        above, below = below, os.open("tree", os.O_RDONLY, dir_fd=below)
        os.close(above)
    os.close(below)
    try:
        trees.remove(str(tmp_path / "tree"))
        assert os.listdir(tmp_path) == ["beside"]
    finally:  # pytest could not
        subprocess.run(["rm", "-rf", tmp_path / "tree"], check=True)


def test_directory_that_is_moved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`..` leads to another directory then, in which a name is another's."""
    (tmp_path / "tree/top/sub").mkdir(parents=True)
    (tmp_path / "outside/top").mkdir(parents=True)

    def move_then_list(where: int) -> list[str]:
        names = os.listdir(where)
        if not names:
            (tmp_path / "tree/top/sub").rename(tmp_path / "outside/sub")
        return names

    monkeypatch.setattr("posix.listdir", move_then_list)
    with pytest.raises(OSError, match="16"):
        trees.remove(str(tmp_path / "tree"))
    assert sorted(os.listdir(tmp_path / "outside")) == ["sub", "top"]
