"""checkpoint and restore for tests: a program that counts, and the two commands on it. The fixtures `criu`, `images`,
`pipe` and `counting` are in tests/system/conftest.py."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.runtime import Container, Result
from tests.waiting import eventually

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done"
_TEE_PIPE = 819 * 4096  # bytes; criu serves lazy pages through a pipe of this size


def count(bundle: Bundle) -> int:
    """What the container's program has counted to; 0 while it writes the number."""
    path = bundle.rootfs / "tmp/count"
    return int(path.read_text() or 0) if path.exists() else 0


def counts_on(bundle: Bundle) -> bool:
    before = count(bundle)
    return bool(eventually(lambda: count(bundle) > before + 2, "a program that goes on counting"))


def checkpoint(container: Container, images: Path, *options: str) -> Result:
    return container.runtime.call("checkpoint", "--image-path", images, "--work-path", images, *options, container.id)


def restore(container: Container, images: Path, *options: str | Path, **popen) -> Result:
    """Restore, detached, with the streams that `created` gives."""
    container.bundle.save(container.id)
    with open(container.stdout, "ab") as stdout, open(container.stderr, "ab") as stderr:
        streams = {"stdout": stdout, "stderr": stderr} if "--detach" in options else {}
        return container.runtime.call(
            "restore", "--bundle", container.bundle.path, "--image-path", images, "--work-path", images, *options,
            container.id, **streams | popen,
        )  # fmt: skip


def succeeded(result: Result, container: Container) -> None:
    said = container.stderr.read_text() if container.stderr.exists() else ""
    assert result.returncode == 0, f"{result.stderr}{said}"


def large_pipes() -> bool:
    """Whether we may make the pipe that criu needs."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _TEE_PIPE)
    except PermissionError:
        return False
    finally:
        os.close(reading)
        os.close(writing)
    return True


def require_large_pipes() -> None:
    """Skip the test if criu cannot serve lazy pages."""
    if not large_pipes():
        pytest.skip("criu serves lazy pages through a pipe larger than fs.pipe-max-size, which takes CAP_SYS_RESOURCE")
