"""systemd as the container's first process, on the host's own programs: it makes cgroups below the one it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.harness.checks import IMAGE, Failed, check, equal, matches, wait_until
from conformance.harness.docker_checks import CGROUPS
from conformance.podman.harness import HOST_PROGRAMS, Podman

SYSTEMD = "/usr/lib/systemd/systemd"
SYSTEMCTL = "/usr/bin/systemctl"
UNITS = {
    "checks.target": "[Unit]\nRequires=basic.target checks.service\nAfter=basic.target checks.service\n",
    "checks.service": "[Service]\nExecStart=sh -c 'echo served; exec sleep 1000'\nMemoryMax=20M\n",
}


def booted(podman: Podman, *options: str) -> str:
    """The name of a container in which systemd has started a service of its own, with all that basic.target wants."""
    if not Path(SYSTEMD).exists():
        pytest.skip(f"this host has no {SYSTEMD}")
    units = podman.new_folder()
    for name, text in UNITS.items():
        (units / name).write_text(text)
    name = podman.new_container()
    words = ["run", "-d", "--name", name, "--network", "none", *HOST_PROGRAMS, "-v", f"{units}:/etc/systemd/system:ro"]
    podman(*words, *options, IMAGE, SYSTEMD, "--unit=checks.target")
    # degraded: some services of the host's find nothing of theirs in this image
    up = ("running", "degraded")
    wait_until(lambda: podman.call("exec", name, SYSTEMCTL, "is-system-running").out.strip() in up, "systemd is up")
    return name


def try_service(podman: Podman, name: str, own: str) -> None:
    """The service runs in a cgroup below `own`, with its limit; the journal has its output; systemd ends when told."""
    equal(podman("exec", name, SYSTEMCTL, "is-active", "checks.service"), "active")
    cgroup = podman("exec", name, SYSTEMCTL, "show", "--value", "--property", "ControlGroup", "checks.service")
    matches(cgroup, f"{own}(/container)?/system.slice/checks.service", "the service's cgroup")
    equal(podman("exec", name, "cat", f"{CGROUPS}{cgroup}/memory.max"), "20971520")
    podman("exec", name, SYSTEMCTL, "restart", "checks.service")
    journal = ["exec", name, "/usr/bin/journalctl", "--no-pager", "--unit", "checks.service"]
    wait_until(lambda: podman(*journal).count("served") == 2, "the output of two runs in the journal")
    podman("stop", "--time", "60", name)
    equal(podman.inspect(name, ".State.ExitCode"), "0", "systemd's exit status after SIGRTMIN+3")


@check("systemd", "--systemd=always: systemd boots in a cgroup namespace of its own")
def test_own_namespace(podman: Podman) -> None:
    try_service(podman, booted(podman, "--systemd=always", "--cgroupns=private"), "")


@check("systemd", "--systemd=always --cgroupns=host -v /sys/fs/cgroup: systemd boots in the host's cgroup tree")
def test_host_tree(podman: Podman) -> None:
    name = booted(podman, "--systemd=always", "--cgroupns=host", "-v", f"{CGROUPS}:{CGROUPS}:rw")
    own = podman.inspect(name, ".State.CgroupPath")
    if not own:
        raise Failed("podman knows no cgroup of the container")
    try_service(podman, name, own)


@check("systemd", "--systemd=true: podman knows systemd by its name")
def test_by_name(podman: Podman) -> None:
    name = podman.create(["--systemd=true"], SYSTEMD)
    equal(podman.inspect(name, ".Config.SystemdMode"), "true")
    matches(podman.inspect(name, ".Config.StopSignal"), r"37|SIGRTMIN\+3", "stop signal")
