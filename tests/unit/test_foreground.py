"""pyrunc.wings.foreground: a runner process attends a child, on real terminals, as `run` attends a container."""

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import DEADLINE, eventually

RUNNER = """
import os, sys
from tests.kernelcalls import PR_SET_CHILD_SUBREAPER, prctl
from pyrunc.wings import foreground
prctl(PR_SET_CHILD_SUBREAPER, 1)
main, peer = os.openpty() if sys.argv[1] == "terminal" else (-1, -1)
signals = foreground.Signals()
pid = os.fork()
if pid == 0:
    os.setsid()
    if peer >= 0:
        os.login_tty(peer)
    os.execvp("sh", ["sh", "-c", sys.argv[2]])
if peer >= 0:
    os.close(peer)
sys.exit(foreground.attend(pid, signals, main))
"""
CHECKOUT = Path(__file__).resolve().parents[2]
MODES = ("terminal", "streams")


@contextlib.contextmanager
def running(mode: str, script: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A runner that attends a shell script; killed at the end if it still runs."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | options
    env = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT}/runtime"}
    with subprocess.Popen([sys.executable, "-c", RUNNER, mode, script], env=env, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def run(mode: str, script: str, **options: Any) -> tuple[int, bytes]:
    """(status of the runner, what it wrote)."""
    with running(mode, script, **options) as process:
        output, _ = process.communicate(timeout=DEADLINE)
        return process.returncode, output


def read_until(fd: int, end: bytes) -> bytes:
    """Read up to and with these bytes."""
    content = b""
    while end not in content:
        ready, _, _ = select.select([fd], [], [], DEADLINE)
        assert ready, f"waited in vain for {end!r} after {content!r}"
        chunk = os.read(fd, 1024)
        assert chunk, f"the end came after {content!r}, before {end!r}"
        content += chunk
    return content


class OuterTerminal:
    """The terminal of the user who calls the runner."""

    def __init__(self) -> None:
        """Open it, with 24 lines of 80 columns."""
        self.main, self.peer = pty.openpty()
        termios.tcsetwinsize(self.peer, (24, 80))
        self.streams = {"stdin": self.peer, "stdout": self.peer}

    def attributes(self) -> list[Any]:
        """Its modes."""
        return termios.tcgetattr(self.peer)

    def is_raw(self) -> bool:
        """Whether it neither edits lines, echoes, makes signals nor changes the output."""
        _, output, _, local, *_ = self.attributes()
        return not local & (termios.ICANON | termios.ECHO | termios.ISIG) and not output & termios.OPOST


@pytest.fixture
def outer() -> Iterator[OuterTerminal]:
    """A terminal for the runner."""
    terminal = OuterTerminal()
    yield terminal
    os.close(terminal.main)
    os.close(terminal.peer)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
def test_status(mode: str, script: str, status: int) -> None:
    assert run(mode, script)[0] == status


def test_the_end_is_seen_without_its_signal() -> None:
    """SIGCHLD leaves its byte in a pipe, which may fail; the pipe is a full disk here."""
    deaf = RUNNER.replace(
        "sys.exit", "os.dup2(os.open('/dev/full', os.O_WRONLY | os.O_NONBLOCK), signals._writer)\nsys.exit"
    )
    env = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT}/runtime"}
    words = [sys.executable, "-c", deaf, "streams", "sleep 0.2; exit 7"]
    assert subprocess.run(words, env=env, check=False, timeout=DEADLINE, stderr=-3).returncode == 7


