"""pyrunc.kernel.files: small files, read whole and written at once."""

import errno
import os
import stat
from pathlib import Path

import pytest
from pyrunc.kernel import files


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    content = b"0123456789" * 20_000  # more than one read(2) asks for
    (tmp_path / "file").write_bytes(content)
    assert files.read(str(tmp_path / "file")) == content


def test_a_file_that_has_given_enough_is_not_read_further(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    assert 100 <= len(files.read(str(tmp_path / "file"), 100)) <= 1 << 16


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr("posix.read", fail)
    with pytest.raises(OSError, match="/etc/passwd"):
        files.read("/etc/passwd")


def test_a_file_is_written_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel reads of a second write(2) would be another value."""
    written = []
    (tmp_path / "file").touch()
    monkeypatch.setattr("posix.write", lambda _, data: written.append(data))
    files.write(str(tmp_path / "file"), b"1 2 3\n")
    assert written == [b"1 2 3\n"]


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(str(tmp_path / "file"), b"1")
    assert os.listdir(tmp_path) == []


def test_a_file_of_a_directory_that_is_open(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        files.write("file", b"content", flags=os.O_CREAT | os.O_EXCL, dir_fd=directory)
        assert files.read("file", dir_fd=directory) == b"content"
    finally:
        os.close(directory)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_symlink_is_not_followed_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        files.read(str(tmp_path / "link"), flags=os.O_NOFOLLOW)
