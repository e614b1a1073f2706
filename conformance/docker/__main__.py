"""Checks an OCI runtime under docker: `python3 -m conformance.docker --runtime /usr/bin/runc`.  See README.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import conformance.docker.checks  # noqa: F401  (its import declares all checks)
from conformance.docker import leftovers
from conformance.docker.harness import CHECKS, Docker
from conformance.harness import front, image
from conformance.harness.engine import Failed, scratch_folder

GROUPS = ("base", "limits", "exec", "security", "network")  # in this order they are made


def main() -> int:
    parser = front.parser("docker", __doc__)
    parser.add_argument("--userns-remap", metavar="USER", help="the daemon's option: containers in user namespaces")
    args = parser.parse_args()
    chosen = front.choose(args, GROUPS, CHECKS)
    if os.geteuid():
        parser.error("this needs root: it starts dockerd")
    settings: dict[str, object] = {}
    if args.cgroup_manager:
        settings["exec-opts"] = [f"native.cgroupdriver={args.cgroup_manager}"]
    if args.userns_remap:
        settings["userns-remap"] = args.userns_remap
    with scratch_folder() as folder:
        os.chmod(folder, 0o711)  # the root of a user namespace has to get through
        docker = Docker(Path(folder), args.runtime, args.runtime_flag, settings)
        try:
            with docker.serve():
                image.load(docker, "load", "--quiet")
                chosen += leftovers.checks(docker)
                return front.report(docker, chosen)
        except Failed as failed:
            print(f"Bail out! nothing runs: {failed}")
            return 1


if __name__ == "__main__":
    sys.exit(main())
