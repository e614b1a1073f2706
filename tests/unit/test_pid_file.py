"""The file that --pid-file names."""

import errno
import os
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.stages import announce


@pytest.fixture(params=["unnamed files", "none"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of a file system that has unnamed files (O_TMPFILE), or has none."""
    if request.param == "none":
        really = os.open

        def no_unnamed_files(path: str, flags: int, mode: int) -> int:
            if flags & announce._O_TMPFILE == announce._O_TMPFILE:
                raise OSError(95, "")
            return really(path, flags, mode)

        monkeypatch.setattr("posix.open", no_unnamed_files)
    return tmp_path


def test_a_file_of_the_name_is_replaced(here: Path) -> None:
    for pid in (4711, 4712):
        announce.write_pid_file(str(here / "pid"), pid)
        assert (here / "pid").read_text(encoding="ascii") == str(pid)
    assert os.listdir(here) == ["pid"]


def test_relative_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    announce.write_pid_file("pid", 4711)
    assert (here / "pid").read_text(encoding="ascii") == "4711"


def test_nobody_can_have_prepared_the_file(here: Path) -> None:
    """Its name until it is whole could be guessed, and a directory such as /tmp lets others make one."""
    with open(here / f".pid.{os.getpid()}", "w", encoding="ascii") as prepared:
        announce.write_pid_file(str(here / "pid"), 4711)
        prepared.write("1")
    assert (here / "pid").read_text(encoding="ascii") == "4711"


def test_a_link_of_the_name_is_replaced_and_not_followed(here: Path) -> None:
    (here / "target").write_text("as it was")
    (here / "pid").symlink_to("target")
    announce.write_pid_file(str(here / "pid"), 4711)
    assert (here / "target").read_text() == "as it was"
    assert not (here / "pid").is_symlink()


def test_name_of_a_directory_leaves_nothing(here: Path) -> None:
    (here / "pid").mkdir()
    with pytest.raises(PyruncError, match=r"write the pid file .*: (Is a directory|Operation not permitted)"):
        announce.write_pid_file(str(here / "pid"), 4711)
    assert os.listdir(here) == ["pid"]


@pytest.mark.parametrize("error", [OSError(28, ""), KeyboardInterrupt()])
def test_what_cannot_be_written_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("posix.write", fail)
    with pytest.raises((PyruncError, KeyboardInterrupt)):
        announce.write_pid_file(str(here / "pid"), 4711)
    assert os.listdir(here) == []


def test_what_fails_when_it_is_closed_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may say by close(2) only that it could not take what was written."""
    really = os.close

    def fail(fd: int) -> None:
        really(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("posix.close", fail)
    with pytest.raises(PyruncError, match=r"write the pid file .*: Input/output error"):
        announce.write_pid_file(str(here / "pid"), 4711)
    assert os.listdir(here) == []


def test_missing_directory(here: Path) -> None:
    with pytest.raises(PyruncError, match="No such file or directory"):
        announce.write_pid_file(str(here / "none/pid"), 4711)
