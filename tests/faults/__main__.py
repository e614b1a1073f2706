"""`make faults`: let every system call of every process of a command fail, once each, and look at what is left.

After each: the outcome was right (the command was not disturbed and made the same container, or it said in one line
what failed, ending in the kernel's words), `delete --force` says nothing and succeeds, nothing is left on the host, and
the id can be used again. Needs root, a C compiler and x86-64.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests import privatehost
from tests.bundle import build_rootfs
from tests.faults import kinds, orphans, report, sampling
from tests.faults.bench import Bench
from tests.faults.calls import Striker
from tests.faults.commands import COMMANDS


def main() -> int:
    """1 if a case is red."""
    given = _arguments()
    privatehost.enter()
    os.nice(10)
    threading.Thread(target=orphans.reap, daemon=True).start()
    table = report.Table()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        place = Path(name)
        place.chmod(0o711)
        build_rootfs(place / "template")
        striker = Striker(place)
        for number, kind in enumerate(given.kind):
            if why := kinds.impossible(kind):
                table.leave_out(kind, why)
                continue
            files = Path(f"/run/faults-{number}")
            files.mkdir(mode=0o777)
            with kinds.made(kind, place / kind, place / "template") as made:
                try:
                    _strike(Bench(made, striker, files), kind, given, table)
                except AssertionError as error:  # a command that was not struck has failed
                    table.give_up(kind, str(error))
        kinds.end_others()
        privatehost.remove_cgroup_parent()
    if given.markdown:
        given.markdown.write_text(table.markdown())
    sys.stdout.write(f"{table.markdown()}\n{table.counts()}\n")
    return 1 if table.red else 0


def _strike(bench: Bench, kind: str, given: argparse.Namespace, table: report.Table) -> None:
    """Try the faults that were asked for, of one kind of containers."""
    end = given.seconds and time.monotonic() + given.seconds / len(given.kind)
    commands = kinds.commands(kind, given.command)
    if given.sample != "all" and int(given.sample) < len(commands):  # to watch one takes as long as to strike it
        commands.sort(key=lambda command: sampling.lot(given.seed, kind, command))
        commands = commands[: int(given.sample)]
    cases = [case for command in commands for case in bench.cases(command)]
    cases = [case for case in cases if case.what.startswith(given.what)]
    cases = [case for case in cases if not given.process or case.call.process in given.process]
    for case in cases:
        table.possible[kind, case.command] += 1
    for case in cases if given.sample == "all" else sampling.sample(cases, int(given.sample), f"{given.seed} {kind}"):
        if end and time.monotonic() > end:
            break
        table.add(kind, case, bench.strike(case))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kind", action="append", choices=kinds.KINDS, help="of containers (default: all)")
    parser.add_argument("--command", action="append", choices=COMMANDS, help="to be struck (default: all)")
    parser.add_argument("--process", type=int, action="append", help="0: the command; 1: its first child")
    parser.add_argument("--what", choices=("signal", "error"), default="", help="only these faults")
    parser.add_argument("--sample", default="all", metavar="N", help="so many cases of each kind, by lot")
    parser.add_argument("--seed", type=int, default=1, help="of the lots")
    parser.add_argument("--seconds", type=float, help="end after this time, whatever is left")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    given = parser.parse_args()
    given.kind, given.command = given.kind or list(kinds.KINDS), given.command or list(COMMANDS)
    return given


if __name__ == "__main__":
    sys.exit(main())
