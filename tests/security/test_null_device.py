"""The host's /dev/null stays everybody's: root of a container changes neither its mode nor its owner.

In a test that is the view's own node (`tests.privatehost`). The container may not write to it as a file, but has to
write to it as a device.
"""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime
from tests.waiting import eventually

CHANGE = "chmod 0 {0} || true; chown 1:1 {0} || true; touch -d 2001-01-01 {0} || true; echo x > {0} && echo written"
OF_CRUN = "gives the host's /dev/null to the container's user (CVE-2026-88265)"


def facts() -> list[int]:
    found = os.stat("/dev/null")
    return [found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns]


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """It is put right again, for the tests that follow."""
    before = facts()
    yield
    after = facts()
    os.chmod("/dev/null", 0o666)
    os.chown("/dev/null", 0, 0)
    os.utime("/dev/null", ns=(before[3], before[3]))
    assert after == before


def with_owner_rights(bundle: Bundle) -> Bundle:
    bundle.all_sets("CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE")
    return bundle


def test_through_a_mask(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/proc/uptime", "/proc/version"]
    for path in bundle.linux["maskedPaths"]:
        assert runtime.output(with_owner_rights(bundle), CHANGE.format(path)) == "written\n"


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_through_a_standard_stream(runtime: Runtime, bundle: Bundle, stream: int) -> None:
    script = f"{{ {CHANGE.format(f'/proc/self/fd/{stream}')}; echo done; }} > /told; sleep 1000"
    if stream == 1:  # that is the file now
        script = script.replace("fd/1", "fd/9").replace("{ ", "exec 9>&1; { ", 1)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with runtime.running(with_owner_rights(bundle).shell(script), **streams):
        eventually(lambda: told(bundle).endswith("done\n"), "the container's word")
        assert told(bundle) == "written\ndone\n"


def told(bundle: Bundle) -> str:
    path = bundle.rootfs / "told"
    return path.read_text() if path.exists() else ""


@differs(crun="takes care of it in `run` alone", runc="cannot do without the container's own node")
@pytest.mark.parametrize("before", ["true", "rm /dev/null", "rm /dev/null; mkfifo /dev/null"])
def test_through_a_standard_stream_of_exec(runtime: Runtime, bundle: Bundle, before: str) -> None:
    with runtime.running(with_owner_rights(bundle).shell(f"{before}; touch /ready; sleep 1000")) as container:
        eventually((bundle.rootfs / "ready").exists, "the container's word")
        result = runtime.call("exec", container.id, "sh", "-c", CHANGE.format("/proc/self/fd/0"))
        assert result.returncode == 0, result.stderr


def test_other_devices_stay_whose_they_are(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """A standard stream is given to the container's user, but not what is everybody's, or a disk."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    node = tmp_path / "zero"
    os.mknod(node, stat.S_IFCHR, os.makedev(1, 5))
    with node.open("rb") as stream, runtime.running(bundle.shell("head -c 1; sleep 1000"), stdin=stream) as container:
        assert runtime.call("exec", container.id, "head", "-c", "1", stdin=stream).stdout == "\0"
    assert os.stat(node).st_uid == 0


@differs(crun=OF_CRUN, runc="binds the host's nodes writable")
def test_through_a_node_that_is_bound(runtime: Runtime, bundle: Bundle) -> None:
    """A user namespace to which root of the host is mapped makes no nodes, and is the owner of what is bound."""
    with_owner_rights(bundle).user_namespace(host_id=0)
    assert runtime.output(bundle, CHANGE.format("/dev/null")) == "written\n"
