"""Makes every broken host of the table, and says whether `pyrunc doctor` and `create` name the cause.

    conformance/vm/vm run -- python3 -m conformance.broken_hosts --runtime /usr/bin/pyrunc

Some of the hosts change the whole machine for a moment (sysctls, systemd's drop-ins): it is meant for the test VM.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from conformance.broken_hosts.hosts import HOSTS, Host
from conformance.broken_hosts.making import Workshop, installed_init
from tests.bundle import Bundle, build_rootfs
from tests.removal import remove_tree
from tests.runtime import new_id

VM_USER = 1000  # tester, who has a user manager


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m conformance.broken_hosts", description=__doc__)
    parser.add_argument("--runtime", type=Path, default=Path("/usr/bin/pyrunc"), help="default: %(default)s")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only hosts with this in their name")
    parser.add_argument("--init", default="", metavar="PATH", help="the runtime's pyrunc-init (default: as installed)")
    args = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("call this as root of the test VM")
    return args


def problem(host: Host, runtime: Path, init: str, base: Path) -> str:
    """What doctor or create say otherwise than the table, "" if nothing."""
    place = base / new_id()
    place.mkdir()
    place.chmod(0o755)
    bundle = Bundle(place.with_name(f"{place.name}-bundle"), base / "template")
    try:
        Workshop(runtime, place, VM_USER, init).examine(host, bundle)
    except AssertionError as error:
        return str(error)
    return ""


def main() -> int:
    args = arguments()
    hosts = [host for host in HOSTS if args.filter in host.name]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    base = Path(tempfile.mkdtemp(prefix="broken-hosts-"))
    base.chmod(0o755)
    try:
        build_rootfs(base / "template")
        print(f"1..{len(hosts)}")
        for number, host in enumerate(hosts, 1):
            if reason := host.needs():
                counts["skipped"] += 1
                print(f"ok {number} - {host.name} # SKIP {reason}", flush=True)
                continue
            wrong = problem(host, args.runtime, args.init or installed_init(args.runtime), base)
            counts["failed" if wrong else "passed"] += 1
            print(f"{'not ok' if wrong else 'ok'} {number} - {host.name} ({host.check})", flush=True)
            print(*(f"# {line}" for line in wrong.splitlines()), sep="\n", end="\n" if wrong else "", flush=True)
    finally:
        remove_tree(base)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
