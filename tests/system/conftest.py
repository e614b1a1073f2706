"""Every system test is checked for leftovers; a CRIU that works, and a container for it."""

import os
import shutil
from pathlib import Path

import pytest

from conformance.harness.criu import fault as criu_fault
from tests.bundle import Bundle
from tests.checkpoints import COUNT, count
from tests.runtime import Runtime
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _leftovers_checked(runtime: Runtime) -> None:
    """Let even a test that does not name the runtime fixture run under its leftovers check."""


@pytest.fixture(scope="session")
def criu(private_host: None) -> str:
    """A CRIU that works on this kernel. It writes down what it found in /run, so it is asked before any test looks."""
    if fault := criu_fault():
        pytest.skip(fault)
    return shutil.which("criu") or ""


@pytest.fixture
def images(area: Path) -> Path:
    return area / "images"


@pytest.fixture
def pipe():
    """Both ends of a pipe, as conmon gives to a container; the reading end does not block."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def counting(runtime: Runtime, bundle: Bundle, pipe: tuple[int, int]):
    """A container that counts, with pipes as its streams."""
    with runtime.running(bundle.shell(COUNT), stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: count(bundle) > 2, "a number")
        yield container
