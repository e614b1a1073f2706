"""Measures create, state, start, kill, delete and run of several runtimes on the same bundle.

    python3 -m conformance.bench --runtime pyrunc --runtime crun --runtime runc

Needs root.  Runs are interleaved, so that whatever else the machine does hits all runtimes alike; take the ratios.
"""

from __future__ import annotations

import argparse
import gc
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from conformance.bench.bundle import SECCOMP_PROFILE, make_bundles
from conformance.bench.commands import Commands, become_subreaper, resident_memory, wait_until_gone
from conformance.bench.report import BASELINE, Report
from conformance.private_mounts import CGROUP_ROOT, enter_private_mounts, remove_cgroup

PYTHON = ["/usr/bin/python3", "-IS", "-c", "pass"]
MEMORY_ROUNDS = 5

Measure = Callable[[list[str]], float]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m conformance.bench",
        description="Measure time and memory of the commands of several runtimes on the same bundle.",
    )
    add = parser.add_argument
    add("--runtime", action="append", required=True, metavar="COMMAND", help="a runtime with its global options")
    add("--rounds", type=int, default=50, metavar="N", help="rounds to take the median of (%(default)s)")
    add("--profile", choices=("plain", "podman"), default="plain", help="size of the configuration (%(default)s)")
    add("--exec", action="store_true", help="measure exec too")
    add("--seccomp", type=Path, nargs="?", const=SECCOMP_PROFILE, metavar="FILE", help="with a profile (%(const)s)")
    add("--json", type=Path, metavar="FILE", help="write all measurements to FILE")
    return parser.parse_args()


def runtime_commands(commands: list[str], states: Path) -> dict[str, list[str]]:
    """Name -> words of the command, with a state directory of its own."""
    runtimes: dict[str, list[str]] = {}
    for command in commands:
        words = shlex.split(command)
        found = shutil.which(words[0])
        if not found:
            sys.exit(f"no such runtime: {words[0]}")
        name = os.path.basename(found)
        if name in runtimes:
            name = f"{name}-{len(runtimes) + 1}"
        runtimes[name] = [os.path.abspath(found), *words[1:], "--root", str(states / name)]
    return runtimes


def one_round(
    runtime: list[str], folder: Path, measure: Measure, *, with_exec: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Measures each command once; returns it by command, and the memory of init while it waits for start."""
    pid_file = folder / "pid"
    taken = {}
    taken["create"] = measure(
        [*runtime, "create", "--bundle", str(folder / "waiting"), "--pid-file", str(pid_file), "bench"]
    )
    init = int(pid_file.read_text())
    waiting = resident_memory(init)
    taken["state"] = measure([*runtime, "state", "bench"])
    taken["start"] = measure([*runtime, "start", "bench"])
    if with_exec:
        taken["exec"] = measure([*runtime, "exec", "bench", "true"])
    taken["kill"] = measure([*runtime, "kill", "bench", "KILL"])
    wait_until_gone(init)
    taken["delete"] = measure([*runtime, "delete", "bench"])
    taken["run"] = measure([*runtime, "run", "--bundle", str(folder / "ending"), "bench"])
    return taken, waiting


def measure_all(arguments: argparse.Namespace, runtimes: dict[str, list[str]], folder: Path) -> Report:
    """One round that is thrown away (it fills caches), the rounds for time, then those for memory."""
    commands = Commands(folder)
    report = Report(list(runtimes), arguments.profile)
    names = list(runtimes)
    gc.disable()
    for number in range(arguments.rounds + 1):
        started = commands.milliseconds(PYTHON)
        for name in names[number % len(names) :] + names[: number % len(names)]:  # nobody is always the first
            taken, _ = one_round(runtimes[name], folder, commands.milliseconds, with_exec=arguments.exec)
            if number:
                report.add_times(name, taken)
        if number:
            report.add_times(BASELINE, {BASELINE: started})
    for _ in range(MEMORY_ROUNDS):
        for name in names:
            taken, waiting = one_round(runtimes[name], folder, commands.peak_memory, with_exec=arguments.exec)
            report.add_memory(name, taken, waiting)
    return report


def clean_up(runtimes: dict[str, list[str]], cgroup: Path, folders: list[Path]) -> None:
    """After an error a container may be left: its processes are in the cgroup, its files in the folders."""
    for words in runtimes.values():
        if Path(words[-1], "bench").exists():
            os.spawnve(os.P_WAIT, words[0], [*words, "delete", "--force", "bench"], os.environ)
    remove_cgroup(cgroup)
    for folder in folders:
        shutil.rmtree(folder)


def main() -> int:
    arguments = parse_arguments()
    enter_private_mounts()
    become_subreaper()
    folder = Path(tempfile.mkdtemp(prefix="pyrunc-bench-"))
    states = Path(tempfile.mkdtemp(prefix="pyrunc-bench-", dir="/run"))
    cgroup = CGROUP_ROOT / folder.name
    cgroup.mkdir()
    runtimes = runtime_commands(arguments.runtime, states)
    try:
        make_bundles(folder, arguments.profile, f"/{folder.name}/container", arguments.seccomp)
        report = measure_all(arguments, runtimes, folder)
    finally:
        clean_up(runtimes, cgroup, [folder, states])
    print(report.markdown())
    if arguments.json:
        arguments.json.write_text(report.json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
