"""Checks an OCI runtime under containerd: `python3 -m conformance.containerd --runtime PATH`.  See README.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import conformance.containerd.checks  # noqa: F401  (its import declares all checks)
from conformance.containerd import leftovers
from conformance.containerd.harness import CHECKS, IMAGE, Containerd
from conformance.harness import front, image
from conformance.harness.engine import Failed, scratch_folder

GROUPS = ("base", "limits", "exec", "security", "cri")  # in this order they are made


def main() -> int:
    parser = front.parser("containerd", __doc__)
    args = parser.parse_args()
    chosen = front.choose(args, GROUPS, CHECKS)
    if os.geteuid():
        parser.error("this needs root: it starts containerd")
    if args.runtime_flag:
        parser.error("--runtime-flag: ctr cannot pass any")
    with scratch_folder() as folder:
        os.chmod(folder, 0o711)  # the root of a user namespace has to get through
        engine = Containerd(Path(folder), args.runtime, args.cgroup_manager or "cgroupfs")
        try:
            with engine.serve():
                image.load(engine, "image", "import", "-")
                image.load(engine, "--namespace", "k8s.io", "image", "import", "-")  # what the CRI plugin looks at
                chosen += leftovers.checks(engine)
                try:
                    return front.report(engine, chosen)
                finally:
                    engine("image", "delete", IMAGE)
        except Failed as failed:
            print(f"Bail out! nothing runs: {failed}")
            return 1


if __name__ == "__main__":
    sys.exit(main())
