"""CRIU's wire format, and what of its log becomes a message."""

import _socket
import os
import posix
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrunc.errors import PyruncError
from pyrunc.wings.criu import rpc, service


def test_a_request_as_bytes() -> None:
    options = {"images_dir_fd": 5, "pid": -1, "external": ["a", "bc"], "ext_mnt": [{"key": "k", "val": "v"}]}
    inner = bytes.fromhex("0805 10ffffffffffffffffff01 aa020161 aa02026263 ba01060a016b120176")
    assert rpc.encode(rpc.REQUEST, {"type": 1, "opts": options}) == b"\x08\x01\x12" + bytes([len(inner)]) + inner


def test_an_unknown_option_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        rpc.encode(rpc.OPTIONS, {"no_such_option": 1})


@given(st.integers(min_value=0, max_value=2**63), st.text(), st.booleans())
def test_what_was_encoded_is_decoded(number: int, text: str, flag: bool) -> None:
    fields = rpc.decode(rpc.encode(rpc.OPTIONS, {"pid": number, "root": text, "leave_running": flag}))
    assert fields == {2: number, 13: text.encode("utf-8", "surrogateescape"), 3: int(flag)}


def test_fixed_width_fields_are_passed_over() -> None:
    assert rpc.decode(bytes.fromhex("09 0000000000000000 15 00000000 1801".replace(" ", "")))[3] == 1


@pytest.mark.parametrize("data", ["08", "12ff", "0b00", "0980", "1205aa"])
def test_a_damaged_answer_is_an_error(data: str) -> None:
    with pytest.raises(PyruncError, match="malformed"):
        rpc.decode(bytes.fromhex(data))


def test_response() -> None:
    notification = rpc.Response(bytes.fromhex("0806 1001 2a0a 0a06") + b"script" + bytes.fromhex("1007"))
    assert (notification.kind, notification.script, notification.pid) == (rpc.NOTIFY, "script", 7)
    version = rpc.Response(bytes.fromhex("080a 1001 5206 0803 1011 2001"))
    assert version.version == 31701
    assert service.spelled(version.version) == "3.17.1"
    assert service.spelled(40100) == "4.1"


def test_errors_of_a_log() -> None:
    log = (
        "(00.03) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
        "(00.10) Warn  (criu/x.c:1): something\n"
        "(00.24) Error (criu/files-reg.c:10): Can't lookup mount=7 for fd=1\n"
        "Error: ipv4: Address already assigned.\n"
        "(00.25) Error (criu/cr-dump.c:2111): Dumping FAILED.\n"
    )
    assert service.errors(log) == ["Can't lookup mount=7 for fd=1"]
    assert service.errors("") == []


def test_missing_image_is_named() -> None:
    log = """(00.000090) No stats.img image
(00.000100) No inventory.img image
(00.000101) Error (criu/protobuf.c:72): Unexpected EOF on (empty-image)
"""
    assert service.errors(log) == ["Unexpected EOF on (empty-image): No inventory.img image"]


def test_unreachable_page_server_is_an_error_without_the_word() -> None:
    log = """(00.050284) Connecting to server 127.0.0.1:29399
(00.050343) Can't connect to server 127.0.0.1:29399
(00.050362) Error (compel/src/lib/infect.c:417): Unable to detach from 17883: No such process
"""
    assert service.errors(log)[0] == "Can't connect to server 127.0.0.1:29399"


@pytest.mark.parametrize(
    ("environment", "found"),
    [({}, "/usr/sbin/criu"), ({b"PATH": b""}, "/usr/sbin/criu"), ({b"PATH": b"relative:/opt/bin"}, "/opt/bin/criu")],
)
def test_program_is_found_without_a_path(
    monkeypatch: pytest.MonkeyPatch, environment: dict[bytes, bytes], found: str
) -> None:
    there = ("/usr/sbin/criu", "/opt/bin/criu", "relative/criu")
    monkeypatch.setattr(service.posix, "access", lambda path, _: path in there)
    assert service.find(environment) == found


def test_criu_is_not_waited_for_when_there_is_no_conversation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would wait for a request, and we for its end: our end of the socket is open, though nobody has it."""

    def fail(status: _socket.socket) -> None:
        data, fds = service._message(status)
        assert data
        raise OSError(1, "", str(fds))

    statuses: list[int] = []
    wait = posix.waitpid

    def waited(pid: int, flags: int) -> tuple[int, int]:
        result = wait(pid, flags)
        statuses.append(os.waitstatus_to_exitcode(result[1]))
        return result

    monkeypatch.setattr(service, "_conversation", fail)
    monkeypatch.setattr(posix, "waitpid", waited)
    program = tmp_path / "criu"
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    program.chmod(0o755)
    with pytest.raises(PermissionError):
        service.Service(str(program), {b"PATH": b"/usr/bin:/bin"})
    assert statuses == [-9]