def test_no_byte_is_lost_in_a_flood(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 32
    (tmp_path / "data").write_bytes(data)
    status, output = run("terminal", f"stty -opost; exec cat {tmp_path}/data")
    assert status == 0
    assert hashlib.sha256(output).hexdigest() == hashlib.sha256(data).hexdigest()


def full_pipe() -> tuple[int, int, bytes]:
    """(reading end, writing end, content) of a pipe that not a byte more goes into."""
    reader, writer = os.pipe()
    content = b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    os.write(writer, content)
    return reader, writer, content


@pytest.mark.parametrize("size", [1, 4095, 8192])
def test_no_byte_is_lost_when_the_reader_is_late(tmp_path: Path, size: int) -> None:
    """The program ends when the terminal and the runner have taken its output, which nobody has read yet."""
    data = bytes(i % 251 for i in range(size))
    (tmp_path / "data").write_bytes(data)
    script = f"stty -opost; echo $$ > {tmp_path}/pid; exec cat {tmp_path}/data"
    reader, writer, before = full_pipe()
    with running("terminal", script, stdout=writer) as process:
        os.close(writer)
        wait_for_the_end_of_what_wrote(tmp_path / "pid")
        with open(reader, "rb") as stream:
            assert stream.read() == before + data
        assert process.wait(DEADLINE) == 0


def wait_for_the_end_of_what_wrote(pid_file: Path) -> None:
    """Wait until the process whose pid this is has been reaped."""
    eventually(lambda: pid_file.exists() and pid_file.read_text(), "the program")
    pid = int(pid_file.read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the program to end")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "TERM", "TSTP", "ALRM", "SYS", "RTMIN+1"])
def test_signal_is_forwarded(mode: str, name: str) -> None:
    number = signal.SIGRTMIN + 1 if name == "RTMIN+1" else signal.Signals[f"SIG{name}"]
    script = f"trap 'echo caught; exit 9' {int(number)}; echo ready; while :; do sleep 0.05; done"
    with running(mode, script) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready")
        process.send_signal(number)
        read_until(process.stdout.fileno(), b"caught")
        assert process.wait(DEADLINE) == 9


def test_signals_that_are_not_forwarded() -> None:
    traps = "".join(f"trap 'echo {name}' {name};" for name in ("CHLD", "URG", "PIPE", "WINCH", "TTIN", "TTOU"))
    script = f"{traps} trap 'echo last; exit' USR1; echo ready; while :; do read x; done"
    reader, writer = os.pipe()
    with running("streams", script, stdin=reader) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        for name in ("CHLD", "URG", "PIPE", "WINCH"):
            process.send_signal(signal.Signals[f"SIG{name}"])
        process.send_signal(signal.SIGUSR1)
        assert read_until(process.stdout.fileno(), b"last\n") == b"last\n"
    os.close(reader)
    os.close(writer)


def test_nohup() -> None:
    # A shell cannot set a trap for a signal that it finds ignored.
    forget = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execvp('sh', sys.argv[1:])"
    script = "trap 'echo caught' HUP; trap 'echo last; exit 4' USR1; echo ready; while :; do sleep 0.05; done"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running("streams", f'exec {sys.executable} -IS -c "{forget}" sh -c "{script}"') as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), b"ready\n")
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGUSR1)
            assert read_until(process.stdout.fileno(), b"last\n") == b"last\n"
            assert process.wait(DEADLINE) == 4
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_the_caller_blocks_are_forwarded() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        with running("streams", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done") as process:
            assert process.stdout is not None
            read_until(process.stdout.fileno(), b"ready")
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 9
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_raw_mode_and_back(outer: OuterTerminal) -> None:
    before = outer.attributes()
    with running("terminal", "echo ready; read line; exit 3", **outer.streams) as process:
        read_until(outer.main, b"ready\r\n")
        assert outer.is_raw()
        os.write(outer.main, b"\r")
        assert process.wait(DEADLINE) == 3
    assert outer.attributes() == before


def test_modes_are_restored_when_the_program_is_killed(outer: OuterTerminal) -> None:
    before = outer.attributes()
    with running("terminal", "echo ready; exec sleep 1000", **outer.streams) as process:
        read_until(outer.main, b"ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 143
    assert outer.attributes() == before


@pytest.mark.parametrize(("key", "status"), [(b"\x03", 130), (b"\x1c", 131)])
def test_keys_make_signals_in_the_container(outer: OuterTerminal, key: bytes, status: int) -> None:
    with running("terminal", "ulimit -c 0; echo ready; exec sleep 1000", **outer.streams) as process:
        read_until(outer.main, b"ready")
        os.write(outer.main, key)
        assert process.wait(DEADLINE) == status


def test_what_is_typed_arrives_whole(outer: OuterTerminal) -> None:
    data = bytes(range(1, 256)) * 400
    with running(
        "terminal", f"stty raw -echo; echo ready; head -c {len(data)} | sha256sum", **outer.streams
    ) as process:
        read_until(outer.main, b"ready")
        todo = data
        while todo:
            _, writable, _ = select.select([], [outer.main], [], DEADLINE)
            assert writable, "the runner does not read its terminal"
            todo = todo[os.write(outer.main, todo[:512]) :]
        read_until(outer.main, hashlib.sha256(data).hexdigest().encode())
        assert process.wait(DEADLINE) == 0


def test_window_size(outer: OuterTerminal) -> None:
    with running("terminal", "while stty size; do sleep 0.05; done", **outer.streams) as process:
        read_until(outer.main, b"24 80")
        termios.tcsetwinsize(outer.peer, (50, 132))
        process.send_signal(signal.SIGWINCH)
        read_until(outer.main, b"50 132")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 143


def test_terminal_is_closed_and_opened_anew() -> None:
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.2; exec >/dev/tty; echo again; exec sleep 1000"
    with running("terminal", script) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 143


def test_stdin_at_its_end_and_a_reader_that_goes() -> None:
    with running("terminal", "echo one; read line; exit 6") as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"one")
        process.stdout.close()
        process.send_signal(signal.SIGUSR1)
        assert process.wait(DEADLINE) == 128 + signal.SIGUSR1


def test_reader_that_goes_does_not_block_the_program() -> None:
    reader, writer = os.pipe()
    with running(
        "terminal", "read line; yes | head -c 1000000; exit 6", stdout=writer, stdin=subprocess.PIPE
    ) as process:
        os.close(reader)
        os.close(writer)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(DEADLINE) == 6


def test_signal_ends_the_wait_for_a_reader_of_the_rest(tmp_path: Path) -> None:
    reader, writer, _ = full_pipe()
    with running("terminal", f"echo $$ > {tmp_path}/pid; echo the rest", stdout=writer) as process:
        wait_for_the_end_of_what_wrote(tmp_path / "pid")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    os.close(reader)
    os.close(writer)


def test_orphans_are_reaped(tmp_path: Path) -> None:
    script = f"(true & echo $! > {tmp_path}/orphan); trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"
    with running("streams", script) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready")
        orphan = int((tmp_path / "orphan").read_text())
        eventually(lambda: not Path(f"/proc/{orphan}").exists(), "the orphan to be reaped")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 8
