"""The plug-in of docker's checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.docker.harness import Docker
from conformance.docker.leftovers import KINDS
from conformance.harness import image, leftovers
from conformance.harness.checks import Failed


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    add("--userns-remap", metavar="USER", help="the daemon's option: containers in user namespaces")


@pytest.fixture(scope="session")
def served(scratch: Path, pytestconfig: pytest.Config) -> Iterator[Docker]:
    if os.geteuid():
        raise Failed("this needs root: it starts dockerd")
    option = pytestconfig.option
    settings: dict[str, object] = {}
    if option.cgroup_manager:
        settings["exec-opts"] = [f"native.cgroupdriver={option.cgroup_manager}"]
    if option.userns_remap:
        settings["userns-remap"] = option.userns_remap
    docker = Docker(scratch, option.runtime, option.runtime_flag, settings)
    with docker.serve():
        image.load(docker, "load", "--quiet")
        docker.run(["--network=bridge"], "true")  # the first run makes what stays
        leftovers.remember(docker, KINDS)
        yield docker


@pytest.fixture
def docker(engine: Docker) -> Docker:
    return engine
