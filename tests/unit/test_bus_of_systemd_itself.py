"""systemd's manager without a D-Bus daemon: it listens itself, which a server stands in for that knows one answer."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from errno import ECONNREFUSED, ENOENT
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.wings.systemd import bus, scopes

CGROUP = b"/user.slice/user-7.slice"


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("unix:path=/run/dbus/system_bus_socket", "unix:path=/run/systemd/private"),
        ("unix:path=/run/user/7/bus", "unix:path=/run/user/7/systemd/private"),
        ("unix:path=/run/user/7/bus,guid=0123", "unix:path=/run/user/7/systemd/private"),
        ("unix:path=/tmp/dbus-Xy12", ""),
        ("unix:path=/tmp/dbus/system_bus_socket", ""),
        ("unix:abstract=/run/user/7/bus", ""),
        ("tcp:host=localhost,port=7/bus", ""),
    ],
)
def test_where_it_listens(address: str, own: str) -> None:
    assert bus.private(address) == own


class Server:
    """`private` of a manager; asked: the members that were called."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.thread = threading.Thread(target=self.serve)
        self.delay = 0.0

    def serve(self) -> None:
        time.sleep(self.delay)
        self.socket.listen()
        connection, _ = self.socket.accept()
        with connection:
            said = b""
            while not said.endswith(b"BEGIN\r\n"):
                said += connection.recv(1000)
            assert said.startswith(b"\0AUTH EXTERNAL\r\nDATA\r\n"), said
            connection.sendall(b"DATA\r\nOK " + b"0" * 32 + b"\r\n" + b"AGREE_UNIX_FD\r\n")
            while message := connection.recv(10000):
                self.asked.append(next(m for m in ("Hello", "AddMatch", "Get") if f"{m}\0".encode() in message))
                (serial,) = struct.unpack_from("<I", message, 8)
                connection.sendall(answer(serial))


def answer(serial: int) -> bytes:
    """A method's return (D-Bus specification, "Message Protocol"): a variant that holds a string."""
    body = b"\1s\0\0" + struct.pack("<I", len(CGROUP)) + CGROUP + b"\0"
    fields = struct.pack("<BBBxI", 5, 1, ord("u"), serial) + b"\x08\1g\0\1v\0"
    header = struct.pack("<cBBBIII", b"l", 2, 1, 1, len(body), 7, len(fields)) + fields
    return header + b"\0" * (-len(header) % 8) + body


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "systemd").mkdir()
    return tmp_path


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    server = Server(place / "systemd/private")
    yield server
    server.socket.close()


@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize("daemon_is_gone", [True, False])
def test_it_is_asked_itself(place: Path, server: Server, delay: float, *, daemon_is_gone: bool) -> None:
    """Neither a greeting nor a match, which are for a daemon; while it executes itself anew it is waited for."""
    if daemon_is_gone:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(place / "bus"))
    server.delay = delay
    server.thread.start()
    manager = scopes.Manager(f"unix:path={place}/bus")
    assert (manager.direct, manager.cgroup()) == (True, CGROUP.decode())
    manager.close()
    server.thread.join()
    assert server.asked == ["Get"]


def test_nobody_at_all(place: Path) -> None:
    with pytest.raises(PyruncError, match=f"connect to systemd's bus at `unix:path={place}/bus`") as caught:
        scopes.Manager(f"unix:path={place}/bus")
    assert caught.value.errno == ENOENT


def test_it_is_not_waited_for_without_end(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_DEADLINE", 0.1)
    assert os.path.exists(place / "systemd/private")
    assert not server.thread.is_alive()
    with pytest.raises(PyruncError) as caught:
        scopes.Manager(f"unix:path={place}/bus")
    assert caught.value.errno == ECONNREFUSED


def test_address_of_another_bus_is_the_only_one(place: Path, server: Server) -> None:
    with pytest.raises(PyruncError) as caught:
        scopes.Manager(f"unix:path={place}/other")
    assert caught.value.errno == ENOENT
    assert server.asked == []
