"""Makes the checks of a suite: `python3 -m conformance SUITE [--runtime PATH] ...`; the README of the suite says more.

It is pytest with the plug-in conformance/harness/plugin.py and that of the suite: pytest's own options work as well.
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# name -> its plug-in, and the files and folders with its checks
SUITES = {
    "podman": ("podman.suite", ["podman", "harness/docker_checks.py"]),
    "docker": ("docker.suite", ["docker", "harness/docker_checks.py"]),
    "containerd": ("containerd.suite", ["containerd"]),
    "broken_hosts": ("broken_hosts.checks", ["broken_hosts/checks.py"]),
    "rootless": ("rootless", ["rootless.py"]),
}
# pytest's configuration is that of the project's own tests; its report is ours.
OPTIONS = ["-c", "/dev/null", f"--rootdir={HERE.parent}", "-p", "no:cacheprovider", "-o", "python_files=*.py"]
OPTIONS += ["-qq", "--no-summary", "--tb=short", "--capture=no", "-p", "conformance.harness.plugin"]

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in SUITES:
        sys.exit(f"usage: python3 -m conformance {{{','.join(SUITES)}}} [OPTION...]")
    plugin, paths = SUITES[sys.argv[1]]
    paths = [str(HERE / path) for path in paths]
    sys.exit(pytest.main([*OPTIONS, "-p", f"conformance.{plugin}", *paths, *sys.argv[2:]]))
