"""Errors about objects with long names: they still name the place, and end in the kernel's words."""

import re

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import Runtime, error_text, new_id

LONG = "/" + "n" * 300_000
pytestmark = only_pyrunc("repeat the whole name, and hand conmon's block to its middle")


def fails(runtime: Runtime, bundle: Bundle, pointer: str, words: str = "File name too long") -> None:
    message = error_text(runtime.create(bundle, new_id()), pointer)
    assert re.search(rf": {words}( \({re.escape('config.json: ' + pointer)}.*\))?$", message), message[-200:]
    assert len(message) < 4200


def test_working_directory(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = LONG
    fails(runtime, bundle, "/process/cwd")


@pytest.mark.parametrize("size", [100_000, 300_000])
def test_destination(runtime: Runtime, bundle: Bundle, size: int) -> None:
    """Init's error is one packet."""
    bundle.config["mounts"].append({"destination": LONG[:size], "type": "tmpfs", "source": "tmpfs"})
    fails(runtime, bundle, "/mounts/")


def test_device(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": f"/dev{LONG}", "type": "c", "major": 1, "minor": 3}]
    fails(runtime, bundle, "/linux/devices/0")


def test_masked_path(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = [LONG]
    fails(runtime, bundle, "mask `/nnn")


def test_hook(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hooks"] = {"createContainer": [{"path": LONG}]}
    fails(runtime, bundle, "createContainer")


def test_groups(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 0, "gid": 0, "additionalGids": list(range(70_000))}
    fails(runtime, bundle, "/process/user/additionalGids", "Invalid argument")


def test_pid_file(runtime: Runtime, bundle: Bundle) -> None:
    long = "/tmp" + "/n" * 5000
    message = error_text(runtime.create(bundle, new_id(), "--pid-file", long))
    assert message.endswith("File name too long")


def test_control_characters_where_nothing_can_be_imported(runtime: Runtime, bundle: Bundle) -> None:
    """The output of a hook in the container's mount namespace: init has switched importing off by then."""
    script = "printf 'a\\033[31m\\001\\nb' >&2; exit 3"
    bundle.config["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    assert "exit status 3, stderr: a\\x1b[31m\\x01\\nb" in error_text(runtime.create(bundle, new_id()))
