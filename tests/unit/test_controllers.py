"""Controllers are turned on from the top down to a new cgroup; files of a directory stand in for the kernel's."""

import os
from pathlib import Path

import pytest
from pyrunc.cgroup import cgroupfs, interface_files, limits, manager
from pyrunc.cgroup.values import Setting
from pyrunc.errors import PyruncError

NEEDED = {"memory": "/linux/resources/memory/limit"}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy with the cgroups / and /a, where cpu and memory are to be had, and pids is on already."""
    for where in (tmp_path, tmp_path / "a"):
        where.mkdir(exist_ok=True)
        (where / "cgroup.controllers").write_text("cpu memory pids\n")
        (where / "cgroup.subtree_control").write_text("pids\n")
    monkeypatch.setattr(interface_files, "MOUNTS", (str(tmp_path),))
    return tmp_path


def written(where: Path) -> list[str]:
    return (where / "cgroup.subtree_control").read_text().split()


def test_all_that_can_be_had_in_every_ancestor(top: Path) -> None:
    limits.enable("/a/b", NEEDED)
    assert written(top) == written(top / "a") == ["+cpu", "+memory"]


def test_one_that_is_missing_is_an_error_where_it_is_needed(top: Path) -> None:
    (top / "a/cgroup.controllers").write_text("cpu\n")
    with pytest.raises(PyruncError) as caught:
        limits.enable("/a/b", NEEDED)
    assert caught.value.pointer == NEEDED["memory"]
    limits.enable("/a/b", {})
    assert "+cpu" in written(top / "a")


def test_a_new_cgroup_gets_what_its_settings_need(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(cgroupfs, "exists", lambda _: False)
    monkeypatch.setattr(cgroupfs, "make", lambda _: (os.open("/", os.O_RDONLY), False))
    monkeypatch.setattr(limits, "enable", lambda *arguments: asked.append(arguments))
    want = manager.Want(manager.CGROUPFS, [Setting("memory.max", "1", "/linux/resources/memory/limit")], None)
    want.path = "/a/b"
    os.close(manager.place(want, manager.Before(), lambda *_: None))
    assert asked == [("/a/b", NEEDED)]
