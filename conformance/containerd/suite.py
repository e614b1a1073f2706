"""The plug-in of containerd's checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.containerd.harness import Containerd
from conformance.containerd.leftovers import KINDS
from conformance.harness import image, leftovers
from conformance.harness.checks import IMAGE, Failed


def pytest_configure(config: pytest.Config) -> None:
    if config.option.runtime_flag:
        raise pytest.UsageError("--runtime-flag: ctr cannot pass any")


@pytest.fixture(scope="session")
def served(scratch: Path, pytestconfig: pytest.Config) -> Iterator[Containerd]:
    if os.geteuid():
        raise Failed("this needs root: it starts containerd")
    option = pytestconfig.option
    engine = Containerd(scratch, option.runtime, option.cgroup_manager or "cgroupfs")
    with engine.serve():
        image.load(engine, "image", "import", "-")
        image.load(engine, "--namespace", "k8s.io", "image", "import", "-")  # what the CRI plugin looks at
        engine.run([], "true")  # the first run makes what stays
        leftovers.remember(engine, KINDS)
        yield engine
        engine("image", "delete", IMAGE)
