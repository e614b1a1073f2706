"""Terminals as callers handle them: a console socket that receives the ptmx, and a pty for a foreground run."""

import array
import contextlib
import fcntl
import os
import pty
import select
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import DEADLINE


@contextlib.contextmanager
def console_socket(path: Path) -> Iterator[socket.socket]:
    """A listening socket at path for --console-socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.settimeout(DEADLINE)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)  # sun_path holds 107 bytes only
        try:
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        listener.listen()
        yield listener


def receive_ptmx(listener: socket.socket) -> tuple[int, bytes]:
    """The descriptor that the runtime sends over the console socket, and the data beside it, as conmon takes them."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(DEADLINE)
        data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(8 * 4))
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    assert len(descriptors) == 1, f"{len(descriptors)} descriptors came"
    return descriptors[0], data


def read_until(ptmx: int, word: bytes = b"") -> bytes:
    """Read from a terminal until the word has come, or without a word until the other side is closed."""
    text = b""
    while not word or word not in text:
        readable, _, _ = select.select([ptmx], [], [], DEADLINE)
        assert readable, f"no more output within {DEADLINE:.0f} s after {text!r}"
        try:
            part = os.read(ptmx, 65536)
        except OSError:  # EIO: the last open file of the other side is closed
            part = b""
        if not part:
            assert not word, f"{word!r} has not come, but {text!r}"
            return text
        text += part
    return text


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Set a terminal's size; its foreground process group gets SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class TerminalSession:
    """A command that runs on a pty of its own, as under a person's terminal."""

    def __init__(self, argv: list[str], rows: int = 24, columns: int = 80) -> None:
        """Start argv as leader of a session whose controlling terminal is the pty."""
        self.ptmx, self.pts = pty.openpty()
        set_size(self.ptmx, rows, columns)
        self.settings = termios.tcgetattr(self.pts)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv], stdin=self.pts, stdout=self.pts, stderr=self.pts
        )

    def write(self, data: bytes) -> None:
        """Type something."""
        os.write(self.ptmx, data)

    def read_until(self, word: bytes) -> bytes:
        """Read what is shown until the word has come."""
        return read_until(self.ptmx, word)

    def close(self) -> int:
        """Wait for the command's end and close the pty; the exit code."""
        try:
            return self.process.wait(DEADLINE)
        finally:
            os.close(self.ptmx)
            os.close(self.pts)
