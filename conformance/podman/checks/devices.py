"""/dev: what every container has, and the host's devices that it is given."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from conformance.harness.checks import check, equal, output_checks
from conformance.podman.harness import Podman

test_outputs = output_checks(
    "base",
    [
        (
            "/dev: the spec's devices, usable by all",
            "--user 1000",
            "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty",
            "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666",
        ),
        (
            "/dev: they work",
            "--user 1000",
            "cd /dev; echo x >null && head -c 4 zero | wc -c && head -c 4 urandom | wc -c; echo x 2>&1 >full; true",
            "4\n4\n.*No space left on device",
        ),
        (
            "/dev: the spec's links",
            "",
            "cd /dev; for name in fd stdin stdout stderr ptmx; do readlink $name; done",
            "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n(/dev/)?pts/ptmx",
        ),
        ("/dev: none of the host's disks or memory", "", "ls /dev | grep -cE '^(sd|vd|ubd|loop|mem|kmsg)'; true", "0"),
        (
            "/dev/pts: a private instance",
            "",
            "ls /dev/pts; grep ' /dev/pts ' /proc/mounts",
            "ptmx\ndevpts /dev/pts devpts .*ptmxmode=666.*",
        ),
    ],
)


def host_device(path: str) -> str:
    """The device's major:minor in hexadecimal, as stat(1) prints it; skips where the host lacks it."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        pytest.skip(f"this host has no {path}")
    return f"{os.major(status.st_rdev):x}:{os.minor(status.st_rdev):x}"


def given(podman: Podman, path: str, option: str, inside: str) -> None:
    wanted = host_device(path)
    equal(podman.sh(["--device", option], f"stat -c '%F %t:%T' {inside}"), f"character special file {wanted}")


@check("base", "--device /dev/fuse")
def test_fuse(podman: Podman) -> None:
    given(podman, "/dev/fuse", "/dev/fuse", "/dev/fuse")


@check("base", "--device /dev/net/tun: in a folder of /dev, and it opens")
def test_tun(podman: Podman) -> None:
    given(podman, "/dev/net/tun", "/dev/net/tun", "/dev/net/tun")
    equal(podman.sh(["--device", "/dev/net/tun"], ": <>/dev/net/tun && echo open"), "open")


@check("base", "--device HOST:CONTAINER: under another name")
def test_renamed(podman: Podman) -> None:
    given(podman, "/dev/fuse", "/dev/fuse:/dev/other", "/dev/other")


@check("base", "--privileged: the host's devices")
def test_privileged(podman: Podman) -> None:
    names = {path.name for path in Path("/dev").iterdir() if stat.S_ISCHR(path.lstat().st_mode)}
    inside = set(podman.run(["--privileged"], "ls", "/dev").split())
    wanted = {"null", "fuse"} | ({"loop-control"} & names)
    equal(wanted - inside, set(), "missing devices")
