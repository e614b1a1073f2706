"""Checks an OCI runtime under podman: `python3 -m conformance.podman --runtime /usr/bin/crun`.  See README.md."""

from __future__ import annotations

import argparse
import os
import re
import sys

import conformance.podman.checks  # noqa: F401  (its import declares all checks)
from conformance.podman import image, leftovers
from conformance.podman.harness import CHECKS, Check, Failed, Podman, perform, scratch_folder

GROUPS = ("base", "limits", "exec", "seccomp")  # in this order they are made


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m conformance.podman", description=__doc__)
    parser.add_argument("--runtime", metavar="PATH", default="/usr/bin/pyrunc", help="default: %(default)s")
    parser.add_argument("--runtime-flag", action="append", default=[], metavar="FLAG", help="for the runtime")
    parser.add_argument("--cgroup-manager", choices=("systemd", "cgroupfs"), help="default: podman's")
    parser.add_argument("--rootless", action="store_true", help="insist on an ordinary user (root is refused)")
    parser.add_argument("--group", metavar="NAME,...", help="only these groups (see --list)")
    parser.add_argument("--filter", metavar="REGEX", help="only checks with this in `group: name`")
    parser.add_argument("--list", action="store_true", help="print the checks and end")
    args = parser.parse_args()
    if args.rootless and os.geteuid() == 0:
        parser.error("--rootless: run this as an ordinary user")
    unknown = set((args.group or "").split(",")) - {*GROUPS, ""}
    if unknown:
        parser.error(f"no such group: {' '.join(sorted(unknown))}")
    if args.filter:
        re.compile(args.filter)
    return args


def main() -> int:
    args = arguments()
    chosen = [
        item
        for group in GROUPS
        for item in CHECKS
        if item.group == group and (not args.group or group in args.group.split(","))
        if re.search(args.filter or "", f"{group}: {item.name}")
    ]
    if args.list:
        print(*(f"{item.group}: {item.name}" for item in chosen), sep="\n")
        return 0
    podman = Podman(args.runtime, args.runtime_flag, args.cgroup_manager)
    with scratch_folder() as folder:
        os.chdir(folder)  # conmon leaves a file named oom in the working folder
        try:
            image.make(podman)
            declared = len(CHECKS)
            leftovers.prepare(podman)
        except Failed as failed:
            print(f"Bail out! nothing runs: {failed}")
            return 1
        chosen += CHECKS[declared:]
        try:
            return report(podman, chosen)
        finally:
            os.chdir("/")
            image.remove(podman)


def report(podman: Podman, chosen: list[Check]) -> int:
    """Makes the checks, prints a TAP line for each, and the sum."""
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    print(f"1..{len(chosen)}", flush=True)
    for number, item in enumerate(chosen, 1):
        outcome, text = perform(podman, item)
        counts[outcome] += 1
        line = f"{'not ok' if outcome == 'not ok' else 'ok'} {number} - {item.group}: {item.name}"
        if outcome == "skip":
            line += f" # SKIP {text}"
        print(line, flush=True)
        if outcome == "not ok":
            print(*(f"#   {part}" for part in text.splitlines()), sep="\n", flush=True)
    print(f"{counts['ok']} passed, {counts['not ok']} failed, {counts['skip']} skipped")
    return 1 if counts["not ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
