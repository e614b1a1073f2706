"""A whole life of a container loads only what is cheap, in the commands and in what becomes the container."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.imports import HOT, loaded
from tests.peers import only_pyrunc
from tests.runtime import Runtime, new_id
from tests.waiting import exit_code


@pytest.fixture
def container_id(runtime: Runtime) -> Iterator[str]:
    """An id that is deleted in the end."""
    name = new_id()
    yield name
    runtime.delete(name, "--force")


@only_pyrunc("looks into the interpreter")
def test_a_life_loads_only_what_is_cheap(runtime: Runtime, bundle: Bundle, area: Path, container_id: str) -> None:
    bundle.shell("exec sleep 1000").save(container_id)

    def call(*arguments: str | Path) -> set[str]:
        return loaded("--root", runtime.root, *arguments, directory=area) - HOT

    assert call("create", "--bundle", bundle.path, "--pid-file", area / "pid", container_id) == set()
    assert call("state", container_id) == set()
    assert call("start", container_id) == set()
    assert json.loads(runtime.state(container_id).stdout)["status"] == "running"
    assert call("kill", container_id, "KILL") == set()
    exit_code(int((area / "pid").read_text()))
    assert call("delete", container_id) == set()
