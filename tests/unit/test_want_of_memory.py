"""What is said where memory is wanting: whose limit it was, and by whom it is said if create is killed itself."""

import json
import os
import sys
from pathlib import Path

import pytest
from pyrunc.arguments import Arguments
from pyrunc.cgroup import cgroupfs, interface_files, limits, manager, oom, values
from pyrunc.commands import create
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.log import Log

POD, CONTAINER = "/pod.slice", "/pod.slice/container"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A function that writes files of a cgroup."""
    (tmp_path / "cgroup.controllers").touch()
    monkeypatch.setattr(interface_files, "MOUNTS", (str(tmp_path),))

    def cgroup(path, limit="max", used=0, peak=0, reached=0, killed=0):
        where = Path(f"{tmp_path}{path}")
        where.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("memory.max", limit), ("memory.current", used), ("memory.peak", peak),
            ("memory.events.local", f"max 0\noom {reached}\n"), ("memory.events", f"oom 0\noom_kill {killed}\n"),
        ):  # fmt: skip
            (where / name).write_text(f"{content}\n")
        return str(where)

    return cgroup


def want(limit=None):
    settings = [values.Setting("memory.max", str(limit), "/linux/resources/memory/limit")] if limit else []
    found = manager.Want(manager.CGROUPFS, settings, None)
    found.path = CONTAINER
    return found


def test_the_limit_of_the_container_is_named_with_its_place(tree):
    tree(POD, limit=1 << 20)
    where = tree(CONTAINER, limit=4096, peak=8192, reached=1, killed=1)
    with pytest.raises(PyruncError) as caught:
        manager.check_survivors(want(4096), manager.Before(), CONTAINER)
    assert f"cgroup `{where}` is limited to 4096 bytes (memory.max), peak usage 8192" in str(caught.value)
    assert caught.value.pointer == "/linux/resources/memory/limit"


def test_the_limit_of_a_pod_is_not_taken_for_the_containers(tree):
    where = tree(POD, limit=5 << 20, peak=5 << 20, reached=2, killed=1)
    tree(CONTAINER, limit=4096, killed=1)
    with pytest.raises(PyruncError) as caught:
        manager.check_survivors(want(4096), manager.Before(), CONTAINER)
    assert f"cgroup `{where}` is limited to {5 << 20} bytes" in str(caught.value)
    assert not caught.value.pointer
    assert "not the container's own" in str(caught.value)


def test_a_host_without_memory(tree):
    tree(CONTAINER, killed=1)
    with pytest.raises(PyruncError, match="the host is out of memory"):
        manager.check_survivors(want(), manager.Before(), CONTAINER)


def test_a_host_without_cgroups(monkeypatch):
    monkeypatch.setattr(interface_files, "MOUNTS", ("/nonexistent",))
    manager.check_survivors(manager.Want(manager.DISABLED), manager.Before(), "")


def test_who_was_killed_in_a_cgroup_before_us_does_not_count(tree, monkeypatch):
    where = tree(CONTAINER, limit=4096, reached=1, killed=3)
    monkeypatch.setattr(cgroupfs, "make", lambda _: (os.open(where, os.O_RDONLY), True))
    monkeypatch.setattr(limits, "enable", lambda *_: None)
    found, before = want(4096), manager.Before()
    os.close(manager.place(found, before, lambda *_: None))
    manager.check_survivors(found, before, CONTAINER)
    tree(CONTAINER, limit=4096, reached=2, killed=4)
    with pytest.raises(PyruncError, match="4096 bytes"):
        manager.check_survivors(found, before, CONTAINER)


@pytest.mark.parametrize(("limit", "used", "feared"), [
    ("max", 0, False),
    (64 << 20, 0, False),
    (64 << 20, 60 << 20, True),
    (5 << 20, 0, True),
])  # fmt: skip
def test_the_last_word(tree, limit, used, feared):
    where = tree(POD, limit=limit, used=used)
    tree(CONTAINER)
    word = oom.last_word(CONTAINER)
    assert bool(word) == feared
    assert not feared or f"`{where}` may use {limit} bytes" in word


def test_no_last_word_without_cgroup_v2(monkeypatch):
    monkeypatch.setattr(interface_files, "MOUNTS", ("/nonexistent",))
    assert not oom.last_word("/a/b")


@pytest.fixture
def context(tmp_path, tree, monkeypatch):
    """That of a command in a pod with a small limit, and the log that its caller reads."""
    tree(POD, limit=5 << 20)
    monkeypatch.setattr(cgroupfs, "own_path", lambda: POD)
    file = tmp_path / "oci-log"
    return Context(Arguments(), Log(str(file), "json"), {}), file


@pytest.mark.parametrize("fails", [False, True])
def test_the_word_stands_while_create_is_at_work_and_no_longer(context, monkeypatch, fails):
    def work(*_, **__):
        (entry,) = map(json.loads, context[1].read_text().splitlines())
        assert (entry["level"], "OOM-killed" in entry["msg"]) == ("error", True)
        raise PyruncError("another reason", errno=sys.maxsize) if fails else SystemExit

    monkeypatch.setattr(create, "_create", work)
    monkeypatch.setattr(create, "_explain", lambda *_: None)
    with pytest.raises((PyruncError, SystemExit)):
        create.create(context[0], Arguments(), detach=True)
    assert context[1].read_text() == ""


def test_what_others_have_written_since_stays(context):
    log, file = context[0].log, context[1]
    file.write_text("of a former command\n")
    log.leave_word("killed")
    log.take_back()
    assert file.read_text() == "of a former command\n"
    log.leave_word("killed")
    with file.open("a") as other:
        other.write("of another\n")
    log.take_back()
    lines = file.read_text().splitlines()
    assert (lines[0], "killed" in lines[1], lines[2:]) == ("of a former command", True, ["of another"])


@pytest.mark.parametrize("form", ["text", "json"])
def test_only_a_file_of_json_is_read_by_a_program(tmp_path, form):
    assert Log("", form).can_take_back is False
    assert Log(str(tmp_path / "x"), form).can_take_back is (form == "json")
