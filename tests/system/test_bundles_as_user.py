"""The example bundles, as an ordinary user runs them: `conformance/rootless.py`, with a user that is made up."""

import subprocess
import sys

import pytest

from tests import ordinaryuser
from tests.peers import only_pyrunc
from tests.runtime import CHECKOUT, Runtime


@pytest.mark.usefixtures("user")  # skips where there can be none
@only_pyrunc("prints what pyrunc promises")
def test_every_bundle_with_and_without_newuidmap_and_delegation(runtime: Runtime) -> None:
    if reason := ordinaryuser.unreachable(CHECKOUT):
        pytest.skip(reason)
    assert ordinaryuser.GRANTED == (100000, 65536), "what the bundle userns maps"
    result = subprocess.run(
        [sys.executable, "-B", "-m", "conformance", "rootless", "--runtime", runtime.path],
        check=False, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, "\n".join(line for line in result.stdout.splitlines() if not line.startswith("ok "))
