"""Merges what the parts wrote into one table for each, as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

OK, FAILED, SKIPPED, MISSING = "ok", "FAILED", "skip", "missing"


@dataclass
class Part:
    """The table of one part: check -> runtime -> outcome; why the part was not made, if it was not.

    remarks: check -> why it fails; excused: checks whose failure does not count against the subject
    """

    title: str
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    excused: set[str] = field(default_factory=set)

    def runtimes(self) -> list[str]:
        return list(dict.fromkeys(runtime for row in self.outcomes.values() for runtime in row))

    def worse(self, subject: str) -> list[str]:
        """The checks that the subject does not pass and a peer does, but for the excused."""
        return [
            check
            for check, row in self.outcomes.items()
            if row.get(subject) not in (OK, SKIPPED)
            and check not in self.excused
            and OK in (outcome for runtime, outcome in row.items() if runtime != subject)
        ]


def read_checks(title: str, *files: Path) -> Part:
    """From tables of conformance/test-vm: runtime's path -> check -> outcome; each file has some of the runtimes."""
    part = Part(title)
    for file in files:
        table: dict[str, dict[str, str]] = json.loads(file.read_text())
        for path, outcomes in table.items():
            for check, outcome in outcomes.items():
                part.outcomes.setdefault(check, {})[Path(path).name] = outcome
    return part


def read_programs(title: str, file: Path) -> Part:
    """From conformance.runtime_tools' report: passed if some test passed and none failed."""
    report: dict[str, Any] = json.loads(file.read_text())
    part = Part(title)
    for program, results in report["results"].items():
        part.outcomes[program] = {name: _outcome(result) for name, result in results.items()}
        excuses = [why for pattern, why in report["notDeciding"].items() if fnmatch(program, pattern)]
        excuses += [why for key, why in report["againstSpec"].items() if key.partition(": ")[0] == program]
        part.excused |= {program} if excuses else set()
        reasons = [*excuses, *([report["wrong"][program]] if program in report["wrong"] else [])]
        part.remarks |= {program: "; ".join(reasons)} if reasons else {}
    return part


def _outcome(result: dict[str, Any]) -> str:
    """A program's outcome; of one that fails, how many of its tests do."""
    if not result["failures"]:
        return OK if result["passed"] else SKIPPED
    return f"{FAILED} {len(result['failures'])}/{len(result['failures']) + result['passed']}"


def as_json(versions: dict[str, str], parts: list[Part], subject: str) -> str:
    value = {
        "versions": versions,
        "parts": {
            part.title: {
                "problem": part.problem, "outcomes": part.outcomes, "remarks": part.remarks,
                "worse": part.worse(subject),
            }
            for part in parts
        },
    }  # fmt: skip
    return json.dumps(value, indent=1) + "\n"


def as_markdown(versions: dict[str, str], parts: list[Part], subject: str) -> str:
    """The report for people: versions, a sum for each part, then the tables."""
    lines = ["# Conformance report", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {version} |" for name, version in versions.items()]
    for part in parts:
        lines += ["", f"## {part.title}", ""]
        if part.problem:
            lines += [f"Not made: {part.problem}"]
            continue
        runtimes = part.runtimes()
        for runtime in runtimes:
            column = [row.get(runtime, MISSING) for row in part.outcomes.values()]
            passed, skipped = column.count(OK), column.count(SKIPPED)
            lines.append(f"- {runtime}: {passed} passed, {len(column) - passed - skipped} not, {skipped} skipped")
        worse = part.worse(subject)
        lines += ["", f"{subject} is worse than a peer in: {', '.join(worse) or 'nothing'}.", ""]
        lines += [f"| check | {' | '.join(runtimes)} | remark |", "| --- " * (len(runtimes) + 2) + "|"]
        for check, row in part.outcomes.items():
            cells = [check.replace("|", "\\|"), *(row.get(runtime, MISSING) for runtime in runtimes)]
            lines.append(f"| {' | '.join([*cells, part.remarks.get(check, '')])} |")
    return "\n".join(lines) + "\n"
