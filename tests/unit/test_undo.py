"""What of a failed create or restore is undone if a part of the undoing fails, too."""

from types import SimpleNamespace

import pytest
from pyrunc.cgroup import manager
from pyrunc.errors import PyruncError
from pyrunc.kernel import rootfs
from pyrunc.stages import parent, restorer


@pytest.fixture
def plan(monkeypatch):
    """A plan whose cgroup cannot be removed."""

    def remove(path, *_, found):
        raise PyruncError(f"remove cgroup `{path}`", errno=16)

    monkeypatch.setattr(manager, "remove", remove)
    cgroup = SimpleNamespace(unit=None, address="", found=False)
    return SimpleNamespace(cgroup=cgroup, resctrl=None)


def test_mounts_are_detached_though_the_cgroup_stays(monkeypatch, plan):
    done = []
    monkeypatch.setattr(rootfs, "detach", lambda path, before: done.append((path, before)))
    made, error = parent.Created(0), PyruncError("mount `proc`")
    made.cgroup, made.mounted, made.mounts_before = "/a", "/bundle/rootfs", [7]
    parent.undo(plan, made, error)
    assert done == [("/bundle/rootfs", [7])]
    assert "remove cgroup `/a`" in str(error)


def test_order_is_that_of_delete(monkeypatch, plan):
    done = []
    monkeypatch.setattr(manager, "remove", lambda path, *_, found: done.append(path))
    monkeypatch.setattr(rootfs, "detach", lambda path, before: done.append(path))
    plan.resctrl = SimpleNamespace(undo=lambda: done.append("/resctrl/c1"))
    made = parent.Created(0)
    made.cgroup, made.mounted = "/a", "/bundle/rootfs"
    parent.undo(plan, made, PyruncError("mount `proc`"))
    assert done == ["/a", "/bundle/rootfs", "/resctrl/c1"]


def test_failed_restore_tells_why_it_failed_though_the_cgroup_stays(plan):
    made, error = restorer.Restored(), PyruncError("criu could not restore")
    made.cgroup = "/a"
    restorer.undo(plan, made, error)
    assert str(error) == "criu could not restore; besides, this failed: remove cgroup `/a`"
