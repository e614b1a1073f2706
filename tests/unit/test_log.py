"""Where messages go: what a daemon that keeps logs is sent, and a log that cannot be written."""

import os
import socket
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.log import Log
from pyrunc.wings import logdaemon


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(tmp_path / "socket")
    monkeypatch.setattr(logdaemon, "SOCKETS", dict.fromkeys(logdaemon.SOCKETS, path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(30)
        yield listener


def test_syslog_gets_a_datagram_for_each_message(daemon: socket.socket, capfd: pytest.CaptureFixture[str]) -> None:
    log = Log("syslog:box")
    log.check()
    log.warning("it is late\nPRIORITY=0")
    log.error("it failed")
    assert daemon.recv(999).decode() == f"<12>box[{os.getpid()}]: it is late\\nPRIORITY=0"
    assert daemon.recv(999).decode() == f"<11>box[{os.getpid()}]: it failed"
    assert capfd.readouterr().err == "it failed\n"


def test_journald_gets_no_field_of_a_messages_making(daemon: socket.socket) -> None:
    log = Log("journald:a\nb", "json")
    log.error("it\nUID=0")
    fields = daemon.recv(999).decode().splitlines()
    assert fields == ["PRIORITY=3", "SYSLOG_IDENTIFIER=pyrunc", "ID=a\\nb", "MESSAGE=it\\nUID=0"]


@pytest.mark.parametrize("kind", ["journald", "syslog"])
def test_daemon_that_is_not_there(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logdaemon, "SOCKETS", {kind: str(tmp_path / "nothing")})
    with pytest.raises(PyruncError, match=f"connect to the socket of {kind} `{tmp_path}/nothing`"):
        Log(f"{kind}:x").check()


def test_daemon_that_goes_away(
    daemon: socket.socket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log("syslog:box")
    log.check()
    os.unlink(tmp_path / "socket")
    log.error("it failed")
    first, second = capfd.readouterr().err.splitlines()
    assert (first.startswith("pyrunc: connect to the socket of syslog"), second) == (True, "it failed")
