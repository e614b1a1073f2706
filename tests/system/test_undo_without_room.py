"""A failed create, run, restore or exec is undone with the modules that are loaded and the descriptors that were kept.

From the moment the undoing starts no module can be loaded and no number of a descriptor is free but the kept ones.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import kinds
from tests.faults.kinds import Kind
from tests.peers import only_pyrunc
from tests.runtime import DEFAULT_RUNTIME, Runtime, error_text, new_id

pytestmark = only_pyrunc("has no interpreter whose imports could fail")

# Undoing starts with the first `hold` that is called while an exception is handled.
WITHOUT_ROOM = """
import posix
import resource

from pyrunc import ending, wings  # the package, so that each wing is asked for by its own name


OURS = posix.getpid()


class Nothing:
    def find_spec(self, name, *_):
        if not name.startswith("pyrunc.wings.doctor"):  # which is to find out why, afterwards
            posix.write(2, f"undoing loads the module {name}\\n".encode())
        raise ImportError("no room", name=name)


def hold(original=ending.hold):
    original()
    if sys.exc_info()[0] is not None and posix.getpid() == OURS and Nothing not in map(type, sys.meta_path):
        press()


def press():
    posix.mkdir("STARTED")
    sys.meta_path[:] = [Nothing()]
    highest = max(map(int, posix.listdir("/proc/self/fd")))
    while posix.dup(2) < highest:
        pass
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (posix.dup(2) + 1, hard))


ending.hold = hold
"""


@pytest.fixture
def place(area: Path) -> Path:
    """A directory for what commands write, be it an ordinary user's."""
    place = area / "place"
    place.mkdir()
    place.chmod(0o777)
    return place


@pytest.fixture
def make_kind(
    runtime: Runtime, area: Path, place: Path, rootfs_template: Path
) -> Iterator[Callable[[str], tuple[Kind, Runtime]]]:
    """A function: of the name of a kind of containers the kind, and a runtime with a launcher that leaves no room."""
    lines = DEFAULT_RUNTIME.read_text().rpartition("main()\n")
    assert lines[1]
    program = area / "pyrunc"
    program.write_text(lines[0] + WITHOUT_ROOM.replace("STARTED", f"{place}/undoing") + lines[1])
    program.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(kinds.end_others)

        def make(name: str) -> tuple[Kind, Runtime]:
            if why := kinds.impossible(name):
                pytest.skip(why)
            kind = stack.enter_context(kinds.made(name, area / name, rootfs_template))
            kind.output = place / "output"
            pressed = Runtime(kind.runtime.root, program)
            pressed.prefix, pressed.options, pressed.flags = kind.as_user, kind.runtime.options, kind.runtime.flags
            return kind, pressed

        yield make


def undone(pressed: Runtime, place: Path, *words: str | Path, text: str) -> None:
    """Check that a command fails with this text, and was undone without room."""
    result = pressed.call(*words)
    assert (place / "undoing").is_dir(), f"nothing was undone: {result.stderr}"
    assert "undoing loads" not in result.stderr
    message = error_text(result, text)
    assert "besides" not in message


def forgotten(kind: Kind, container_id: str) -> None:
    """Check that there is no such container, and nothing of it in the state root."""
    assert "does not exist" in error_text(kind.runtime.state(container_id))
    assert [path.name for path in kind.runtime.root.iterdir() if path.name != ".seccomp-cache"] == []


# What fails last, when all else has been made: (options, words of the error).
FAILURES = {
    "hook": ((), "createRuntime hook #0"),
    "pidfd socket": (("--pidfd-socket", "/run/none"), "/run/none"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", [name for name in kinds.KINDS if name != "checkpointed"])
def test_create(make_kind: Callable[[str], tuple[Kind, Runtime]], place: Path, name: str, failure: str) -> None:
    kind, pressed = make_kind(name)
    bundle, (options, text) = kind.bundles["stays"], FAILURES[failure]
    bundle.config["hooks"] = {}
    if failure == "hook":
        bundle.hook("createRuntime", "exit 3")
    bundle.hook("poststop", f"echo stopped >> {place}/stopped")
    container_id = new_id()
    bundle.save(container_id)
    kind.prepare()
    words = ("create", "--bundle", bundle.path, "--pid-file", place / "pid", *kind.options, *options, container_id)
    undone(pressed, place, *words, text=text)
    forgotten(kind, container_id)
    assert not (place / "pid").exists()
    assert (place / "stopped").read_text() == "stopped\n"
    if failure == "hook":  # later it goes with the network namespace
        assert kind.kept() == []


@pytest.mark.parametrize("name", ["plain", "rich", "bare", "terminal", "systemd", "rootless"])
def test_run_whose_program_cannot_start(
    make_kind: Callable[[str], tuple[Kind, Runtime]], place: Path, name: str
) -> None:
    kind, pressed = make_kind(name)
    bundle = kind.bundles["stays"].hook("startContainer", "exit 3")
    container_id = new_id()
    bundle.save(container_id)
    options = ("--detach", *kind.options) if kind.options else ()
    words = ("run", "--bundle", bundle.path, "--pid-file", place / "pid", *options, container_id)
    undone(pressed, place, *words, text="startContainer hook")
    forgotten(kind, container_id)
    assert not (place / "pid").exists()


def test_restore(make_kind: Callable[[str], tuple[Kind, Runtime]], place: Path) -> None:
    kind, pressed = make_kind("checkpointed")
    container_id, where = new_id(), ("--image-path", kind.images, "--work-path", kind.images)
    for result in (
        kind.runtime.create(kind.bundles["stays"], container_id),
        kind.runtime.start(container_id),
        kind.runtime.call("checkpoint", *where, container_id),
    ):
        assert result.returncode == 0, result
    words = ("restore", "--detach", "--bundle", kind.bundles["stays"].path, *where, "--pid-file", place / "none/pid")
    undone(pressed, place, *words, container_id, text="none/pid")
    forgotten(kind, container_id)


@pytest.mark.parametrize("name", ["plain", "joined-pid", "terminal", "rootless"])
def test_exec(make_kind: Callable[[str], tuple[Kind, Runtime]], place: Path, name: str) -> None:
    kind, pressed = make_kind(name)
    container_id = new_id()
    for result in (
        kind.runtime.create(kind.bundles["stays"], container_id, *kind.options),
        kind.runtime.start(container_id),
    ):
        assert result.returncode == 0, result
    terminal = ("--tty", *kind.options) if kind.options else ()
    more = ("--detach", "--pid-file", place / "pid", "--pidfd-socket", "/run/none")
    undone(pressed, place, "exec", *terminal, *more, container_id, "sleep", "1000", text="/run/none")
    assert not (place / "pid").exists()
    processes = kind.runtime.call("ps", "--format", "json", container_id) if name != "rootless" else None
    assert processes is None or len(json.loads(processes.stdout)) == 1
    assert kind.runtime.delete(container_id, "--force").returncode == 0
