"""The state directory: odd places, damaged entries, foreign entries, stale pids, and a poor environment."""

import contextlib
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import mount, umount
from tests.peers import differs, only_pyrunc
from tests.removal import remove_tree
from tests.runtime import Container, Runtime, caller_environment, error_text, new_id
from tests.waiting import exit_code

DAMAGE = "relies on the file and leaves the rest"
DAMAGED = [b"", b"{", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"pid": "x"}', b"[" * 100_000]


def state_files(runtime: Runtime, container: Container) -> list[Path]:
    """The JSON files of a container's state."""
    return sorted(path for path in (runtime.root / container.id).iterdir() if path.suffix == ".json")


@pytest.mark.parametrize("kind", ["file", "dangling link", "read-only"])
def test_root_that_cannot_be_used(runtime: Runtime, bundle: Bundle, kind: str, area: Path) -> None:
    if kind == "read-only":
        runtime.root = Path("/sys/kernel/no-such-directory")
    elif kind == "file":
        runtime.root.touch()
    else:
        runtime.root.symlink_to(area / "none/none")
    error_text(runtime.create(bundle, new_id()))
    if kind == "file":
        runtime.root.unlink()


def test_root_with_odd_names(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    runtime.root = area / "with space and umläut" / "deep" / "directory"
    assert runtime.run(bundle.shell("echo ran")).stdout == "ran\n"


MAKES = "wants it to be there"


@differs(crun="1.28 says that there is none")
def test_list_with_a_missing_root_is_an_error(runtime: Runtime) -> None:
    error_text(runtime.call("list"), str(runtime.root), "no such file")
    assert not runtime.root.exists()


@only_pyrunc(MAKES)
def test_list_without_a_default_root_is_empty(runtime: Runtime) -> None:
    result = subprocess.run(
        [runtime.path, "list", "--quiet"], check=True, stdin=-3, capture_output=True, env=caller_environment()
    )
    assert result.stdout == b""


@only_pyrunc(DAMAGE)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"pid": "x"}', b"[" * 100000]
)
def test_damaged_state(runtime: Runtime, bundle: Bundle, content: bytes) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        for path in state_files(runtime, container):
            path.write_bytes(content)
        for command in (("state", container.id), ("kill", container.id, "KILL"), ("start", container.id)):
            error_text(runtime.call(*command), container.id)
        assert runtime.call("list", "--quiet").returncode == 0
        deleted = runtime.delete(container.id, "--force")
        assert deleted.returncode == 0, deleted.stderr


@only_pyrunc(DAMAGE)
def test_truncated_state(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        for path in state_files(runtime, container):
            whole = path.read_bytes()
            for length in range(0, len(whole) - 2, max(1, len(whole) // 20)):
                path.write_bytes(whole[:length])
                result = runtime.state(container.id)
                if result.returncode != 0:
                    error_text(result, container.id)
            path.write_bytes(whole)
        assert container.status == "running"


@only_pyrunc(DAMAGE)
@pytest.mark.parametrize("inside", ["nothing", "a foreign file", "a directory", "a mount"])
def test_entry_of_an_unknown_kind(runtime: Runtime, bundle: Bundle, inside: str) -> None:
    """An empty one, too: with `--root /` it could be /srv."""
    container_id = new_id()
    entry = runtime.root / container_id
    entry.mkdir(parents=True)
    if inside == "a foreign file":
        (entry / "foreign").touch()
    elif inside != "nothing":
        (entry / "directory/deep").mkdir(parents=True)
    if inside == "a mount":
        mount("tmpfs", str(entry / "directory"), "tmpfs")
    assert runtime.call("list").returncode == 0
    state = runtime.state(container_id)
    if state.returncode == 0:
        document = json.loads(state.stdout)
        assert (document["id"], document["status"]) in ((container_id, "creating"), (container_id, "stopped"))
    else:
        error_text(state, container_id)
    deleted = runtime.delete(container_id, "--force")
    error_text(deleted, str(entry), "is not a container's state directory")
    assert bool(list(entry.iterdir())) == (inside != "nothing")
    error_text(runtime.create(bundle, container_id), "already exists")
    remove_tree(entry)


@contextlib.contextmanager
def small_state_directory(runtime: Runtime) -> Iterator[None]:
    """Let the state directory be a file system of 64 KiB."""
    runtime.root.mkdir()
    mount("tmpfs", str(runtime.root), "tmpfs", 0, "size=64k,nr_inodes=64")
    try:
        yield
    finally:
        umount(str(runtime.root))


def fill(directory: Path) -> None:
    """Write a file until the disk is full."""
    descriptor = os.open(directory / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(descriptor)


def test_disk_that_fills_up_while_a_container_runs(runtime: Runtime, bundle: Bundle) -> None:
    with small_state_directory(runtime), runtime.running(bundle.shell("exec sleep 1000")) as container:
        fill(runtime.root)
        assert container.status == "running"
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        assert runtime.delete(container.id).returncode == 0


@differs(runc="1.1.5 says `unable to store init state: %!w(<nil>)`")
def test_create_on_a_full_disk(runtime: Runtime, bundle: Bundle) -> None:
    with small_state_directory(runtime):
        fill(runtime.root)
        runtime.create_fails(bundle, "no space left on device")


@pytest.mark.parametrize("command", ["state", "kill", "start", "delete --force", "list", "--version"])
def test_poor_environment(runtime: Runtime, bundle: Bundle, command: str) -> None:
    # podman gives kill and delete no variable but XDG_RUNTIME_DIR, which is empty for root.
    with runtime.created(bundle) as container:
        words = command.split() + ([] if command in ("list", "--version") else [container.id])
        result = runtime.call(*words, env={"XDG_RUNTIME_DIR": ""})
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("environment", [{}, {"LANG": "nonsense", "TZ": ":/nonsense", "PATH": ""}, {"X": "x" * 100000}])
def test_create_in_an_odd_environment(runtime: Runtime, bundle: Bundle, environment: dict[str, str]) -> None:
    result = runtime.run(bundle.shell("echo ran"), env=environment)
    assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr


def test_environment_that_is_not_utf8(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.shell("echo ran"), env={b"NAME\xff": b"\xfe", b"PATH": os.environb[b"PATH"]})
    assert (result.returncode, result.stdout) == (0, "ran\n"), result.stderr


def test_deleted_working_directory(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    gone = area / "gone"
    gone.mkdir()
    with runtime.created(bundle) as container:
        argv = " ".join(runtime.argv("state", container.id))
        result = runtime.call("state", container.id, cwd=gone, preexec_fn=gone.rmdir)
        assert result.returncode == 0, f"{argv}: {result.stderr}"
