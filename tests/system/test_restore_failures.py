"""restore that fails: the cause is said, nothing is left (that is checked after every test), and the same id can be
restored when the cause is gone."""

import os
import shutil
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.checkpoints import COUNT, checkpoint, counts_on, restore, succeeded
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Container, Runtime, error_text
from tests.waiting import eventually

pytestmark = [pytest.mark.usefixtures("criu"), differs(crun="Debian's crun 1.8.1 is built without CRIU")]
Pipe = tuple[int, int]


@pytest.fixture
def dumped(runtime: Runtime, bundle: Bundle, area: Path, images: Path, pipe: Pipe):
    """A container with a bind mount that is in its images alone."""
    (area / "shared").mkdir()
    bundle.mount("/mnt", area / "shared", "bind").shell(COUNT)
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually((bundle.rootfs / "tmp/count").exists, "a number")
        succeeded(checkpoint(container, images), container)
        yield container


def fails(container: Container, images: Path, *fragments: str) -> None:
    """Restore does not succeed, and neither container nor cgroup are there."""
    error_text(restore(container, images), *fragments)
    error_text(container.runtime.state(container.id), "does not exist")
    assert not (CGROUP_ROOT / container.bundle.linux["cgroupsPath"].strip("/")).exists()


def works(container: Container, images: Path, pipe: Pipe) -> None:
    """With what it lacked, the same id can be restored."""
    result = restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1])
    assert result.returncode == 0, os.read(pipe[0], 4096)
    assert counts_on(container.bundle)


@differs(runc="1.1.5 leaves the cgroup")
def test_configuration_without_a_mount_of_the_images(dumped: Container, images: Path, pipe: Pipe) -> None:
    mount = dumped.bundle.config["mounts"].pop()
    fails(dumped, images, "restore.log")  # criu names the mount by a number
    dumped.bundle.config["mounts"].append(mount)
    works(dumped, images, pipe)


def test_source_of_a_mount_that_is_gone(dumped: Container, images: Path, pipe: Pipe, area: Path) -> None:
    (area / "shared").rmdir()
    fails(dumped, images, str(area / "shared"), "no such file")
    (area / "shared").mkdir()
    works(dumped, images, pipe)


def test_root_that_is_gone(dumped: Container, images: Path, pipe: Pipe) -> None:
    away = dumped.bundle.path / "away"
    dumped.bundle.rootfs.rename(away)
    fails(dumped, images, str(dumped.bundle.rootfs), "no such file")
    away.rename(dumped.bundle.rootfs)
    works(dumped, images, pipe)


@only_pyrunc("the words are its own")
@pytest.mark.parametrize(("image", "words"), [("pages-1.img", "can't read"), ("core-1.img", "no core-1.img image")])
def test_image_that_is_missing(
    dumped: Container, images: Path, pipe: Pipe, area: Path, image: str, words: str
) -> None:
    shutil.move(images / image, area / image)
    fails(dumped, images, words, str(images / "restore.log"))
    shutil.move(area / image, images / image)
    works(dumped, images, pipe)


@only_pyrunc("the words are its own")
def test_image_that_is_no_image(dumped: Container, images: Path) -> None:
    (images / "inventory.img").write_bytes(b"\0" * 100)
    fails(dumped, images, "magic", str(images / "restore.log"))
