"""What containers may leave behind on a host: taken before the checks and after them, and compared."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.checks import Failed, check, wait_until
from conformance.harness.engine import Engine

Kinds = Mapping[str, Callable[[Any], set[str]]]  # what may be left over -> how the engine's is found
CGROUPS = Path("/sys/fs/cgroup")


def entries(folder: Path) -> set[str]:
    """The names in a folder that may be missing; hidden ones are the runtime's own (locks)."""
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} if folder.exists() else set()


def mounts(unshare: Sequence[str] = ()) -> set[str]:
    """The mount points; unshare: what enters the mount namespace to look at."""
    table = subprocess.run([*unshare, "cat", "/proc/self/mountinfo"], check=True, capture_output=True, text=True).stdout
    return {f"{fields[4]} ({fields[3]})" for fields in map(str.split, table.splitlines())}


def processes(programs: tuple[str, ...], cgroup: str, user: int | None = None) -> set[str]:
    """The processes (of one user) whose command line begins with one of these, or whose cgroup's path has this in it, a
    regular expression."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            control = folder.joinpath("cgroup").read_text().strip()
            if user is not None and folder.stat().st_uid != user:
                continue
        except OSError:
            continue  # it has ended meanwhile
        if words.startswith(programs) or re.search(cgroup, control):
            found.add(f"{folder.name} {words}")
    return found


def cgroups(*patterns: str) -> set[str]:
    """The cgroups with such names."""
    names = " -o ".join(f"-name {pattern}" for pattern in patterns).split()
    listing = subprocess.run(
        ["find", CGROUPS, "-type", "d", "(", *names, ")"],
        check=False,  # cgroups of others come and go meanwhile
        capture_output=True,
        text=True,
    )
    return set(listing.stdout.split())


def units(pattern: str, *manager: str) -> set[str]:
    """systemd's units with such names, the failed ones that stay until reset-failed included."""
    listing = subprocess.run(
        ["systemctl", *manager, "list-units", "--all", "--plain", "--no-legend", pattern],
        check=False,
        capture_output=True,
        text=True,
    )
    return set(listing.stdout.splitlines())


def remember(engine: Engine, kinds: Kinds) -> None:
    """Takes what is there now, against which the checks compare."""
    engine.before = {kind: find(engine) for kind, find in kinds.items()}


def checks(kinds: Kinds) -> Callable[..., None]:
    """A check for each kind: nothing is there that was not there before."""

    @check("leftovers", "no {kind} is left over")
    @pytest.mark.parametrize("kind", kinds)
    def nothing_is_left(engine: Engine, kind: str) -> None:
        find, before = kinds[kind], engine.before[kind]
        try:
            wait_until(lambda: find(engine) <= before, "all is gone")  # the engine's clean-up may still run
        except Failed:
            raise Failed("left over:\n" + "\n".join(sorted(find(engine) - before))) from None

    return nothing_is_left


def own_base() -> Path:
    """Where this user's programs keep what is gone after a reboot."""
    return Path(os.environ["XDG_RUNTIME_DIR"] if os.geteuid() else "/run")
