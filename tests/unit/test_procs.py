"""pyrunc.kernel.process.processes: how a child that we have not reaped has ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyrunc.kernel.process import processes

from tests.waiting import eventually


@pytest.mark.parametrize(
    ("script", "killed"), [("exit 0", False), ("exit 9", False), ("kill -TERM $$", False), ("kill -KILL $$", True)]
)
def test_end_by_itself_is_told_from_sigkill(script: str, killed: bool) -> None:
    child = subprocess.Popen(["sh", "-c", script])
    eventually(lambda: (processes.stat(child.pid) or ("",))[0] == "Z", "the child to end")
    assert processes.killed(child.pid) == killed
    child.wait()


def test_child_that_runs_is_not_killed_until_it_is() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    assert not processes.killed(child.pid)
    child.kill()
    # Not at once: between taking the signal and being marked as exiting it is neither.
    eventually(lambda: processes.killed(child.pid), "the kill to be seen")
    child.wait()


def test_child_that_proc_hides_is_not_taken_for_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A procfs with the option hidepid, and a caller without CAP_SYS_PTRACE."""
    monkeypatch.setattr(processes, "_stat_fields", lambda _: [])
    assert not processes.killed(1)


def test_child_that_is_seen_between_signal_and_end_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    answers = [processes._stat_fields(child.pid)]
    child.kill()
    eventually(lambda: (processes.stat(child.pid) or ("",))[0] == "Z", "the child to end")
    answers.append(processes._stat_fields(child.pid))
    monkeypatch.setattr(processes, "_stat_fields", lambda _: answers.pop(0))
    assert processes.killed(child.pid)
    child.wait()


@pytest.mark.parametrize("options", [[], ["-IS"]])
def test_program_of_an_interpreter_is_what_that_runs(tmp_path: Path, options: list[str]) -> None:
    script = tmp_path / "script"
    script.write_text("input()\n")
    with subprocess.Popen([sys.executable, *options, script, "argument"], stdin=subprocess.PIPE) as process:
        eventually(lambda: processes.program(process.pid) == str(script), "the script to be seen")
        process.communicate(b"\n")


def test_program_is_what_is_executed_whatever_it_calls_itself() -> None:
    with subprocess.Popen(["python", "1000"], executable="/bin/sleep") as process:
        eventually(lambda: processes.program(process.pid) == os.path.realpath("/bin/sleep"), "the program to be seen")
        process.kill()
    assert processes.program(process.pid) == ""
