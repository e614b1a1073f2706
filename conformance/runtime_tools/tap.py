"""Reads what a validation program prints: Test Anything Protocol, version 13, as the Go package tap-go writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

POINT = re.compile(r"(?P<not>not )?ok \d+(?: - (?P<text>.*)| # (?P<directive>SKIP|TODO) ?(?P<reason>.*))?$")
PLAN = re.compile(r"1\.\.(\d+)$")
# A diagnostic of a program that reports an error without a test point (see Result.read).
ERROR_DIAGNOSTIC = re.compile(r'^ +"error": "(.+)",?$', re.MULTILINE)
# What differs from run to run in a description: container ids, names of temporary folders, pids.
VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\d{3,}")


@dataclass
class Result:
    """Outcome of one program with one runtime; failures are descriptions, in the order printed."""

    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def counts(self) -> str:
        return f"{self.passed}/{len(self.failures)}/{self.skipped}"

    @classmethod
    def read(cls, output: str, exit_status: int) -> Result:
        """Judges a program by its standard output and exit status.

        Some programs print no test point at all: they succeed in silence, and fail by their exit status or (the hook
        programs) by a diagnostic with an "error" under a plan of zero tests.  Each of them counts as one test.
        """
        result = cls()
        planned = None
        for line in output.splitlines():
            if plan := PLAN.match(line):
                planned = int(plan[1])
            elif point := POINT.match(line):
                result._count(point)
        seen = result.passed + result.skipped + len(result.failures)
        if exit_status != 0:
            result.failures.append(f"exit status {exit_status}")
        elif planned is not None and planned != seen:
            result.failures.append(f"planned {planned} tests, ran {seen}")
        elif seen == 0:
            result.failures += [normalised(error) for error in ERROR_DIAGNOSTIC.findall(output)]
            result.passed = 0 if result.failures else 1
        return result

    def _count(self, point: re.Match[str]) -> None:
        if point["directive"]:
            self.skipped += 1
        elif point["not"]:
            self.failures.append(normalised(point["text"] or "(no description)"))
        else:
            self.passed += 1


def normalised(text: str) -> str:
    """The description without what varies, so that two runtimes' failures can be compared."""
    return VARYING.sub("N", text.replace("\\n", " ").strip())
