"""Terminals: console socket, foreground run, sizes, raw mode, and contradictory options."""

import os
import socket
import termios
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.consoles import TerminalSession, console_socket, read_until, receive_ptmx, set_size
from tests.peers import differs
from tests.runtime import Runtime, new_id
from tests.waiting import eventually, exit_code


@pytest.fixture
def terminal_bundle(bundle: Bundle) -> Bundle:
    """A bundle whose process wants a terminal."""
    bundle.process["terminal"] = True
    return bundle


def detached_output(runtime: Runtime, bundle: Bundle, path: Path) -> bytes:
    """What a container shows on the terminal that came through the console socket at path."""
    with console_socket(path) as listener, runtime.created(bundle, "--console-socket", path) as container:
        ptmx, data = receive_ptmx(listener)
        assert data
        pid = container.pid
        container.start()
        text = read_until(ptmx)
        os.close(ptmx)
        exit_code(pid)
    path.unlink()
    return text


def test_console_socket(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    terminal_bundle.shell("tty; test -t 0 && test -t 1 && test -t 2 && echo all; stat -Lc %t:%T /dev/console $(tty)")
    lines = detached_output(runtime, terminal_bundle, area / "console").decode().splitlines()
    assert lines[0] in ("/dev/pts/0", "/dev/console")
    assert lines[1] == "all"
    assert lines[2] == lines[3]  # /dev/console is the terminal


@differs(crun="1.8.1 sends a byte and no name", runc="1.1.5 may leave the cgroup when its process is still ending")
def test_console_socket_gets_the_name_of_the_terminal(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    path = area / "console"
    with console_socket(path) as listener, runtime.created(terminal_bundle, "--console-socket", path):
        ptmx, data = receive_ptmx(listener)
        os.close(ptmx)
    assert data.startswith(b"/dev/pt")  # /dev/pts/0; runc: /dev/ptmx


@differs(runc="1.1.5 is limited by the length of a socket address")
def test_path_of_the_socket_longer_than_a_socket_address(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    directory = area / ("d" * 200)
    directory.mkdir()
    assert detached_output(runtime, terminal_bundle.shell("echo hello"), directory / "console") == b"hello\r\n"


def test_terminal_is_the_controlling_one(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    # 7th field of stat is tty_nr; a device number other than 0 says that there is a controlling terminal.
    terminal_bundle.shell("echo nr $(cut -d' ' -f7 /proc/self/stat); echo x > /dev/tty")
    text = detached_output(runtime, terminal_bundle, area / "console").decode()
    assert "nr 0\r" not in text
    assert text.endswith("x\r\n")


@pytest.mark.parametrize("height, width", [(10, 20), (50, 132)])
def test_console_size(runtime: Runtime, terminal_bundle: Bundle, area: Path, height: int, width: int) -> None:
    terminal_bundle.process["consoleSize"] = {"height": height, "width": width}
    text = detached_output(runtime, terminal_bundle.shell("stty size"), area / "console")
    assert text.split() == [str(height).encode(), str(width).encode()]


def test_terminal_belongs_to_the_containers_user(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    terminal_bundle.process["user"] = {"uid": 1000, "gid": 1000}
    text = detached_output(runtime, terminal_bundle.shell("stat -c %u $(tty); echo x > /dev/tty"), area / "console")
    assert text.split() == [b"1000", b"x"]


def test_terminal_in_a_user_namespace(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    terminal_bundle.user_namespace()
    text = detached_output(runtime, terminal_bundle.shell("stat -c %u $(tty); echo x > /dev/tty"), area / "console")
    assert text.split() == [b"0", b"x"]


def test_output_written_just_before_the_end_is_not_lost(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    terminal_bundle.shell("seq 1 20000")
    text = detached_output(runtime, terminal_bundle, area / "console")
    assert text.split() == [str(number).encode() for number in range(1, 20001)]


def test_detached_terminal_without_a_console_socket(runtime: Runtime, terminal_bundle: Bundle) -> None:
    runtime.create_fails(terminal_bundle, "socket")


@differs(crun="1.8.1 leaves the socket alone")
def test_console_socket_without_a_terminal(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    with console_socket(area / "console"):
        runtime.create_fails(bundle, "socket", options=("--console-socket", area / "console"))


def test_missing_console_socket(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    runtime.create_fails(terminal_bundle, options=("--console-socket", area / "none"))


def test_console_socket_that_is_a_file(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    (area / "file").touch()
    runtime.create_fails(terminal_bundle, options=("--console-socket", area / "file"))


def test_console_socket_of_another_type(runtime: Runtime, terminal_bundle: Bundle, area: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(area / "console"))
        runtime.create_fails(terminal_bundle, options=("--console-socket", area / "console"))


@pytest.fixture
def session_argv(runtime: Runtime, terminal_bundle: Bundle) -> list[str]:
    """Command line of a foreground run of the terminal bundle; the test saves the bundle."""
    return runtime.argv("run", "--bundle", terminal_bundle.path, new_id())


def test_foreground_run(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    terminal_bundle.shell("stty -echo; echo ready; read word; echo got $word; exit 7").save(session_argv[-1])
    session = TerminalSession(session_argv)
    session.read_until(b"ready\r\n")
    session.write(b"something\n")
    session.read_until(b"got something\r\n")
    assert session.close() == 7


@differs(crun="1.8.1 ends with an error when stdin is no terminal")
@pytest.mark.parametrize("content", ["", "something\n"])
def test_end_of_stdin_is_not_the_end_of_the_terminal(
    runtime: Runtime, terminal_bundle: Bundle, session_argv: list[str], area: Path, content: str
) -> None:
    """What stdin holds is typed, and the program goes on waiting for more; its output still comes."""
    (area / "stdin").write_text(content)
    script = f"stty -echo; trap 'echo ended; exit 3' TERM; echo ready; {'read word;' if content else ''} echo got=$word"
    terminal_bundle.shell(f"{script}; while :; do sleep 0.05; done").save(session_argv[-1])
    session = TerminalSession(["sh", "-c", f'exec "$@" < {area}/stdin', "sh", *session_argv])
    session.read_until(f"got={content.strip()}\r".encode())
    assert runtime.kill(session_argv[-1], "TERM").returncode == 0
    session.read_until(b"ended")
    assert session.close() == 3


@differs(crun="1.8.1 sets no size at first")
def test_foreground_run_has_the_callers_size(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    terminal_bundle.shell("until stty size 2>&1 | grep '33 99'; do sleep 0.01; done").save(session_argv[-1])
    session = TerminalSession(session_argv, rows=33, columns=99)
    session.read_until(b"33 99")
    assert session.close() == 0


@differs(crun="1.8.1 reports a size of 0 until the second change")
def test_window_changes_are_passed_on(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    # No `read`: that of busybox 1.38 returns nothing more once a trap has interrupted it.
    script = "trap 'stty size' WINCH; echo ready; until [ -e /tmp/end ]; do sleep 0.05; done"
    terminal_bundle.shell(script).save(session_argv[-1])
    session = TerminalSession(session_argv)
    session.read_until(b"ready")
    set_size(session.ptmx, 40, 100)
    session.read_until(b"40 100")
    set_size(session.ptmx, 41, 101)
    session.read_until(b"41 101")
    (terminal_bundle.rootfs / "tmp/end").touch()
    assert session.close() == 0


def raw(session: TerminalSession) -> bool:
    """Whether the caller's terminal no longer echoes, edits lines or makes signals."""
    local = termios.tcgetattr(session.pts)[3]
    return not local & (termios.ICANON | termios.ECHO | termios.ISIG)


def test_callers_terminal_is_raw_and_then_restored(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    terminal_bundle.shell("echo ready; read word").save(session_argv[-1])
    session = TerminalSession(session_argv)
    session.read_until(b"ready")
    assert raw(session)
    session.write(b"\n")
    eventually(lambda: termios.tcgetattr(session.pts) == session.settings, "the terminal to be restored")
    assert session.close() == 0


def test_interrupt_key_reaches_the_container(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    terminal_bundle.shell("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done")
    terminal_bundle.save(session_argv[-1])
    session = TerminalSession(session_argv)
    session.read_until(b"ready")
    session.write(b"\x03")
    session.read_until(b"interrupted")
    assert session.close() == 3


@differs(crun="1.28 has them in a pipe, too")
def test_output_of_a_pipe_has_no_carriage_returns(
    terminal_bundle: Bundle, session_argv: list[str], area: Path
) -> None:
    """And the screen, on which the pipe may end, looks as ever."""
    terminal_bundle.shell("echo a; echo b").save(session_argv[-1])
    session = TerminalSession(["sh", "-c", '"$@" | tee "$0"', str(area / "output"), *session_argv])
    session.read_until(b"a\r\nb\r\n")
    assert session.close() == 0
    assert (area / "output").read_bytes() == b"a\nb\n"


def test_flood_of_output_in_the_foreground(terminal_bundle: Bundle, session_argv: list[str]) -> None:
    terminal_bundle.shell("seq 1 50000; echo end").save(session_argv[-1])
    session = TerminalSession(session_argv)
    text = session.read_until(b"end")
    assert text.split()[:50000] == [str(number).encode() for number in range(1, 50001)]
    assert session.close() == 0
