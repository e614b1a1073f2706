"""A state directory after a power cut: files are cut off or full of zeros, from any byte on.

`delete --force` frees the id, whatever became of them; unless nothing is left that says whether the container runs, and
the machine has not been booted since. No other command fails without saying in one line what is damaged.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from pyrunc import lifecycle
from pyrunc.arguments import Arguments
from pyrunc.commands import delete
from pyrunc.commands import list as list_command
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import processes
from pyrunc.log import Log
from pyrunc.savedstate import FIELDS, State

CONFIG = b'{"ociVersion": "1.0.2", "process": {"args": ["sh"], "cwd": "/"}, "root": {"path": "rootfs"}}'


def cut_off(whole: bytes, length: int) -> bytes:
    """As if the rest had not been written."""
    return whole[:length]


def zeros(whole: bytes, length: int) -> bytes:
    """As if its length had been written, and the rest not."""
    return whole[:length].ljust(len(whole), b"\0")


DAMAGES = pytest.mark.parametrize("damage", [cut_off, zeros])
ANOTHER_BOOT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def ended() -> tuple[int, int]:
    """Pid and start time of a process that has ended."""
    child = subprocess.Popen(["cat"], stdin=-1)
    facts = processes.stat(child.pid)
    child.communicate()
    assert facts is not None
    return child.pid, facts[1]


class Root:
    """A state root with the directories of two containers, of which one is damaged."""

    def __init__(self, path: Path, process: tuple[int, int]) -> None:
        """Where it is; nothing is made."""
        self.path, self.process = path, process
        options = Arguments()
        options.options["root"] = str(path)
        self.context = Context(options, Log(), {})

    def make(self, container_id: str, *, saved: bool = True) -> Path:
        """One whose process has ended, or of a create that was killed."""
        container = Container.claim(str(self.path), container_id)
        container.write("config.json", CONFIG)
        for name in ("exec.fifo", "exec.result"):
            os.mkfifo(name, dir_fd=container.fd)
        pid, start_time = self.process
        container.note("cgroupIntent", f"/none-such/{container_id}")
        container.note("cgroup", f"/none-such/{container_id}")
        container.note("init", [pid, start_time, *processes.vantage()])
        if saved:
            state = State(saved=True)
            state.id, state.pid, state.start_time, state.seen_from = container_id, pid, start_time, processes.vantage()
            state.bundle, state.private_pids, state.cgroup = "/bundle", True, f"/none-such/{container_id}"
            container.save(state)
        os.close(container.fd)
        return self.path / container_id

    def delete(self, container_id: str) -> None:
        """`delete --force`, which leaves it to the end of the command to close the directory."""
        arguments = Arguments()
        arguments.options["force"], arguments.operands = True, [container_id]
        next_fd = os.dup(0)
        os.close(next_fd)
        try:
            assert delete.run(self.context, arguments) == 0
        finally:
            os.close(next_fd)

    def rows(self) -> dict[str, str]:
        """id -> status, as `list` has it."""
        arguments = Arguments()
        arguments.options["format"] = "json"
        with mock.patch.object(list_command, "print_json") as printed:
            assert list_command.run(self.context, arguments) == 0
        return {row["id"]: row["status"] for row in printed.call_args.args[0]}


@pytest.fixture
def root(tmp_path: Path, ended: tuple[int, int]) -> Iterator[Root]:
    """A root with one container that is whole, at the end as in the beginning."""
    root = Root(tmp_path / "root", ended)
    root.make("whole")
    yield root
    assert root.rows() == {"whole": lifecycle.STOPPED}


def lengths(whole: bytes) -> Iterator[int]:
    """Where it is cut off: everywhere."""
    return iter(range(len(whole)))


def files(directory: Path) -> list[Path]:
    """Those that can be damaged."""
    return sorted(path for path in directory.iterdir() if path.is_file() and not path.is_symlink())


def look(root: Root) -> None:
    """Commands that only read say what they find, or in one line that it is damaged."""
    assert root.rows()["box"] in ("broken", lifecycle.STOPPED)
    container = Container.open(str(root.path), "box")
    try:
        assert container.status(container.load()) == lifecycle.STOPPED
    except PyruncError as error:
        assert "`box` is damaged" in str(error)
        assert "\n" not in str(error)
        assert "delete --force" in str(error)
    finally:
        os.close(container.fd)


@DAMAGES
@pytest.mark.parametrize("name", ["state.json", "journal", "config.json"])
def test_one_file(root: Root, name: str, damage: Callable[[bytes, int], bytes]) -> None:
    whole = (root.make("box") / name).read_bytes()
    root.delete("box")
    for length in lengths(whole):
        (root.make("box") / name).write_bytes(damage(whole, length))
        look(root)
        root.delete("box")
        assert not (root.path / "box").exists()


@DAMAGES
def test_journal_of_a_create_that_did_not_come_to_its_end(root: Root, damage: Callable[[bytes, int], bytes]) -> None:
    whole = (root.make("box", saved=False) / "journal").read_bytes()
    root.delete("box")
    for length in lengths(whole):
        (root.make("box", saved=False) / "journal").write_bytes(damage(whole, length))
        look(root)
        root.delete("box")
        assert not (root.path / "box").exists()


@DAMAGES
def test_all_files_and_the_machine_has_been_booted_since(root: Root, damage: Callable[[bytes, int], bytes]) -> None:
    most = max(len(path.read_bytes()) for path in files(root.path / "whole"))
    for length in range(0, most, 3):
        directory = root.make("box")
        boot_again(directory)
        for path in files(directory):
            path.write_bytes(damage(path.read_bytes(), length))
        look(root)
        root.delete("box")
        assert not (root.path / "box").exists()


def test_all_files_in_this_boot_are_no_proof_that_it_has_ended(root: Root) -> None:
    for path in files(root.make("box")):
        path.write_bytes(b"")
    with pytest.raises(PyruncError, match=r"cannot tell whether container `box` has ended.*does not name its first"):
        root.delete("box")
    Container.open(str(root.path), "box").remove()


def boot_again(directory: Path) -> None:
    """Make it one of another boot."""
    link = directory / "boot"
    _, _, rest = os.readlink(link).partition(" ")
    link.unlink()
    link.symlink_to(f"{ANOTHER_BOOT} {rest}")


@pytest.fixture
def living() -> Iterator[tuple[int, int]]:
    """Pid and start time of a process that must live on."""
    child = subprocess.Popen(["cat"], stdin=-1)
    facts = processes.stat(child.pid)
    assert facts is not None
    yield child.pid, facts[1]
    assert child.poll() is None
    child.communicate()


def test_process_of_this_boot_is_not_one_of_another(root: Root, living: tuple[int, int]) -> None:
    """A pid and a start time, which is counted from the boot on, come again: those of what is started first, say."""
    root.process = living
    directory = root.make("box")
    assert root.rows()["box"] == lifecycle.RUNNING
    boot_again(directory)
    assert root.rows()["box"] == lifecycle.STOPPED
    root.delete("box")
    assert not directory.exists()


def test_nothing_of_another_boot_is_taken_for_what_is_there_now() -> None:
    """Other containers may have its cgroup, its unit and its resctrl group by now."""
    names = {key for key in FIELDS if key.startswith(("cgroup", "resctrl"))} - {"cgroupFound", "cgroupLeaf"}
    of_one_boot: dict[str, object] = dict.fromkeys((*names, "mounted"), "/a")
    of_one_boot |= {"unit": ["a.slice", "b.scope", ""], "unitIntent": ["a.slice", "b.scope", ""], "pid": 7}
    state = State(saved=True)
    assert all(state.take(key, value) for key, value in {"id": "box", **of_one_boot}.items())
    state.forget_last_boot()
    assert state.to_json() == {"id": "box"}
    assert (state.pid, state.cgroup, state.unit, state.alive(), state.why_unsure()) == (0, "", None, False, "")


@pytest.mark.parametrize("link", [f"{ANOTHER_BOOT} 1", ANOTHER_BOOT, "nonsense", "", " "])
def test_boot_that_was_seen_from_elsewhere_says_nothing(root: Root, living: tuple[int, int], link: str) -> None:
    """Another pid namespace may be shown another id of the same boot, as systemd-nspawn does."""
    root.process = living
    directory = root.make("box")
    (directory / "boot").unlink()
    if link:
        (directory / "boot").symlink_to(link)
    assert root.rows()["box"] == lifecycle.RUNNING
    Container.open(str(root.path), "box").remove()


def out_of_descriptors(*_: object, **__: object) -> None:
    """What a system call answers then."""
    raise OSError(errno.EMFILE, "")


@pytest.mark.parametrize("what", ["posix.readlink", "pyrunc.kernel.process.processes.boot"])
def test_want_of_descriptors_is_no_boot(root: Root, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    root.make("box")
    with monkeypatch.context() as patch:
        patch.setattr(what, out_of_descriptors)
        with pytest.raises(PyruncError, match=r"boot.*Too many open files"):
            Container.open(str(root.path), "box").load()
        with pytest.raises(PyruncError, match="Too many open files"):
            root.delete("box")
    Container.open(str(root.path), "box").remove()


def test_claim_without_descriptors_leaves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pyrunc.kernel.process.processes.boot", out_of_descriptors)
        with pytest.raises(PyruncError, match=r"create the state directory .*: Too many open files"):
            Container.claim(str(root.path), "box")
    assert os.listdir(root.path) == ["whole"]
