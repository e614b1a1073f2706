"""pyrunc.wings.systemd.notify: what the container says, and what of it reaches the service manager."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.wings.systemd import notify

from tests.waiting import DEADLINE


class Manager:
    """A service manager that reads its notify socket as systemd does, and closes the descriptors that it gets."""

    def __init__(self, address: str) -> None:
        """Listen."""
        self.messages: list[bytes] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(DEADLINE)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        while True:
            message, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
            if message == b"end":
                return
            self.messages.append(message)
            for fd in fds:
                os.close(fd)

    def end(self) -> None:
        """Stop, once everything before is read."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.socket.getsockname())
            sender.send(b"end")
        self.thread.join()
        self.socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager at `manager` in the test's directory."""
    manager = Manager(str(tmp_path / "manager"))
    yield manager
    manager.end()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[int]:
    """A state directory, as a descriptor."""
    (tmp_path / "state").mkdir(mode=0o700)
    fd = os.open(tmp_path / "state", os.O_RDONLY)
    notify.make_directory(fd)
    yield fd
    os.close(fd)


CONTAINER = """
import signal, socket, sys
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect(sys.argv[1])
for message in sys.argv[3:]:
    sender.send(message.encode())
if sys.argv[2] == "stays":
    signal.pause()
"""


def container(tmp_path: Path, *messages: str, then: str) -> subprocess.Popen[bytes]:
    """A process that sends these and then "stays" or "ends". No fork: the service manager is a thread."""
    path = str(tmp_path / "state/notify/notify.sock")
    return subprocess.Popen([sys.executable, "-IS", "-c", CONTAINER, path, then, *messages])


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ""),
        ({b"NOTIFY_SOCKET": b""}, ""),
        ({b"NOTIFY_SOCKET": b"/run/systemd/notify"}, "/run/systemd/notify"),
        ({b"NOTIFY_SOCKET": b"@abstract"}, "@abstract"),
        ({b"NOTIFY_SOCKET": b"vsock:2:1234"}, ""),
        ({b"NOTIFY_SOCKET": b"relative"}, ""),
    ],
)
def test_host_address(environ: dict[bytes, bytes], address: str) -> None:
    assert notify.host_address(environ) == address


def test_mount_and_variable_name_the_same_file() -> None:
    source, destination, options = notify.mount("/run/pyrunc/x")
    assert source == "/run/pyrunc/x/notify"
    assert f"NOTIFY_SOCKET={destination}/notify.sock" == notify.VARIABLE
    assert {"bind", "ro", "nosuid", "nodev", "noexec"} == set(options)


def test_every_user_may_send(tmp_path: Path, state: int) -> None:
    before = os.umask(0o077)
    try:
        proxy = notify.Proxy(state, str(tmp_path / "manager"))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    facts = os.stat(tmp_path / "state/notify/notify.sock")
    assert stat.S_ISSOCK(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o777
    assert stat.S_IMODE(os.stat(tmp_path / "state/notify").st_mode) == 0o755
    proxy.close()


def test_only_readiness_is_reported(tmp_path: Path, state: int, manager: Manager) -> None:
    proxy = notify.Proxy(state, str(tmp_path / "manager"))
    said = ("STATUS=busy", "NOT_READY=1\nREADY=0\nREADY=11", "WATCHDOG=1", "MAINPID=1\nREADY=1\nSTATUS=done")
    with container(tmp_path, *said, then="stays") as process:
        try:
            assert proxy.wait(process.pid)
        finally:
            process.kill()
            proxy.close()
    assert manager.messages == [b"READY=1\n", b"MAINPID=%d\n" % process.pid, b"BARRIER=1"]


@pytest.mark.parametrize("said", ["STATUS=busy", "NOT_READY=1\nREADY=0\nREADY=11", "READY=1=1", ""])
def test_other_words_are_not_taken_for_readiness(tmp_path: Path, state: int, said: str) -> None:
    proxy = notify.Proxy(state, str(tmp_path / "manager"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(tmp_path / "state/notify/notify.sock"))
        sender.send(said.encode())
        assert not proxy.receive()
        sender.send(b"READY=1")
        assert proxy.receive()
    proxy.close()


def test_end_before_it_is_ready(tmp_path: Path, state: int) -> None:
    manager = Manager(str(tmp_path / "manager"))
    proxy = notify.Proxy(state, str(tmp_path / "manager"))
    with container(tmp_path, "STATUS=busy", then="ends") as process:
        assert not proxy.wait(process.pid)
    proxy.close()
    manager.end()
    assert manager.messages == []


def test_ready_and_at_once_at_its_end(tmp_path: Path, state: int, manager: Manager) -> None:
    proxy = notify.Proxy(state, str(tmp_path / "manager"))
    with container(tmp_path, "READY=1", then="ends") as process:
        assert proxy.wait(process.pid)
    proxy.close()
    assert manager.messages == [b"READY=1\n", b"MAINPID=%d\n" % process.pid, b"BARRIER=1"]


def test_report_in_the_foreground_names_no_process(tmp_path: Path, state: int) -> None:
    manager = Manager(str(tmp_path / "manager"))
    proxy = notify.Proxy(state, str(tmp_path / "manager"))
    proxy.report()
    proxy.close()
    manager.end()
    assert manager.messages == [b"READY=1\n"]


def test_service_manager_is_gone(tmp_path: Path, state: int) -> None:
    proxy = notify.Proxy(state, str(tmp_path / "none"))
    with pytest.raises(PyruncError, match="No such file or directory") as caught:
        proxy.report()
    assert str(tmp_path / "none") in str(caught.value)
    proxy.close()


def test_socket_is_not_bound_over_what_is_there(tmp_path: Path, state: int) -> None:
    (tmp_path / "state/notify/notify.sock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PyruncError, match="bind the container's notify socket"):
        notify.Proxy(state, str(tmp_path / "manager"))
    assert not (tmp_path / "elsewhere").exists()
