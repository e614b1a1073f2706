"""Memory that takes another way than into the image directory, or in several steps: CRIU's page server, memory that
comes when it is needed, images on top of earlier ones."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints import checkpoint, counts_on, large_pipes, require_large_pipes, restore, succeeded
from tests.peers import differs
from tests.runtime import Container, Runtime, error_text, new_id

pytestmark = [pytest.mark.usefixtures("criu"), differs(crun="it has none of these options, except for --pre-dump")]


@pytest.fixture
def port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def daemon(criu: str, command: str, port: int, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """A criu that serves or fetches pages and is ready for it; images and log in the directory. It ends with this."""
    reading, writing = os.pipe()
    where = ["--images-dir", directory, "--work-dir", directory, "--log-file", f"{command}.log"]
    words = [criu, command, "--address", "127.0.0.1", "--port", str(port), "--status-fd", str(writing), *where]
    if command == "lazy-pages":
        words.append("--page-server")
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, pass_fds=[writing], **streams) as process:
        try:
            os.close(writing)
            with os.fdopen(reading, "rb") as status:
                assert status.read(1) == b"\0", process.communicate()
            yield process
        finally:
            process.kill()


def another(container: Container) -> Container:
    """One of a new id and cgroup from the same bundle."""
    container.bundle.linux["cgroupsPath"] += "-other"
    return Container(container.runtime, new_id(), container.bundle)


@differs(runc="1.1 leaves the cgroup of the first container")
def test_lazy_pages(criu: str, counting: Container, images: Path, port: int, pipe: tuple[int, int]) -> None:
    """The restored container fetches its memory from the frozen one, which ends when it has all."""
    require_large_pipes()
    reading, writing = os.pipe()
    process = counting.runtime.popen(
        "checkpoint", "--image-path", images, "--lazy-pages", "--page-server", f"127.0.0.1:{port}",
        "--status-fd", str(writing), counting.id, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    with contextlib.closing(os.fdopen(reading, "rb")) as status:
        assert status.read(1) == b"\0"
    other = another(counting)
    with daemon(criu, "lazy-pages", port, images) as pages:
        try:
            succeeded(restore(other, images, "--detach", "--lazy-pages", stdout=pipe[1], stderr=pipe[1]), other)
            assert process.wait(60) == 0
            assert pages.wait(60) == 0, pages.stderr and pages.stderr.read()
            assert counts_on(other.bundle)
            error_text(counting.runtime.state(counting.id), "does not exist")
        finally:
            counting.runtime.delete(other.id, "--force")


@differs(runc="1.1.5 begins the dump, which fails when memory is asked for")
def test_lazy_pages_without_a_pipe_of_the_size_are_refused(counting: Container, images: Path) -> None:
    """CRIU would find out when the memory is asked for."""
    if large_pipes():
        pytest.skip("a pipe of the size can be made here")
    error_text(checkpoint(counting, images, "--lazy-pages"), "--lazy-pages", "fs.pipe-max-size", "CAP_SYS_RESOURCE")
    assert not images.exists()
    assert counts_on(counting.bundle)


def test_page_server(
    criu: str, counting: Container, images: Path, area: Path, port: int, pipe: tuple[int, int]
) -> None:
    """The pages arrive at the server and nowhere else; together with the rest they are an image like any other."""
    served = area / "served"
    served.mkdir()
    with daemon(criu, "page-server", port, served) as server:
        succeeded(checkpoint(counting, images, "--page-server", f"127.0.0.1:{port}"), counting)
        assert server.wait(60) == 0
    assert not list(images.glob("pages-*.img"))
    for file in served.glob("page*.img"):
        file.rename(images / file.name)
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counts_on(counting.bundle)


@differs(runc="1.1.5 says nothing of the cause")
def test_page_server_that_is_not_there(counting: Container, images: Path, port: int) -> None:
    failed = checkpoint(counting, images, "--page-server", f"127.0.0.1:{port}")
    error_text(failed, f"connect to server 127.0.0.1:{port}", "runs on")
    assert counts_on(counting.bundle)


def test_restore_releases_the_images_as_it_reads_them(
    counting: Container, images: Path, pipe: tuple[int, int]
) -> None:
    """--auto-dedup: what has been restored is punched out of the files."""
    succeeded(checkpoint(counting, images), counting)
    before = blocks(images)
    succeeded(restore(counting, images, "--detach", "--auto-dedup", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counts_on(counting.bundle)
    assert blocks(images) < before


def blocks(images: Path) -> int:
    """What the memory in the image directory takes on the disk, in blocks of 512 bytes."""
    return sum(path.stat().st_blocks for path in images.glob("pages-*.img"))


@pytest.mark.parametrize("dedup", [False, True])
def test_on_top_of_a_pre_dump(
    criu: str, counting: Container, area: Path, pipe: tuple[int, int], dedup: bool
) -> None:
    """The second image has what has changed only; with --auto-dedup the first one loses that."""
    checked = subprocess.run([criu, "check", "--feature", "mem_dirty_track"], check=False, capture_output=True)
    if checked.returncode:
        pytest.skip("criu check: this kernel does not track changes of memory (CONFIG_MEM_SOFT_DIRTY)")
    images = area / "images"
    images.mkdir()
    first, second = images / "first", images / "second"
    succeeded(checkpoint(counting, first, "--pre-dump"), counting)
    assert counts_on(counting.bundle)
    before = blocks(first)
    more = ["--auto-dedup"] if dedup else []
    succeeded(checkpoint(counting, second, "--parent-path", "../first", *more), counting)
    assert 0 < blocks(second) < before
    assert (blocks(first) < before) == dedup
    succeeded(restore(counting, second, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counts_on(counting.bundle)


@differs(runc="1.1.5 passes over --status-fd without --lazy-pages")
@pytest.mark.parametrize(("redirection", "words"), [("9>&-", "Bad file descriptor"), ("9<.", "for reading only")])
def test_status_descriptor_that_cannot_be_written(
    runtime: Runtime, counting: Container, images: Path, redirection: str, words: str
) -> None:
    argv = runtime.argv("checkpoint", "--image-path", images, "--status-fd", "9", counting.id)
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *argv]
    result = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=60)
    error_text(result, "--status-fd 9", words)
    assert not images.exists()
    assert counting.status == "running"
