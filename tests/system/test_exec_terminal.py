"""exec with a terminal: over a console socket, and on the caller's own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.consoles import TerminalSession, console_socket, read_until, receive_ptmx, set_size
from tests.peers import differs
from tests.runtime import Container, Runtime, error_text
from tests.system.test_exec import execute
from tests.waiting import exit_code

LOOK = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo on /dev/tty > /dev/tty"


@pytest.fixture
def box(runtime: Runtime, bundle: Bundle) -> Iterator[Container]:
    """A running container that sleeps."""
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        yield container


def detached(box: Container, area: Path, *words: str | Path) -> bytes:
    """What a detached exec shows on the terminal that came through a console socket."""
    with console_socket(area / "console") as listener:
        options = ("--detach", "--console-socket", area / "console", "--pid-file", area / "pid")
        result = execute(box, *options, *words)
        assert result.returncode == 0, result.stderr
        ptmx, _ = receive_ptmx(listener)
        text = read_until(ptmx)
        os.close(ptmx)
    exit_code(int((area / "pid").read_text()))
    return text


def test_console_socket(box: Container, area: Path) -> None:
    lines = detached(box, area, "--tty", "ID", "sh", "-c", LOOK).decode().splitlines()
    assert lines[0].startswith("/dev/pts/")
    assert lines[1:] == ["all", "on /dev/tty"]


@differs(crun="1.8.1 leaves the terminal to root, and without --tty makes none")
@pytest.mark.parametrize("options", [("--tty",), ()], ids=["with --tty", "without"])
def test_terminal_of_a_process_file(box: Container, area: Path, options: tuple[str, ...]) -> None:
    """conmon up to 2.1.10 gives --tty beside it, later ones do not."""
    process = box.bundle.process | {
        "args": ["sh", "-c", "stty size; stat -c %u $(tty)"],
        "terminal": True,
        "consoleSize": {"height": 11, "width": 22},
        "user": {"uid": 1000, "gid": 1000},
    }
    (area / "process").write_text(json.dumps(process))
    text = detached(box, area, *options, "--process", area / "process", "ID")
    assert text.split() == [b"11", b"22", b"1000"]


def test_terminal_in_a_user_namespace(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    with runtime.running(bundle.user_namespace().shell("exec sleep 1000")) as box:
        text = detached(box, area, "--tty", "ID", "sh", "-c", "stat -c %u $(tty); echo x > /dev/tty")
    assert text.split() == [b"0", b"x"]


@differs(crun="1.8.1 does not pass the size on")
def test_foreground(box: Container) -> None:
    session = TerminalSession(box.runtime.argv("exec", "--tty", box.id, "sh"), rows=30, columns=90)
    session.write(b"echo $((6*7)); stty size\n")
    session.read_until(b"42\r\n30 90")
    set_size(session.ptmx, 12, 34)
    session.write(b"while test \"$(stty size)\" != '12 34'; do :; done; echo $((5*5))\n")
    session.read_until(b"25\r\n")
    session.write(b"exit 5\n")
    assert session.process.wait() == 5
    assert session.close() == 5


@differs(crun="1.28 has them in a pipe, too")
def test_output_of_a_pipe_has_no_carriage_returns(box: Container, area: Path) -> None:
    argv = box.runtime.argv("exec", "--tty", box.id, "sh", "-c", "echo a; echo b")
    session = TerminalSession(["sh", "-c", '"$@" | tee "$0"', str(area / "output"), *argv])
    session.read_until(b"a\r\nb\r\n")
    assert session.close() == 0
    assert (area / "output").read_bytes() == b"a\nb\n"


def test_interrupt_from_the_keyboard(box: Container) -> None:
    session = TerminalSession(box.runtime.argv("exec", "-t", box.id, "sh", "-c", "echo up; exec sleep 1000"))
    session.read_until(b"up")
    session.write(b"\x03")
    assert session.close() == 130


def test_container_with_a_terminal_gives_none_to_exec(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.process["terminal"] = True
    options = ("--console-socket", area / "console")
    with console_socket(area / "console") as listener, runtime.running(bundle.shell("sleep 1000"), *options) as box:
        ptmx, _ = receive_ptmx(listener)
        result = execute(box, "ID", "sh", "-c", "test -t 0 || echo none")
        assert result.stdout == "none\n"
        os.close(ptmx)


@differs(crun="1.8.1 takes the caller's terminal")
def test_detached_terminal_without_a_console_socket(box: Container) -> None:
    error_text(execute(box, "--detach", "--tty", "ID", "true"), "socket")


@differs(crun="1.8.1 leaves the socket alone")
def test_console_socket_without_a_terminal(box: Container, area: Path) -> None:
    with console_socket(area / "console"):
        error_text(execute(box, "--console-socket", area / "console", "ID", "true"), "socket")


def test_missing_console_socket(box: Container, area: Path) -> None:
    error_text(execute(box, "--detach", "--tty", "--console-socket", area / "none", "ID", "true"))
