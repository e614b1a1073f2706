"""An image that asks for uid 4294967295, (uid_t)-1: "not root" to who compares with 0, and root to setresuid(2)."""

import json

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime, error_text

NO_ID = 2**32 - 1
IDS = {"uid": NO_ID, "gid": NO_ID, "additionalGids": [NO_ID]}


@differs(crun="1.8.1 runs it as root")
@pytest.mark.parametrize("key", IDS)
def test_create(runtime: Runtime, bundle: Bundle, key: str) -> None:
    bundle.process["user"] = {"uid": 1, "gid": 1, key: IDS[key]}
    runtime.create_fails(bundle)


@differs(crun="1.8.1 runs it as root")
@pytest.mark.parametrize("key", IDS)
def test_exec(runtime: Runtime, bundle: Bundle, key: str) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        user = {"uid": 1, "gid": 1, key: IDS[key]}
        process = bundle.path / "process.json"
        process.write_text(json.dumps({"args": ["/bin/sh", "-c", "echo ran"], "cwd": "/", "env": [], "user": user}))
        result = runtime.call("exec", "--process", process, box.id)
        error_text(result)
        assert result.stdout == ""


@differs(crun="1.8.1 leaves it to root", runc="leaves it to root, 1.5.3 as well")
@pytest.mark.parametrize("key", ["uid", "gid"])
def test_device(runtime: Runtime, bundle: Bundle, key: str) -> None:
    bundle.linux["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, key: NO_ID}]
    runtime.create_fails(bundle, f"/linux/devices/0/{key}")
