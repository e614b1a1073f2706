"""One fault after the other: a fresh container for each, the command that is struck, and a look at what is left."""

from pathlib import Path
from typing import NamedTuple

from tests import leftovers
from tests.faults import judge
from tests.faults.calls import Call, Striker
from tests.faults.commands import COMMANDS, FILES, PATIENCE, Trial
from tests.faults.judge import Problem
from tests.faults.kinds import Kind
from tests.runtime import Result, new_id
from tests.waiting import comes_true

SIGKILL = "signal=9"
# Of init, after it has told create that the container is made. Not all runs take the same number of calls.
CALLS_TO_WAIT_FOR_START = 10


class Case(NamedTuple):
    """A fault: `what` strikes a call of a command."""

    command: str
    call: Call
    what: str


class Outcome(NamedTuple):
    """word: tolerated, refused, ended (by the signal), or late: the call never came. call: what was struck."""

    word: str
    call: Call
    problems: "list[Problem]"


class Bench:
    """Where containers of one kind are struck."""

    def __init__(self, kind: Kind, striker: Striker, directory: Path) -> None:
        """The directory holds the files of one container at a time."""
        self._kind, self._striker, self._directory = kind, striker, directory
        self._undisturbed: dict[str, tuple[int, str]] = {}
        self._last: dict[tuple[str, int], int] = {}  # call, of a watched command's process

    def cases(self, command: str) -> "list[Case]":
        """Everything that can befall a command, once it has been seen what it is like undisturbed."""
        for _ in range(1 if self._undisturbed else 2):  # the first one of all fills caches
            result, calls, facts = self._watch(command)
        self._undisturbed[command] = result.returncode, facts
        self._last |= {(command, call.process): call.number for call in calls}
        first = _first_statement(calls, self._kind.runtime.path)
        own = [call for i, call in enumerate(calls) if call.process or i > first]
        return [Case(command, call, what) for call in own for what in call.faults]

    def _watch(self, command: str) -> "tuple[Result, list[Call], str]":
        trial = self._trial(command)
        result = trial.call(command, tuple(self._striker.words(0, 0, "list")))
        calls = self._striker.calls()
        assert result.returncode == (7 if command == "exec" else 0), result
        problem = COMMANDS[command].done(trial, result, "")
        assert not problem, problem
        facts = trial.facts() if command in {"create", "start", "run", "exec"} else ""
        self._kind.runtime.delete(trial.id, "--force")
        return result, calls, facts

    def _trial(self, command: str) -> Trial:
        for file in self._directory.iterdir():
            file.unlink()
        trial = Trial(self._kind, new_id(), self._directory)
        for verb in COMMANDS[command].before:
            result = trial.call(verb)
            assert result.returncode == 0, result
        if command == "restore":
            trial.output.with_name("pid").unlink()  # of the create before it
        if command == "exec":
            trial.facts()  # the container's own output is whole
            trial.output.write_bytes(b"")
        return trial

    def strike(self, case: Case) -> Outcome:
        """Make it happen. Afterwards the host is as before."""
        before = leftovers.observe(self._kind.runtime.root)
        trial = self._trial(case.command)
        words = self._striker.words(case.call.process, case.call.number, case.what)
        result = trial.call(case.command, tuple(words))
        word, problems = "late", []
        if self._striker.hung():
            word, problems = "ended", [("hang", result.stderr)]
        elif struck := self._striker.calls():
            if case.what in struck[0].faults:  # not all runs take the same calls: getpid(2), say, cannot fail
                word, problems = self._judge(case, trial, result, before)
            case = case._replace(call=struck[0])
        problems += self._clean_up(trial, before)
        return Outcome(word, case.call, problems)

    def _judge(self, case: Case, trial: Trial, result: Result, before: leftovers.Facts) -> "tuple[str, list[Problem]]":
        """How the command ended."""
        status, facts = self._undisturbed[case.command]
        command = COMMANDS[case.command]
        if result.returncode == status:
            problems = judge.of_idioms(result)
            if self._waited_for_start(case) and trial.status() == "stopped":
                return "ended", problems  # a container was made, and then killed
            if wrong := command.done(trial, result, facts):
                problems.append(("another outcome", wrong))
            return "tolerated", problems
        problems = judge.of_text(result, case.what)
        by_signal = case.what.startswith("signal") and case.call.process == 0
        if not (case.what == SIGKILL and by_signal):
            problems += self._left_at_once(case.command, trial, before)
        return "ended" if by_signal else "refused", problems

    def _waited_for_start(self, case: Case) -> bool:
        process, number = case.call.process, case.call.number
        if not process or (case.command, case.what) != ("create", SIGKILL):
            return False
        return number > self._last["create", process] - CALLS_TO_WAIT_FOR_START

    def _left(self, before: leftovers.Facts) -> "list[str]":
        """On the host, at once; our own descriptors are those of the thread that reaps orphans."""
        lines = leftovers.check(before, self._kind.runtime.root, PATIENCE)
        return [line for line in lines if not line.startswith("descriptors:")]

    def _left_at_once(self, command: str, trial: Trial, before: leftovers.Facts) -> "list[Problem]":
        """What a command that failed and could undo has not undone."""
        if command == "run" and trial.status() == "stopped":
            return []  # what failed was its end, as a delete can
        if command in {"create", "run", "restore"}:
            left = self._left(before) + self._files(FILES) + self._kind.kept()
            return [(f"left at once: {line.partition(':')[0]}", line) for line in left]
        if command == "exec" and not comes_true(lambda: len(self._processes(before)) == 1, PATIENCE):
            return [("left at once: processes", f"beside the container's: {self._processes(before)}")]
        return []

    def _processes(self, before: leftovers.Facts) -> "list[str]":
        return sorted(leftovers.observe(self._kind.runtime.root).processes - before.processes)

    def _files(self, expected: "tuple[str, ...]") -> "list[str]":
        names = {path.name for path in self._directory.iterdir()} - set(expected)
        for name in names:
            (self._directory / name).unlink()
        return [f"files: {name}" for name in names]

    def _clean_up(self, trial: Trial, before: leftovers.Facts) -> "list[Problem]":
        problems = self._delete(trial, before, "")
        created = trial.call("create")
        if created.returncode:
            problems.append(("id not free", created.stderr))
        return problems + self._delete(trial, before, "again ")

    def _delete(self, trial: Trial, before: leftovers.Facts, when: str) -> "list[Problem]":
        deleted, problems = self._kind.runtime.delete(trial.id, "--force"), []
        if deleted.returncode or deleted.stderr:
            problems.append((f"{when}delete --force", f"{deleted.returncode} {deleted.stderr}"))
        left = self._left(before)
        if not comes_true(lambda: f"_ses.{trial.id}" not in Path("/proc/keys").read_text(), PATIENCE):
            left.append("keys: the session keyring")
        left += self._files((*FILES, "pid"))
        return problems + [(f"{when}left: {line.partition(':')[0]}", line) for line in left]


def _first_statement(calls: "list[Call]", program: Path) -> int:
    """The place of what ends CPython's own start: our first statement is about SIGINT."""
    opened = [i for i, call in enumerate(calls) if call.path == str(program) and call.name != "execve"]
    if opened:  # a script is opened twice
        return next(i for i, call in enumerate(calls) if i > opened[-1] and call.name == "rt_sigaction")
    library = f"{program.parents[1]}/lib/pyrunc/"
    loaded = next(i for i, call in enumerate(calls) if call.path.startswith(library))
    return max(i for i, call in enumerate(calls[:loaded]) if call.name == "rt_sigaction")
