"""The command line and the report of `python3 -m conformance.ENGINE`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence

from conformance.harness.checks import Check, E, perform


def parser(engine: str, description: str | None) -> argparse.ArgumentParser:
    """The options that every engine's checks have."""
    options = argparse.ArgumentParser(prog=f"python3 -m conformance.{engine}", description=description)
    options.add_argument("--runtime", metavar="PATH", default="/usr/bin/pyrunc", help="default: %(default)s")
    options.add_argument("--runtime-flag", action="append", default=[], metavar="FLAG", help="for the runtime")
    options.add_argument("--cgroup-manager", choices=("systemd", "cgroupfs"), help=f"default: {engine}'s")
    options.add_argument("--group", metavar="NAME,...", help="only these groups (see --list)")
    options.add_argument("--filter", type=re.compile, metavar="REGEX", help="only checks with this in `group: name`")
    options.add_argument("--list", action="store_true", help="print the checks and end")
    return options


def choose(args: argparse.Namespace, groups: Sequence[str], checks: Iterable[Check[E]]) -> list[Check[E]]:
    """The checks that the options leave, in the groups' order; ends the program where they only want the names."""
    wanted = args.group.split(",") if args.group else groups
    if unknown := set(wanted) - set(groups):
        raise SystemExit(f"no such group: {' '.join(sorted(unknown))}; there are {' '.join(groups)}")
    chosen = [item for group in groups if group in wanted for item in checks if item.group == group]
    if args.filter:
        chosen = [item for item in chosen if args.filter.search(f"{item.group}: {item.name}")]
    if args.list:
        print(*(f"{item.group}: {item.name}" for item in chosen), sep="\n")
        raise SystemExit(0)
    return chosen


def report(engine: E, chosen: Sequence[Check[E]]) -> int:
    """Makes the checks, prints a TAP line for each, and the sum; returns the exit status."""
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    print(f"1..{len(chosen)}", flush=True)
    for number, item in enumerate(chosen, 1):
        outcome, text = perform(engine, item)
        counts[outcome] += 1
        line = f"{'not ok' if outcome == 'not ok' else 'ok'} {number} - {item.group}: {item.name}"
        if outcome == "skip":
            line += f" # SKIP {text}"
        print(line, flush=True)
        if outcome == "not ok":
            print(*(f"#   {part}" for part in text.splitlines()), sep="\n", flush=True)
    print(f"{counts['ok']} passed, {counts['not ok']} failed, {counts['skip']} skipped")
    return 1 if counts["not ok"] else 0
