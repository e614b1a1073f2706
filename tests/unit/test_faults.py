"""What `make faults` is made of: the program that lets a system call fail, and the judgement of what came of it."""

import shutil
import subprocess
import sys

import pytest

from tests.faults import judge, sampling
from tests.faults.bench import Case, Outcome
from tests.faults.calls import Call, Striker
from tests.faults.commands import difference
from tests.faults.report import Table
from tests.runtime import Result

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
# The second process opens the file, and says how that went.
VICTIM = """
import os, sys
pid = os.fork()
if pid == 0:
    try:
        os.close(os.open("/etc/hostname-of-none", os.O_RDONLY))
    except OSError as error:
        os._exit(error.errno)
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
"""
COMMAND = [sys.executable, "-ISc", VICTIM]


@pytest.fixture(scope="module")
def striker(tmp_path_factory: pytest.TempPathFactory) -> Striker:
    """The program, built."""
    return Striker(tmp_path_factory.mktemp("striker"))


def run(striker: Striker, process: int, number: int, what: str) -> int:
    """The exit status of the victim."""
    words = [*striker.words(process, number, what), *COMMAND]
    return subprocess.run(words, check=False, stderr=-3, timeout=60).returncode


def opening(striker: Striker) -> int:
    """The number of the second process's opening of the file."""
    assert run(striker, 0, 0, "list") == 2  # ENOENT
    (number,) = (call.number for call in striker.calls() if call.path == "/etc/hostname-of-none")
    assert {call.process for call in striker.calls()} == {0, 1}
    return number


@pytest.mark.parametrize(("what", "status"), [("error=24", 24), ("error=5", 5), ("signal=9", 247), ("signal=15", 241)])
def test_one_call_of_one_process_is_struck(striker: Striker, what: str, status: int) -> None:
    number = opening(striker)
    assert run(striker, 1, number, what) == status
    (struck,) = striker.calls()
    assert (struck.process, struck.number, struck.name, struck.path) == (1, number, "openat", "/etc/hostname-of-none")
    assert not striker.hung()


def test_a_call_that_never_comes_is_not_struck(striker: Striker) -> None:
    assert run(striker, 1, 10_000, "error=5") == 2
    assert striker.calls() == []


def test_a_command_that_hangs_is_killed(striker: Striker) -> None:
    words = striker.words(0, 0, "list")
    words[-1] = "1"
    result = subprocess.run([*words, "sh", "-c", "sleep 1000 & wait"], check=False, timeout=60)
    assert result.returncode == 124
    assert striker.hung()


def test_what_programs_of_others_do_is_not_ours(striker: Striker) -> None:
    words = [*striker.words(0, 0, "list"), "env", "/bin/sh", "-c", "cat /etc/passwd; cat /etc/passwd"]
    subprocess.run(words, check=True, timeout=60, stdout=-3)
    calls = striker.calls()
    assert calls[-1].name == "execve"
    assert not any(call.path == "/etc/passwd" for call in calls)


@pytest.mark.parametrize(
    ("text", "what", "classes"),
    [
        ("pyrunc: open `/a`: Input/output error\n", "error=5", []),
        ("pyrunc: warning: so it is\npyrunc: open `/a`: Input/output error\n", "error=5", []),
        ("pyrunc: open `/a`: File exists\n", "error=5", ["no cause"]),
        ("pyrunc: Input/output error\n", "error=5", ["no object"]),
        ("pyrunc: create of `x`: in `stages.parent.create`: Input/output error\n", "error=5", []),
        ("pyrunc: one `a`\npyrunc: two `b`: Input/output error\n", "error=5", ["several lines"]),
        ("", "error=5", ["silent"]),
        ("", "signal=15", []),
        ("Traceback (most recent call last):\n", "signal=15", ["traceback"]),
        ("pyrunc: internal error: KeyError: 5 (--debug shows where)\n", "error=5", ["internal error"]),
        ("pyrunc: container init exited (signal 9) while setting up\n", "signal=9", []),
    ],
)
def test_judgement_of_a_message(text: str, what: str, classes: list[str]) -> None:
    assert [name for name, _ in judge.of_text(Result([], 1, "", text), what)] == classes


def test_another_container_is_seen() -> None:
    assert difference("a\nb", "a\nb") == ""
    assert difference("a\nc", "a\nb") == "['b'] became ['c']"


def case(number: int, name: str, path: str, what: str = "error=5") -> Case:
    return Case("create", Call(0, number, name, path), what)


CASES = [case(number, f"call{number % 7}", f"/a/{number % 11}") for number in range(300)]


def drawn(cases: list[Case], size: int) -> list[tuple[str, str, str]]:
    return [(one.call.name, one.call.path, one.what) for one in sampling.sample(cases, size, "1 plain")]


def test_more_calls_before_leave_the_sample_as_it_is() -> None:
    moved = [one._replace(call=one.call._replace(number=one.call.number + 1)) for one in CASES]
    with_it = drawn([case(0, "another", "/b"), *moved], 40)
    assert len(set(with_it) - set(drawn(CASES, 40))) <= 1


def test_a_larger_sample_has_all_of_a_smaller() -> None:
    assert drawn(CASES, 40)[:10] == drawn(CASES, 10)
    assert drawn(CASES, 10) != [(one.call.name, one.call.path, one.what) for one in CASES[:10]]


def test_the_last_line_counts() -> None:
    table = Table()
    table.add("plain", CASES[0], Outcome("tolerated", CASES[0].call, []))
    table.add("plain", CASES[0], Outcome("refused", CASES[0].call, [("hang", "so it was")]))
    table.add("plain", CASES[0], Outcome("late", CASES[0].call, []))
    table.leave_out("systemd", "needs systemd")
    assert table.counts() == "1 passed, 1 failed, 1 kinds left out"
    assert "left out: systemd, which needs systemd" in table.markdown()
    assert "| plain | create | 0 | 2 | 1 | 1 | 0 | 1 | hang 1 |" in table.markdown()
