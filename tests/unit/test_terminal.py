"""kernel.process.terminal and unixsocket: terminals of a container's devpts, console sockets, sizes and modes."""

import fcntl
import os
import pty
import socket
import termios
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel import unixsocket
from pyrunc.kernel.process import terminal

from tests.kernelcalls import CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare


def in_private_mounts(function: Callable[[], None]) -> None:
    """Call the function in a child with mounts of its own (as an ordinary user also with a user namespace)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            uid, gid = os.geteuid(), os.getegid()
            unshare(CLONE_NEWNS | (CLONE_NEWUSER if uid else 0))
            if uid:
                Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            function()
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as report:
        problem = report.read().decode()
    os.waitpid(child, 0)
    assert not problem, problem


def open_console(root: Path, size: tuple[int, int] | None = None) -> tuple[int, int, str]:
    """A terminal of the container with this root."""
    fd = os.open(root, os.O_PATH)
    try:
        return terminal.open_console(fd, size)
    finally:
        os.close(fd)


def check(main: int, peer: int) -> None:
    """Both are ends of one terminal, and pass no exec."""
    for fd in (main, peer):
        assert os.isatty(fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.write(peer, b"one\n")
    assert os.read(main, 100) == b"one\r\n"


def test_open_console_in_the_containers_devpts(tmp_path: Path) -> None:
    def inside() -> None:
        mount("devpts", str(tmp_path / "dev/pts"), "devpts", 0, "newinstance,ptmxmode=0666")
        first, second = open_console(tmp_path, (30, 100)), open_console(tmp_path)
        assert [first[2], second[2]] == ["/dev/pts/0", "/dev/pts/1"]
        for main, peer, name in (first, second):
            check(main, peer)
            assert os.stat(f"{tmp_path}{name}").st_rdev == os.fstat(peer).st_rdev
            assert os.stat(f"{tmp_path}{name}").st_dev == os.fstat(peer).st_dev
        assert terminal.size_of(first[0]) == terminal.size_of(first[1]) == (30, 100)
        assert terminal.size_of(second[1]) is None

    (tmp_path / "dev/pts").mkdir(parents=True)
    in_private_mounts(inside)


PREPARED = ["missing", "symlink", "symlink to a devpts", "fifo", "ptmx is a fifo", "ptmx is a symlink", "tmpfs"]


@pytest.mark.parametrize("pts", PREPARED)
def test_open_console_without_a_devpts_of_the_container(tmp_path: Path, pts: str) -> None:
    def inside() -> None:
        if pts == "tmpfs":  # its root directory has the inode number of a devpts's
            mount("tmpfs", str(tmp_path / "dev/pts"), "tmpfs")
            os.mkfifo(tmp_path / "dev/pts/ptmx")
        elif pts == "symlink to a devpts":
            mount("devpts", str(tmp_path / "elsewhere"), "devpts", 0, "newinstance,ptmxmode=0666")
        main, peer, _ = open_console(tmp_path, (30, 100))
        check(main, peer)
        known = [Path("/dev/pts"), tmp_path / "dev/pts", tmp_path / "elsewhere"]
        assert os.fstat(peer).st_dev not in [os.stat(path).st_dev for path in known if path.exists()]

    (tmp_path / "dev").mkdir()
    if pts == "symlink":
        (tmp_path / "dev/pts").symlink_to("/dev/pts")
    elif pts == "symlink to a devpts":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "dev/pts").symlink_to("/elsewhere")
    elif pts == "fifo":
        os.mkfifo(tmp_path / "dev/pts")
    elif pts != "missing":
        (tmp_path / "dev/pts").mkdir()
        if pts == "ptmx is a fifo":
            os.mkfifo(tmp_path / "dev/pts/ptmx")
        elif pts == "ptmx is a symlink":
            (tmp_path / "dev/pts/ptmx").symlink_to("/dev/ptmx")
    in_private_mounts(inside)


def test_open_console_refuses_what_is_mounted_on_ptmx(tmp_path: Path) -> None:
    def inside() -> None:
        mount("devpts", str(tmp_path / "dev/pts"), "devpts", 0, "newinstance,ptmxmode=0666")
        mount("/dev/null", str(tmp_path / "dev/pts/ptmx"), "", MS_BIND)
        before = sorted(os.listdir("/proc/self/fd"))
        with pytest.raises(PyruncError, match=r"open a terminal for the container: Invalid cross-device link$"):
            open_console(tmp_path)
        assert sorted(os.listdir("/proc/self/fd")) == before

    (tmp_path / "dev/pts").mkdir(parents=True)
    in_private_mounts(inside)


@pytest.mark.parametrize("name", ["socket", "s" * 255])
@pytest.mark.parametrize("depth", [0, 20])
def test_send_console(tmp_path: Path, name: str, depth: int) -> None:
    directory = tmp_path.joinpath(*["a directory"] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "short"))
        listener.listen()
        (tmp_path / "short").rename(directory / name)
        main, peer = pty.openpty()
        terminal.send_console(str(directory / name), main, "/dev/pts/7")
        connection, _ = listener.accept()
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 4096, 8)
            assert data == b"/dev/pts/7"
            assert len(fds) == 1
            assert os.fstat(fds[0]) == os.fstat(main)
            assert connection.recv(1) == b""
    for fd in (main, peer, *fds):
        os.close(fd)


def send_fails(path: Path) -> str:
    """The error of sending a console there."""
    with pytest.raises(PyruncError) as caught:
        terminal.send_console(str(path), 0, "/dev/pts/0")
    return str(caught.value)


def test_console_socket_is_missing_or_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = tmp_path / "none"
    assert send_fails(missing) == f"connect to the console socket `{missing}`: No such file or directory"
    assert send_fails(tmp_path / "file") == f"the console socket `{tmp_path}/file` is not a socket"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (socket.SOCK_DGRAM, "Protocol wrong type for socket"),
        (socket.SOCK_SEQPACKET, "Protocol wrong type for socket"),
        (socket.SOCK_STREAM, "Connection refused"),
    ],
)
def test_console_socket_of_the_wrong_type_or_without_a_listener(tmp_path: Path, kind: int, reason: str) -> None:
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(tmp_path / "s"))
        if kind == socket.SOCK_SEQPACKET:
            bound.listen()
        assert send_fails(tmp_path / "s") == f"connect to the console socket `{tmp_path}/s`: {reason}"


def test_console_socket_that_nobody_accepts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unixsocket, "_PATIENCE", 1)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        waiting.connect(str(tmp_path / "s"))
        expected = f"connect to the console socket `{tmp_path}/s`: no answer within 1 s"
        assert send_fails(tmp_path / "s") == expected


def test_size() -> None:
    main, peer = pty.openpty()
    assert terminal.size_of(main) is None
    terminal.set_size(peer, (5, 70_000))
    assert terminal.size_of(main) == (5, 0xFFFF)
    os.close(main)
    os.close(peer)
    with open("/dev/null") as null:
        assert terminal.size_of(null.fileno()) is None


def test_raw_and_restore() -> None:
    main, peer = pty.openpty()
    before = termios.tcgetattr(peer)
    attributes = terminal.raw(peer, output=True)
    assert attributes == before
    os.write(main, b"\x03\x04\r\n\x1a")
    assert os.read(peer, 100) == b"\x03\x04\r\n\x1a"
    os.write(peer, b"\n")
    assert os.read(main, 100) == b"\n"
    terminal.restore(peer, attributes)
    assert termios.tcgetattr(peer) == before
    os.close(main)
    terminal.restore(peer, attributes)  # hung up: no error
    os.close(peer)
