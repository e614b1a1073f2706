"""Runs opencontainers' validation programs with several runtimes and compares the first one with its peers.

    python3 -m conformance.runtime_tools --runtime pyrunc --runtime crun --runtime runc

Needs root.  Exit status 1 when the first runtime fails a test that a peer passes in the same run, 0 otherwise.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.private_mounts import enter_private_mounts
from conformance.runtime_tools.install import install
from conformance.runtime_tools.report import PROBE, RACES, Table, print_report, regressions, write_json
from conformance.runtime_tools.sandbox import run_program
from conformance.runtime_tools.tap import Result

TRIES = 5  # of a program whose outcome is a matter of chance
BUILD = Path(__file__).resolve().parents[2] / "build" / "runtime-tools"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m conformance.runtime_tools",
        description="Run opencontainers' validation programs and compare the first runtime with its peers.",
    )
    add = parser.add_argument
    add("--runtime", action="append", metavar="COMMAND", help="a runtime with its global options; the first is judged")
    add("--strict", action="store_true", help="the first runtime's `delete` gets the option --strict (pyrunc has it)")
    add("--only", action="append", metavar="PROGRAM", help="run this program only (may be repeated)")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="programs that do not decide the exit status")
    add("--lenient", action="store_true", help="only what every peer passes decides the exit status")
    add("--timeout", type=float, default=120.0, metavar="SECONDS", help="limit for one program (%(default)s)")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="programs at a time (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the whole report to FILE")
    add("--folder", type=Path, default=BUILD, help="where the programs are, or are installed (%(default)s)")
    add("--install-only", action="store_true", help="install the programs and stop")
    arguments = parser.parse_args()
    if not arguments.runtime and not arguments.install_only:
        parser.error("name at least one --runtime")
    return arguments


# "$@" begins with the verb: the programs give no global option.
STRICT = 'case $1 in delete) shift; set -- delete --strict "$@" ;; esac\n'


def runtime_programs(commands: list[str], folder: Path, *, strict: bool) -> dict[str, Path]:
    """Name -> program.  The programs take a single path, so a command with options becomes a script in folder."""
    programs: dict[str, Path] = {}
    for command in commands:
        words = shlex.split(command)
        found = shutil.which(words[0])
        if not found:
            sys.exit(f"no such runtime: {words[0]}")
        words[0] = os.path.abspath(found)
        name = os.path.basename(words[0])
        if name in programs:
            name = f"{name}-{len(programs) + 1}"
        programs[name] = Path(words[0])
        change = STRICT if strict and len(programs) == 1 else ""
        if len(words) > 1 or change:
            programs[name] = folder / name
            programs[name].write_text(f'#!/bin/sh\n{change}exec {shlex.join(words)} "$@"\n')
            programs[name].chmod(0o755)
    return programs


def run_all(arguments: argparse.Namespace, names: list[str], runtimes: dict[str, Path]) -> Table:
    """Every program with every runtime; outputs are kept in the folder output/RUNTIME/PROGRAM.log."""
    for runtime in runtimes:
        (arguments.folder / "output" / runtime).mkdir(parents=True, exist_ok=True)

    def run(name: str, runtime: str) -> Result:
        log = arguments.folder / "output" / runtime / f"{name}.log"
        for _ in range(TRIES if name in RACES else 1):
            result = run_program(arguments.folder / name, runtimes[runtime], arguments.timeout, log)
            if not result.failures:
                break
        return result

    with ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = {name: {runtime: pool.submit(run, name, runtime) for runtime in runtimes} for name in names}
        return {name: {runtime: job.result() for runtime, job in jobs.items()} for name, jobs in waiting.items()}


def main() -> int:
    arguments = parse_arguments()
    arguments.folder = arguments.folder.resolve()
    names = install(arguments.folder)
    if arguments.install_only:
        return 0
    if unknown := set(arguments.only or ()) - set(names):
        sys.exit(f"no such program: {', '.join(sorted(unknown))}")
    enter_private_mounts()
    with tempfile.TemporaryDirectory() as scripts:
        runtimes = runtime_programs(arguments.runtime, Path(scripts), strict=arguments.strict)
        chosen = sorted({PROBE, *arguments.only}) if arguments.only else names
        table = run_all(arguments, chosen, runtimes)
    failures = regressions(table, arguments.exclude, lenient=arguments.lenient)
    print_report(table, failures)
    if arguments.json:
        write_json(arguments.json, runtimes, table, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
