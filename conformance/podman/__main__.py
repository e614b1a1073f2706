"""Checks an OCI runtime under podman: `python3 -m conformance.podman --runtime /usr/bin/crun`.  See README.md."""

from __future__ import annotations

import os
import sys

import conformance.podman.checks  # noqa: F401  (its import declares all checks)
from conformance.harness import front, image
from conformance.harness.engine import Failed, scratch_folder
from conformance.podman import leftovers
from conformance.podman.harness import CHECKS, IMAGE, Podman

GROUPS = ("base", "limits", "exec", "seccomp", "checkpoint", "services", "systemd")  # in this order they are made


def main() -> int:
    parser = front.parser("podman", __doc__)
    parser.add_argument("--rootless", action="store_true", help="insist on an ordinary user (root is refused)")
    args = parser.parse_args()
    if args.rootless and os.geteuid() == 0:
        parser.error("--rootless: run this as an ordinary user")
    chosen = front.choose(args, GROUPS, CHECKS)
    podman = Podman(args.runtime, args.runtime_flag, args.cgroup_manager)
    with scratch_folder() as folder:
        os.chdir(folder)  # conmon leaves a file named oom in the working folder
        try:
            image.load(podman, "load", "--quiet")
            chosen += leftovers.checks(podman)
        except Failed as failed:
            print(f"Bail out! nothing runs: {failed}")
            return 1
        try:
            return front.report(podman, chosen)
        finally:
            os.chdir("/")
            podman("image", "rm", "--force", IMAGE)


if __name__ == "__main__":
    sys.exit(main())
