"""What podman's containers may leave behind on a host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from conformance.harness import leftovers
from conformance.harness.checks import Failed, check, equal
from conformance.podman.harness import Podman

ID = "[0-9a-f]" * 64  # as the name of a cgroup: an ordinary user's, with cgroupfs


def state_folder(podman: Podman) -> Path:
    """Where the runtime keeps its containers' state: podman's own tests expect it there, too."""
    return leftovers.own_base() / Path(podman.runtime).name


def states(podman: Podman) -> set[str]:
    return leftovers.entries(state_folder(podman))


def processes(podman: Podman) -> set[str]:
    """The processes that serve or are containers; those of an ordinary user's have his subordinate ids."""
    programs = ("/usr/bin/conmon", podman.runtime, f"/usr/bin/python3 -IS {podman.runtime}")
    return leftovers.processes(programs, f"/(libpod-|{ID}$)", None if podman.rootless else os.geteuid())


def cgroups(_podman: Podman) -> set[str]:
    return leftovers.cgroups("*libpod-*", "*libpod_pod_*", ID)


def podman_objects(podman: Podman) -> set[str]:
    """Containers, pods, volumes and networks of the checks, by name."""
    names = podman("ps", "--all", "--format", "{{.Names}}").split()
    for kind in ("pod", "volume", "network"):
        names += podman(kind, "ls", "--format", "{{.Name}}").split()
    return {name for name in names if name.startswith(podman.prefix)}


KINDS: dict[str, Callable[[Podman], set[str]]] = {
    "container, pod, volume or network": podman_objects,
    "state of the runtime": states,
    # a rootless podman has a mount namespace of its own
    "mount": lambda podman: leftovers.mounts(["podman", "unshare"] if podman.rootless else []),
    "process": processes,
    "cgroup": cgroups,
    "systemd unit": lambda podman: leftovers.units("*libpod*", *(["--user"] if podman.rootless else [])),
    "network namespace": lambda _podman: leftovers.entries(leftovers.own_base() / "netns"),
}
test_nothing_is_left = leftovers.checks(KINDS)


@check("base", "state folder: holds the running container, and not the removed one")
def test_state_is_where_expected(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    container = podman.inspect(name, ".Id")
    equal(container in states(podman), True, f"{container} in {state_folder(podman)} while it runs")
    podman("rm", "--force", "--time", "0", name)
    equal(container in states(podman), False, f"{container} in {state_folder(podman)} after its removal")


@check("base", "processes and cgroups: the leftovers checks see those of a running container")
def test_leftovers_are_seen(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    cgroup = podman.inspect(name, ".State.CgroupPath").rpartition("/")[2]
    seen = " ".join([*processes(podman), *cgroups(podman)])
    for wanted in ("conmon", "sleep 1000", f"/{cgroup}"):
        if wanted not in seen:
            raise Failed(f"{wanted} is not in: {seen}")
