"""What comes between the launcher's first line and a command: a signal, or a module that cannot be loaded.

`state` of no container, with a fault at each file that it opens; its one line, or nothing, is all that a user sees.
CPython's own start, before our first line, is not ours.
"""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests import launchers
from tests.runtime import caller_environment

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(params=launchers.KINDS, autouse=True)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The checkout's program, of either kind."""
    launchers.write(request.param, tmp_path / "pyrunc", launchers.launcher.body(launchers.directories()))
    return tmp_path / "pyrunc"


def state(directory: Path, *options: str) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    """`state nobody` under strace with these options: its result, and the files that it opened, one a line."""
    log = directory / "trace"
    words = ["strace", "-o", str(log), "-e", "trace=openat", *options, str(directory / "pyrunc")]
    words += ["--root", str(directory / "state"), "state", "nobody"]
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=caller_environment(), timeout=60)
    return result, [line for line in log.read_text().splitlines() if line.startswith("openat(")]


@pytest.fixture
def own(tmp_path: Path) -> range:
    """The numbers, from 1, of files that are opened from our first line on: every third."""
    state(tmp_path)  # what is compiled now is only read from then on
    _, opened = state(tmp_path)
    # The interpreter opens a script twice, last so: after that come our lines. Else they begin with the first search.
    before = [number for number, line in enumerate(opened, 1) if f'"{tmp_path}/pyrunc", O_RDONLY)' in line]
    before = before or [number - 1 for number, line in enumerate(opened, 1) if "O_DIRECTORY" in line][:1]
    assert len(opened) - before[-1] > 10
    return range(before[-1] + 1, len(opened) + 1, 3)


@pytest.mark.parametrize("error", ["EMFILE", "ENOMEM", "EIO", "EACCES"])
def test_a_file_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path, own: range, error: str) -> None:
    answers = set()
    for number in own:
        result, opened = state(tmp_path, "-e", f"inject=openat:error={error}:when={number}")
        assert any("(INJECTED)" in line for line in opened)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("pyrunc: "), line
        for idiom in ("Traceback", "[Errno", "internal error", "system call"):
            assert idiom not in line
        answers.add(line)
    assert len(answers) > 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_a_word(tmp_path: Path, own: range, number: signal.Signals) -> None:
    for when in own:
        result, _ = state(tmp_path, "-e", f"inject=openat:signal={number.name}:when={when}")
        assert (result.returncode, result.stderr) in {(-number, ""), (128 + number, "")}


def test_who_ignores_interrupts_wants_them_ignored(tmp_path: Path, own: range) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for when in own:
            result, _ = state(tmp_path, "-e", f"inject=openat:signal=INT:when={when}")
            assert "does not exist" in result.stderr
    finally:
        signal.signal(signal.SIGINT, before)
