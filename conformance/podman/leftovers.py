"""What containers may leave behind on a host: taken before the checks and after them, and compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from conformance.podman.harness import CHECKS, Check, Failed, Podman, check, equal, wait_until

CGROUPS = Path("/sys/fs/cgroup")


def state_folder(podman: Podman) -> Path:
    """Where the runtime keeps its containers' state: podman's own tests expect it there, too."""
    base = Path(os.environ["XDG_RUNTIME_DIR"]) if podman.rootless else Path("/run")
    return base / Path(podman.runtime).name


def states(podman: Podman) -> set[str]:
    folder = state_folder(podman)
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} if folder.exists() else set()


def mounts(podman: Podman) -> set[str]:
    """The mount points that podman sees: a rootless podman has a mount namespace of its own."""
    unshare = ["podman", "unshare"] if podman.rootless else []
    table = subprocess.run([*unshare, "cat", "/proc/self/mountinfo"], check=True, capture_output=True, text=True).stdout
    return {f"{fields[4]} ({fields[3]})" for fields in map(str.split, table.splitlines())}


def processes(podman: Podman) -> set[str]:
    """The processes of this user that serve or are containers."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            control = folder.joinpath("cgroup").read_text().strip()
            if folder.stat().st_uid != os.geteuid() and not podman.rootless:
                continue
        except OSError:
            continue  # it has ended meanwhile
        served = words.startswith(("/usr/bin/conmon", podman.runtime, f"/usr/bin/python3 -IS {podman.runtime}"))
        if served or "/libpod-" in control:
            found.add(f"{folder.name} {words}")
    return found


def cgroups(_podman: Podman) -> set[str]:
    listing = subprocess.run(
        ["find", CGROUPS, "-type", "d", "(", "-name", "*libpod-*", "-o", "-name", "*libpod_pod_*", ")"],
        check=False,  # cgroups of others come and go meanwhile
        capture_output=True,
        text=True,
    )
    return set(listing.stdout.split())


def units(podman: Podman) -> set[str]:
    """systemd's units of containers, the failed ones that stay until reset-failed included."""
    manager = ["systemctl", "--user"] if podman.rootless else ["systemctl"]
    listing = subprocess.run(
        [*manager, "list-units", "--all", "--plain", "--no-legend", "*libpod*"],
        check=False,
        capture_output=True,
        text=True,
    )
    return set(listing.stdout.splitlines())


def network_namespaces(podman: Podman) -> set[str]:
    folder = Path(os.environ["XDG_RUNTIME_DIR"] if podman.rootless else "/run") / "netns"
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


def podman_objects(podman: Podman) -> set[str]:
    """Containers, pods, volumes and networks of the checks, by name."""
    names = podman("ps", "--all", "--format", "{{.Names}}").split()
    for kind in ("pod", "volume", "network"):
        names += podman(kind, "ls", "--format", "{{.Name}}").split()
    return {name for name in names if name.startswith(podman.prefix)}


KINDS: dict[str, Callable[[Podman], set[str]]] = {
    "container, pod, volume or network": podman_objects,
    "state of the runtime": states,
    "mount": mounts,
    "process": processes,
    "cgroup": cgroups,
    "systemd unit": units,
    "network namespace": network_namespaces,
}


def prepare(podman: Podman) -> None:
    """Declares one check per kind, against what is there now."""
    podman.run(["--network="], "true")  # the first run makes what stays: storage mounts, /run/netns, the pause process
    for kind, find in KINDS.items():
        CHECKS.append(Check("leftovers", f"no {kind} is left over", no_more_than(find(podman), find)))


def no_more_than(before: set[str], find: Callable[[Podman], set[str]]) -> Callable[[Podman], None]:
    """A check's action: nothing is there that was not there before."""

    def action(podman: Podman) -> None:
        try:
            wait_until(lambda: find(podman) <= before, "all is gone")  # conmon's clean-up may still run
        except Failed:
            raise Failed("left over:\n" + "\n".join(sorted(find(podman) - before))) from None

    return action


@check("base", "state folder: holds the running container, and not the removed one")
def state_is_where_expected(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    container = podman.inspect(name, ".Id")
    equal(container in states(podman), True, f"{container} in {state_folder(podman)} while it runs")
    podman("rm", "--force", "--time", "0", name)
    equal(container in states(podman), False, f"{container} in {state_folder(podman)} after its removal")


@check("base", "processes and cgroups: the leftovers checks see those of a running container")
def leftovers_are_seen(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    container = podman.inspect(name, ".Id")
    seen = " ".join([*processes(podman), *cgroups(podman)])
    for wanted in ("conmon", "sleep 1000", f"libpod-{container}"):
        if wanted not in seen:
            raise Failed(f"{wanted} is not in: {seen}")
