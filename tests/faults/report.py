"""The counts as a table, and one example of each class of what is wrong."""

import sys
from collections import Counter, defaultdict

from tests.faults.bench import Case, Outcome


class Table:
    """What came of the cases so far; what is red is also written to standard error, at once."""

    def __init__(self) -> None:
        """possible: how many cases there are of a kind and command."""
        self.possible: Counter[tuple[str, str]] = Counter()
        self.red = self.tried = 0
        self._left_out: list[str] = []
        self._rows: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._examples: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, case: Case, outcome: Outcome) -> None:
        """Count a case."""
        word, call, problems = outcome
        if word == "late":
            return
        row = self._rows[kind, case.command]
        row[word] += 1
        row["tried"] += 1
        row["red"] += bool(problems)
        self.tried += 1
        self.red += bool(problems)
        where = f"{kind} {case.command}, process {call.process}, {call.name} {call.path}".rstrip()
        for name, text in dict(reversed(problems)).items():  # the first of each class
            row[name] += 1
            self._examples[name].append(f"{where}, {case.what}: {text.strip()}")
            sys.stderr.write(f"{name}: {self._examples[name][-1]}\n")

    def give_up(self, kind: str, text: str) -> None:
        """A command failed though nothing struck it: no more of this kind."""
        self.red += 1
        self._examples["failed undisturbed"].append(f"{kind}: {text}")

    def leave_out(self, kind: str, why: str) -> None:
        """A kind cannot be made on this machine."""
        self._left_out.append(f"left out: {kind}, which {why}")

    def counts(self) -> str:
        """The last line."""
        return f"{max(0, self.tried - self.red)} passed, {self.red} failed, {len(self._left_out)} kinds left out"

    def markdown(self) -> str:
        """A row for each kind and command; then the red cases, by class."""
        lines = [f"{self.tried} of {self.possible.total()} possible faults, {self.red} red.", ""]
        lines += [*self._left_out, ""] if self._left_out else []
        lines += ["| kind | command | possible | tried | tolerated | refused | ended | red | of these |"]
        lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
        for (kind, command), row in sorted(self._rows.items()):
            classes = ", ".join(f"{name} {row[name]}" for name in sorted(self._examples) if row[name])
            counts = [self.possible[kind, command], *(row[name] for name in _COLUMNS)]
            lines.append(f"| {kind} | {command} | {' | '.join(map(str, counts))} | {classes} |")
        for name, examples in sorted(self._examples.items()):
            lines += ["", f"## {name}: {len(examples)}", "", *(f"- {example}" for example in examples)]
        return "\n".join(lines) + "\n"


_COLUMNS = ("tried", "tolerated", "refused", "ended", "red")
