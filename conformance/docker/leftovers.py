"""What docker's containers may leave behind on a host."""

from __future__ import annotations

from collections.abc import Callable

from conformance.docker.harness import Docker
from conformance.harness import leftovers
from conformance.harness.checks import Failed, check


def processes(docker: Docker) -> set[str]:
    programs = ("/usr/bin/containerd-shim", docker.runtime, f"/usr/bin/python3 -IS {docker.runtime}")
    return leftovers.processes(programs, "docker-") | leftovers.processes(programs, "/docker/")


def cgroups(_docker: Docker) -> set[str]:
    return leftovers.cgroups("docker-*.scope", "?" * 64)  # of the systemd driver, and of the cgroupfs driver


def states(docker: Docker) -> set[str]:
    return {name for folder in docker.state_folders() for name in leftovers.entries(folder)}


def mounts(docker: Docker) -> set[str]:
    """All but the host's network namespace, which dockerd mounts when it first looks for it."""
    return {mount for mount in leftovers.mounts() if not mount.startswith(f"{docker.host_network} ")}


def docker_objects(docker: Docker) -> set[str]:
    """Containers, volumes and networks of the checks, by name."""
    names = docker("ps", "--all", "--format", "{{.Names}}").split()
    for kind in ("volume", "network"):
        names += docker(kind, "ls", "--format", "{{.Name}}").split()
    return {name for name in names if name.startswith(docker.prefix)}


KINDS: dict[str, Callable[[Docker], set[str]]] = {
    "container, volume or network": docker_objects,
    "state of the runtime": states,
    "mount": mounts,
    "process": processes,
    "cgroup": cgroups,
    "systemd unit": lambda _docker: leftovers.units("docker-*"),
    "network namespace": lambda docker: leftovers.entries(docker.host_network.parent) - {docker.host_network.name},
}
test_nothing_is_left = leftovers.checks(KINDS)


@check("base", "the leftovers checks see the state, processes and cgroup of a running container")
def test_leftovers_are_seen(docker: Docker) -> None:
    name = docker.start([], "sleep", "1000")
    container = docker.inspect(name, ".Id")
    found = {kind: " ".join(find(docker)) for kind, find in KINDS.items()}
    for kind, wanted in (
        ("state of the runtime", container),
        ("process", "containerd-shim"),
        ("process", "sleep 1000"),
        ("cgroup", container),
    ):
        if wanted not in found[kind]:
            raise Failed(f"{wanted} is not in: {found[kind]}")
