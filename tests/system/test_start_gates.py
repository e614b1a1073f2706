"""The fifos between `start` and the process that waits for it, if something else lies in their place."""

import os
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import Runtime, error_text

pytestmark = only_pyrunc("has other files in its state directory")

PUT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a file": lambda path: path.write_bytes(b""),
    "a directory": lambda path: path.mkdir(),
    "another fifo": os.mkfifo,
    "a link to a fifo": lambda path: (os.mkfifo(path.with_name("other")), path.symlink_to("other")),
}


@pytest.mark.parametrize("what", PUT)
@pytest.mark.parametrize("name", ["exec.fifo", "exec.result"])
def test_start_does_not_wait_for_what_nobody_answers(runtime: Runtime, bundle: Bundle, name: str, what: str) -> None:
    bundle.shell("exec sleep 1000")
    with runtime.created(bundle) as container:
        gate = runtime.root / container.id / name
        gate.unlink()
        PUT[what](gate)
        error_text(runtime.start(container.id))
        state = container.state()
        assert os.readlink(f"/proc/{state['pid']}/exe").startswith("/memfd:"), "nothing was run, and nothing killed"


def test_start_sees_the_end_of_the_process_though_a_stranger_holds_the_fifo(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    """The startContainer hook says when `start` waits; whoever holds the other end, the answer cannot come any more."""
    bundle.hook("startContainer", "echo > /here; exec sleep 1000")
    os.mkfifo(bundle.rootfs / "here")
    here = os.open(bundle.rootfs / "here", os.O_RDWR)
    with runtime.created(bundle) as container:
        pid = container.pid
        held = os.open(runtime.root / container.id / "exec.result", os.O_RDWR)
        start = runtime.popen("start", container.id, stderr=subprocess.PIPE)
        try:
            assert select.select([here], [], [], 60)[0]
            os.kill(pid, 9)
            _, message = start.communicate(timeout=60)
        finally:
            os.close(held)
            os.close(here)
            start.kill()
        assert start.returncode == 1
        assert b"was killed by SIGKILL before it ran its program" in message
