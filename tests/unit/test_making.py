"""What is opened while a plan is carried out: namespaces, and what bind mounts bind. Nothing is opened for real."""

from types import SimpleNamespace
from typing import Any

import pytest
from pyrunc.kernel import namespaces as kernel_namespaces
from pyrunc.kernel import syscalls as k
from pyrunc.kernel.mount import mounts
from pyrunc.kernel.namespaces import OpenNamespace
from pyrunc.planning.container import ContainerPlan
from pyrunc.planning.facts import HostFacts
from pyrunc.stages import making
from pyrunc.wings.idmapped.mount_userns import MountMap

from tests.unit.test_container_plan import GRANT, ROOT, namespaces, ordinary, planned
from tests.unit.test_container_plan_parts import MAPPED, USER, mount


def begun(plan: ContainerPlan) -> making.Making:
    nowhere: Any = SimpleNamespace()
    return making.Making(nowhere, plan)


def test_as_it_begins() -> None:
    plan = planned()
    made = begun(plan)
    assert (made.maps, made.filter, made.denies_setgroups) == (plan.maps, plan.filter, plan.denies_setgroups)
    assert (made.joins, made.apart, made.hook_streams) == ((), frozenset(), (-1, -1))
    assert (made.sources, made.mount_maps, made.nodes, made.joined("user")) == ({}, {}, {}, -1)


def test_namespaces_in_which_the_container_is_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """New ones, and those of others that it joins; not those that it shares with us."""
    monkeypatch.setattr(
        kernel_namespaces.Join, "open", lambda join: OpenNamespace(join, {"uts": 20, "ipc": 21}.get(join.kind, 22))
    )
    monkeypatch.setattr(OpenNamespace, "is_ours", lambda join: join.kind == "uts")
    plan = planned(namespaces("uts=/u", "ipc=/i", "pid", "network=/n"))
    made = begun(plan)
    making.open_joins(plan, made)
    assert [(join.kind, join.path, join.fd) for join in made.joins] == [
        ("uts", "/u", 20), ("ipc", "/i", 21), ("network", "/n", 22),
    ]  # fmt: skip
    assert [join.pointer for join in made.joins] == [f"/linux/namespaces/{i}/path" for i in (0, 1, 3)]
    assert (made.apart, made.joined("ipc"), made.joined("pid")) == ({"ipc", "pid", "network"}, 21, -1)


def test_id_mapped_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    detached: list[object] = []
    monkeypatch.setattr(MountMap, "open", lambda _, fd, pointer: 100 + fd if pointer == "/mounts/1" else None)
    monkeypatch.setattr(mounts, "detach", lambda one, *rest: detached.append((one.source, *rest)) or 40)
    monkeypatch.setattr(mounts, "keep_locked", lambda *_: (0, ""))
    for kinds, userns in ((("pid=/p", "user=/u", "mount"), 121), (("pid=/p", "mount"), 99)):
        plan = planned(namespaces(*kinds), mount(**MAPPED))
        made = begun(plan)
        made.joins = tuple(OpenNamespace(join, 20 + number) for number, join in enumerate(plan.joins))
        making.open_sources(plan, made, ROOT)
        assert (made.mount_maps, made.sources, made.warnings) == ({1: userns}, {1: (40, 0)}, [])
        assert detached.pop() == ("/s", k.MS_SLAVE | k.MS_REC, -1, userns)


@pytest.mark.parametrize(
    ("changes", "host", "opened"),
    [
        ([namespaces("mount")], ROOT, False),
        ([namespaces("mount=/m")], ROOT, False),
        ([], ROOT, True),  # init binds in the runtime's own mount namespace
        (USER, ROOT, True),
        ([namespaces("mount", "user=/u")], ROOT, True),
        ([namespaces("mount")], ordinary(GRANT), False),  # the user may bind in his own user namespace what he may here
    ],
)
def test_who_opens_what_is_bound(
    changes: list[Any], host: HostFacts, opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    detached: list[object] = []
    monkeypatch.setattr(mounts, "detach", lambda one, *rest: detached.append((one.source, *rest)) or 40)
    monkeypatch.setattr(mounts, "keep_locked", lambda one, fd: (2, f"nosuid{fd}") if one.source == "/s" else (0, ""))
    plan = planned(*changes, mount(source="/s", options=["bind"]), host=host)
    made = begun(plan)
    making.open_sources(plan, made, host)
    assert made.sources == ({1: (40, 2 if plan.enters_user_namespace else 0)} if opened else {})
    assert detached == ([("/s", k.MS_SLAVE | k.MS_REC, -1, -1)] if opened else [])
    said = ["the source of the mount to `/d` stays nosuid40, as the host has it (/mounts/1/options)"]
    assert made.warnings == (said if opened and plan.enters_user_namespace else [])


@pytest.mark.parametrize(
    ("propagation", "kind"),
    [
        ("", k.MS_SLAVE | k.MS_REC),
        ("rprivate", k.MS_PRIVATE | k.MS_REC),
        ("private", k.MS_PRIVATE | k.MS_REC),
        ("rshared", k.MS_SHARED | k.MS_REC),
        ("shared", 0),  # the root's alone
    ],
)
def test_propagation_of_what_is_bound(propagation: str, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[int] = []
    monkeypatch.setattr(mounts, "detach", lambda _, kind, root, userns: kinds.append(kind) or 40)
    monkeypatch.setattr(mounts, "keep_locked", lambda *_: (0, ""))
    changes = [("/linux/rootfsPropagation", propagation)] if propagation else []
    plan = planned(*USER, *changes, mount(source="/s", options=["bind"]))
    making.open_sources(plan, begun(plan), ROOT)
    assert kinds == [kind]


def test_what_is_in_an_earlier_mount_is_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "detach", lambda one, kind, root, userns: 40 + root)
    monkeypatch.setattr(mounts, "keep_locked", lambda one, tree: (4, f"words{tree}"))
    entries = [
        {"destination": "/a", "type": "tmpfs"},
        {"destination": "/z", "source": "/b/root/a", "options": ["bind"]},
    ]
    plan = planned(("/root/path", "/b/root"), *USER, ("/mounts", entries))
    made = begun(plan)
    making.open_sources(plan, made, ROOT)
    assert (made.warnings, made.sources) == ([], {})
    said = "the source of the mount to `/z` stays words45, as an earlier mount has it (/mounts/1/options)"
    assert (making.open_source(plan, made, 1, 5), made.sources) == ([said], {1: (45, 4)})
