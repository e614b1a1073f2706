"""What containerd's containers may leave behind on a host."""

from __future__ import annotations

from collections.abc import Callable

from conformance.containerd.harness import NAMESPACE, Containerd
from conformance.harness import leftovers
from conformance.harness.checks import Failed, check


def processes(engine: Containerd) -> set[str]:
    programs = ("/usr/bin/containerd-shim", engine.runtime, f"/usr/bin/python3 -IS {engine.runtime}")
    return leftovers.processes(programs, engine.prefix)


def states(engine: Containerd) -> set[str]:
    return {name for folder in engine.state_folders() for name in leftovers.entries(folder)}


def objects(engine: Containerd) -> set[str]:
    """Containers and snapshots of the checks."""
    return {*engine("container", "list", "--quiet").split(), *engine("snapshot", "list").split()}


KINDS: dict[str, Callable[[Containerd], set[str]]] = {
    "container or snapshot": objects,
    "state of the runtime": states,
    "bundle": lambda engine: leftovers.entries(engine.folder / "state/io.containerd.runtime.v2.task" / NAMESPACE),
    "mount": lambda _engine: leftovers.mounts(),
    "process": processes,
    "cgroup": lambda _engine: leftovers.cgroups("*check-*", "cri-containerd-*"),
    "systemd unit": lambda _engine: leftovers.units("ctr-*") | leftovers.units("cri-containerd-*"),
}
test_nothing_is_left = leftovers.checks(KINDS)


@check("base", "the leftovers checks see the state, bundle, processes and cgroup of a running container")
def test_leftovers_are_seen(engine: Containerd) -> None:
    name = engine.start([], "sleep", "1000")
    for kind, wanted in (
        ("container or snapshot", name),
        ("state of the runtime", name),
        ("bundle", name),
        ("process", "containerd-shim"),
        ("process", "sleep 1000"),
        ("cgroup", name),
    ):
        found = " ".join(KINDS[kind](engine))
        if wanted not in found:
            raise Failed(f"{kind}: {wanted} is not in: {found}")
