"""A stand-in for `criu swrk`: it writes the requests it gets to a file as hexadecimal lines, and answers.

It has the version that FAKE_CRIU_VERSION names ("4 1"), dumps successfully and restores nothing, or with a file
DIR/restores a process that sleeps; while there is a file DIR/hold it does not answer. What is in DIR/at-version is run
by the shell when it is asked for its version. For the options whose effect cannot be tried here, and for what is
refused before criu is asked.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path

_DUMPED = b"\x08\x01\x10\x01"  # type DUMP, success
_REFUSED = b"\x08\x02\x10\x00\x38\x16"  # type RESTORE, no success, EINVAL
_SYS_CLONE, _CLONE_PARENT = 56, 0x8000  # x86-64


def install(directory: Path) -> dict[str, str]:
    """Put it as `criu` into the (new) directory; the environment that makes it found. Requests go to DIR/requests."""
    directory.mkdir()
    program = directory / "criu"
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text() + "\nrun()\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin", "FAKE_CRIU_VERSION": "4 1"}


def run() -> None:
    """Be the program that was installed; that its caller was killed is no fault of it."""
    with contextlib.suppress(BrokenPipeError):
        serve(Path(sys.argv[0]).parent)


def serve(directory: Path) -> None:
    """Answer one request: VERSION (10), RESTORE (2), or DUMP and PRE_DUMP."""
    with socket.socket(fileno=int(sys.argv[2])) as channel:
        request = channel.recv(1 << 20)
        if request[1] == 10:
            if (directory / "at-version").exists():
                os.system((directory / "at-version").read_text())
            major, minor = map(int, os.environ["FAKE_CRIU_VERSION"].split())
            channel.send(bytes((0x08, 10, 0x10, 1, 0x52, 4, 0x08, major, 0x10, minor)))
            return
        with (directory / "requests").open("a") as requests:
            requests.write(request.hex() + "\n")
        while (directory / "hold").exists():
            time.sleep(0.01)
        if request[1] == 2:
            channel.send(_restore(channel) if (directory / "restores").exists() else _REFUSED)
        else:
            channel.send(_DUMPED)


def _restore(channel: socket.socket) -> bytes:
    """The answer: our caller, which is asked about it twice, has one more child (criu's `rst_sibling`); it sleeps."""
    pid = ctypes.CDLL(None).syscall(_SYS_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "1000"])
    for script in (b"setup-namespaces", b"post-restore"):
        notification = bytes((0x0A, len(script))) + script + b"\x10" + _varint(pid)
        channel.send(b"\x08\x06\x10\x01\x2a" + bytes((len(notification),)) + notification)
        if not channel.recv(1 << 10).endswith(b"\x18\x01"):  # notify_success
            os.kill(pid, signal.SIGKILL)
            return _REFUSED
    inner = b"\x08" + _varint(pid)
    return b"\x08\x02\x10\x01\x22" + bytes((len(inner),)) + inner


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*result, value))
