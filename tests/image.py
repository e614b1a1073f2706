"""An image to build a root filesystem from in a child process, and an outside that must stay as it is."""

import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.mount import mountoptions, rootfs
from pyrunc.kernel.mount.mountoptions import Mount
from pyrunc.kernel.syscalls import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER


class Image:
    """An image in `root`, and `outside`, which nothing may touch."""

    def __init__(self, directory: Path) -> None:
        self.root, self.outside = directory / "root", directory / "outside"
        for path in (self.root / "etc", self.root / "data", self.root / "proc", self.root / "sys", self.root / "dev"):
            path.mkdir(parents=True)
        (self.outside / "sub").mkdir(parents=True)
        for name in ("ptmx", "sub/sentinel"):
            (self.outside / name).write_text("outside marker")

    def observe(self) -> list[tuple[str, int, int, int, int]]:
        """Everything in `outside`: name, inode, mode, size, time of change."""
        found = []
        for path in sorted([self.outside, *self.outside.rglob("*")]):
            facts = path.lstat()
            found.append((str(path), facts.st_ino, facts.st_mode, facts.st_size, facts.st_ctime_ns))
        return found

    def inside(self, body: Callable[[int], object], flags: int = 0, propagation: str = "") -> object:
        """Run `body(root)` in a child with new namespaces; its result (JSON), or its PyruncError again."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os._exit(self._child(body, flags, propagation, writing))
        os.close(writing)
        with open(reading, "rb") as stream:
            answer = json.loads(stream.read() or "{}")
        os.waitpid(child, 0)
        if "error" in answer:
            raise PyruncError.from_wire(answer["error"])
        assert "result" in answer, answer.get("trace", "the child died")
        return answer["result"]

    def _child(self, body: Callable[[int], object], flags: int, propagation: str, writing: int) -> int:
        answer: dict[str, object]
        try:
            os.umask(0o022)
            syscalls.unshare(flags & CLONE_NEWUSER)
            if flags & CLONE_NEWUSER:
                Path("/proc/self/uid_map").write_text("0 0 1")
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/gid_map").write_text("0 0 1")
            syscalls.unshare(CLONE_NEWNS | flags & ~CLONE_NEWUSER)
            if flags & CLONE_NEWPID and (grandchild := os.fork()):
                return os.waitpid(grandchild, 0)[1]
            answer = {"result": body(rootfs.prepare(str(self.root), propagation))}
        except PyruncError as error:
            answer = {"error": error.to_wire()}
        except BaseException:
            answer = {"trace": traceback.format_exc()}
        os.write(writing, json.dumps(answer).encode())
        return 0


@contextmanager
def untouched(directory: Path) -> Iterator[Image]:
    """An image; afterwards, its outside and the mounts of this process are seen to be what they were."""
    directory.chmod(0o755)
    image = Image(directory)
    before, mounts = image.observe(), Path("/proc/self/mountinfo").read_bytes()
    yield image
    assert image.observe() == before
    assert Path("/proc/self/mountinfo").read_bytes() == mounts


def mount(destination: str, kind: str, options: str = "", source: str = "") -> Mount:
    """A mount as the plan makes it."""
    words = tuple(word for word in options.split(",") if word)
    return Mount(source or kind, destination, kind, mountoptions.parse(words), "", "/mounts/0")


def link(path: Path, target: object) -> None:
    """Replace what is at `path` by a symlink."""
    if path.is_dir():
        path.rmdir()
    path.symlink_to(str(target))
