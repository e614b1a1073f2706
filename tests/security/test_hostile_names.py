"""Names that others choose, in what the kernel and programs say: they must not pass for lines of it."""

import ast
import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrunc import cli, jsontext, lifecycle
from pyrunc.cgroup import cgroupfs
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import processes
from pyrunc.savedstate import State
from pyrunc.wings.control import ps
from pyrunc.wings.events import events

from tests import kernelcalls, waiting
from tests.runtime import CHECKOUT


@pytest.mark.usefixtures("private_host")
def test_mount_point_with_white_space(area: Path) -> None:
    """An ordinary user can make one by FUSE, below root's eyes."""
    point = area / "a\r7\f1 \n\t\\040\v"
    point.mkdir()
    kernelcalls.mount("tmpfs", str(point), "tmpfs")
    try:
        assert ("tmpfs", str(point)) in [entry[1:] for entry in processes.mount_table()]
    finally:
        kernelcalls.umount(str(point))


def test_cgroup_with_a_line_separator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that owns its cgroup names those below; the kernel forbids the line feed alone."""
    monkeypatch.setattr(cgroupfs, "read", lambda path: "1:name=x:/a\u20280::/forged\n0::/a\x85b\n")
    assert cgroupfs.path_of(7) == "/a\x85b"


def test_name_of_a_process_makes_no_line_of_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a byte that is no UTF-8 end the command."""
    program = tmp_path / "ps"
    program.write_bytes(b"#!/bin/sh\nprintf 'PID CMD\\n7 a\xe2\x80\xa87 forged\\n8 b\\n7 \xff\\n'\n")
    program.chmod(0o755)
    monkeypatch.setattr(ps, "PROGRAM", str(program))
    assert ps.table([7], []) == ["PID CMD", "7 a\u20287 forged", "7 \ufffd"]


NAMES = ["1 1", "x 1 2 3", " 7", "PID"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options",
    [["-eo", "comm,pid"], ["-e", "-o", "comm", "-o", "pid,args"], ["axo", "comm,pid"], ["-ef"], ["aux"], ["-el"]],
)
def test_process_cannot_hide_behind_its_name(name: str, options: list[str]) -> None:
    """Nor can one pass for another that is in the container."""
    with process_called(name) as one, process_called(name) as other:
        heading, line = ps.table([one], options)
        fields = re.sub(rf"(?<!\S){re.escape(name)}(?!\S)", "name", line).split()  # not the end of one pid and another
        assert fields[heading.split().index("PID")] == str(one)
        assert str(other) not in line.split()


def test_options_that_cannot_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ps"
    program.write_text(
        "#!/bin/sh\n[ $# = 0 ] || printf '\\n'; [ $# != 0 ] || printf 'LABEL PID CMD\\nunconfined (enforce) 7 b\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(ps, "PROGRAM", str(program))
    with pytest.raises(PyruncError, match="could be taken for a PID"):
        ps.table([7], [])


@contextlib.contextmanager
def process_called(name: str) -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        Path("/proc/self/comm").write_text(name)
        signal.pause()
    waiting.eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == f"{name}\n", "the process to have its name")
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


HOSTILE = "a\nb\r\x1b[2J\x9b2J\x7f\u202e\u2028\U000e0001\ufeff\t~"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state root with a container whose state is as hostile as a state can be."""
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    container = Container.claim(str(root), "box")
    state = State(saved=True)
    state.id = state.bundle = state.rootfs = state.created = HOSTILE
    state.pid, state.start_time, state.annotations, state.cgroup = os.getpid(), 1, {HOSTILE: HOSTILE}, "/x"
    container.save(state)
    os.close(container.fd)
    return root


COMMANDS = [
    ["list"], ["list", "--format", "json"], ["list", "--quiet"], ["state", "box"], ["ps", "box"],
    ["ps", "-f", "json", "box"], ["events", "--stats", "box"], ["validate", "BUNDLE"], ["doctor"], ["doctor", "--json"],
    ["features"], ["start", "box"],
    ["state", HOSTILE], [HOSTILE], ["--log-level", HOSTILE, "list"], ["create", "--bundle", HOSTILE, "other"],
    ["exec", "box", HOSTILE], ["kill", "box", HOSTILE], ["update", "--resources", HOSTILE, "box"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words).encode("unicode_escape").decode())
@pytest.mark.parametrize("log", ["stderr", "text", "json"])
def test_no_output_has_a_control_character(
    words: list[str],
    log: str,
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({HOSTILE: 1, "ociVersion": HOSTILE, "mounts": [{HOSTILE: 1}]}))
    monkeypatch.setattr(ps, "PROGRAM", "/bin/echo")
    monkeypatch.setattr(ps.cgroup_fs, "members", lambda _: [7])
    monkeypatch.setattr(ps, "_output", lambda _: [f"PID {HOSTILE}", f"7 {HOSTILE}"])
    monkeypatch.setattr(lifecycle, "derive", lambda **_: "running")
    monkeypatch.setattr(events, "_statistics", lambda *_: {HOSTILE: HOSTILE})
    where = [] if log == "stderr" else ["--log", str(tmp_path / "log"), "--log-format", log]
    pid = os.fork()  # a command leaves its descriptors to its end
    if pid == 0:
        try:
            cli.run(["--root", str(state), *where, *(word.replace("BUNDLE", str(tmp_path)) for word in words)])
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    said = "".join(capfd.readouterr())
    written = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert said + written
    lines = (said + written).split("\n")
    if "--json" in words or "features" in words:
        lines = [line.lstrip("\t") for line in lines]
    assert all(line.isprintable() for line in lines), repr(said + written)
    assert not any(line.startswith("b") for line in lines)


def test_json_that_is_shown_is_the_same_value() -> None:
    assert json.loads(jsontext.dumps_to_show({HOSTILE: [HOSTILE, "\u00e9", "\u3042"]})) == {
        HOSTILE: [HOSTILE, "\u00e9", "\u3042"]
    }
    assert "\u00e9" in jsontext.dumps_to_show("\u00e9")


def test_commands_print_by_the_functions_that_escape() -> None:
    """What is printed as it is holds nothing of others: features is the same everywhere, json.dumps() gives ASCII."""
    raw = {"print_out", "write", "print"}
    for path in (CHECKOUT / "runtime/pyrunc/commands").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).split(".")[-1] in raw
                and "print" in ast.unparse(node.func)
            ):
                assert (path.stem, ast.unparse(node.args[0]).partition("(")[0]) in {
                    ("features", "json.dumps"),
                    ("doctor", "_json"),
                }
