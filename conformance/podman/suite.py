"""The plug-in of podman's checks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness import image, leftovers
from conformance.harness.checks import IMAGE
from conformance.podman.harness import Podman
from conformance.podman.leftovers import KINDS


@pytest.fixture(scope="session")
def served(scratch: Path, pytestconfig: pytest.Config) -> Iterator[Podman]:
    option = pytestconfig.option
    podman = Podman(option.runtime, option.runtime_flag, option.cgroup_manager)
    with contextlib.chdir(scratch):  # conmon leaves a file named oom in the working folder
        image.load(podman, "load", "--quiet")
        # The first run makes what stays: storage mounts, /run/netns, the pause process.
        podman.run(["--network="], "true")
        leftovers.remember(podman, KINDS)
        yield podman
        podman("image", "rm", "--force", IMAGE)


@pytest.fixture
def podman(engine: Podman) -> Podman:
    return engine
