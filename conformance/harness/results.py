"""What an engine's checks gave with each runtime in each setting: read from their output, compared, shown in tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

LINE = re.compile(r"(ok|not ok) \d+ - (.*?)(?: # SKIP (.*))?\n?")
COUNTED = ("ok", "FAILED", "skip")


@dataclass
class Outcome:
    """What one run gave.

    setting: who called the engine, and who made the cgroups: "user, cgroupfs"; control: it is the peer's
    results: check -> "ok", "FAILED" or "skip"; texts: check -> why; again: checks that passed on the second try only
    """

    setting: str
    runtime: str
    control: bool = False
    results: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    ended: bool = False
    seconds: int = 0

    @property
    def name(self) -> str:
        return Path(self.runtime).name

    @property
    def failed(self) -> list[str]:
        return [check for check, result in self.results.items() if result == "FAILED"]

    def take(self, line: str) -> None:
        """Takes one line of the checks' output (TAP)."""
        if found := LINE.fullmatch(line):
            status, check, reason = found.groups()
            self.results[check] = "FAILED" if status == "not ok" else "skip" if reason else "ok"
            self.texts[check] = [reason] if reason else []
        elif line.startswith("#") and self.results:
            self.texts[next(reversed(self.results))].append(line[1:].strip())
        elif re.match(r"\d+ passed, ", line):
            self.ended = True

    def correct(self, second: Outcome) -> list[str]:
        """Takes over what passed in a second run of the checks that failed; their names."""
        passed = [check for check in self.failed if second.results.get(check) == "ok"]
        self.results.update(dict.fromkeys(passed, "ok"))
        self.again += passed
        return passed

    def sums(self) -> str:
        counts = Counter(self.results.values())
        return f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skip']} skipped"


def settings(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """The runs of each setting, the controls' first."""
    found: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: not outcome.control):
        found.setdefault(outcome.setting, []).append(outcome)
    return dict(sorted(found.items()))


def checks_of(outcomes: Iterable[Outcome]) -> list[str]:
    return list(dict.fromkeys(check for outcome in outcomes for check in outcome.results))


def faults(outcomes: Sequence[Outcome]) -> list[str]:
    """What is wrong with the subject's runs: a failed check that the control of the same setting does not fail as well,
    a run that did not come to its end."""
    found = []
    for setting, runs in settings(outcomes).items():
        excused = {check for run in runs if run.control for check in run.failed}
        for run in runs:
            if not run.ended:
                found.append(f"{run.name} ({setting}): the run did not come to its end")
            if not run.control:
                found += [f"{run.name} ({setting}) FAILED: {check}" for check in run.failed if check not in excused]
    return found


def text(outcomes: Sequence[Outcome]) -> str:
    """A table for each setting, what the subject's failures say, and the sums."""
    lines: list[str] = []
    for setting, runs in settings(outcomes).items():
        checks = checks_of(runs)
        width = max(map(len, [*checks, setting]))
        lines += ["", f"{setting:{width}}  " + "  ".join(f"{run.name:8}" for run in runs)]
        for check in checks:
            cells = "  ".join(f"{run.results.get(check, '-'):8}" for run in runs)
            lines.append(f"{check:{width}}  {cells}".rstrip())
    for run in outcomes:
        for check in run.failed:
            lines += ["", f"{run.name} ({run.setting}) FAILED: {check}", *(f"    {part}" for part in run.texts[check])]
    lines += ["", *(f"{run.name} ({run.setting}): {run.sums()} in {run.seconds} s" for run in outcomes)]
    return "\n".join(lines)


def markdown(title: str, head: str, outcomes: Sequence[Outcome]) -> str:
    """One table of all settings: a row for each check, a column for each run; then the reasons."""
    runs = [run for group in settings(outcomes).values() for run in group]
    rows = [["", *(run.setting for run in runs)], ["check", *(run.name for run in runs)]]
    rows += [[f"*{word}*", *(str(list(run.results.values()).count(word)) for run in runs)] for word in COUNTED]
    rows += [[escaped(check), *(shown(run, check) for run in runs)] for check in checks_of(runs)]
    table = ["| " + " | ".join(row) + " |" for row in rows]
    table.insert(1, "| --- |" + " --- |" * len(runs))
    parts = [f"# {title}", head, "\n".join(table)]
    for heading, wanted in (("Failed", "FAILED"), ("Skipped", "skip")):
        if reasons := reasons_of(runs, wanted):
            parts += [f"## {heading}", "\n".join(reasons)]
    if again := [f"- {escaped(check)} ({run.name}; {run.setting})" for run in runs for check in run.again]:
        parts += ["## Passed on the second try", "\n".join(again)]
    return "\n\n".join(parts) + "\n"


def shown(run: Outcome, check: str) -> str:
    result = run.results.get(check, "")
    return f"**{result}**" if result == "FAILED" else result


def reasons_of(runs: Sequence[Outcome], wanted: str) -> list[str]:
    """A list entry for each reason: the reason, and the checks and runs that it is for."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        for check, result in run.results.items():
            if result == wanted:
                reason = " ".join(run.texts[check])[:600]
                found.setdefault(reason, {}).setdefault(f"{run.name}; {run.setting}", []).append(check)
    lines = []
    for reason, places in found.items():
        for check in dict.fromkeys(check for checks in places.values() for check in checks):
            where = ", ".join(place for place, checks in places.items() if check in checks)
            lines.append(f"- {escaped(check)} ({where}): {escaped(reason)}")
    return lines


def escaped(words: str) -> str:
    return re.sub(r"([|*<`_])", r"\\\1", words)


def load(path: Path) -> list[Outcome]:
    return [Outcome(**entry) for entry in json.loads(path.read_text())] if path.exists() else []


def save(path: Path, outcomes: Iterable[Outcome]) -> None:
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
