"""Compares the first runtime with its peers, and prints and writes what was seen."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

from conformance.runtime_tools.install import MODULE, VERSION
from conformance.runtime_tools.tap import Result

# Programs whose failures are shown but do not decide the exit status: a pattern of the name -> why.
NOT_DECIDING = {
    "linux_cgroups_*": "reads the files of cgroup v1, which is not there",
    "delete_resources": "looks for the container's cgroup in the v1 hierarchies",
    "delete_only_create_resources": "looks for the container's cgroup in the v1 hierarchies",
    "linux_seccomp": "is about seccomp",
}

Table = dict[str, dict[str, Result]]  # program -> runtime's name -> result


# The program that runs runtimetest in the default container: a runtime that fails it wholly cannot run here.
PROBE = "default"


def witnesses(table: Table) -> list[str]:
    """The peers that can run the default container on this host; the others tell nothing about single tests."""
    _, *peers = table[PROBE]
    return [peer for peer in peers if table[PROBE][peer].passed]


def regressions(table: Table, excluded: list[str], *, lenient: bool = False) -> dict[str, list[str]]:
    """Program -> tests that the first runtime fails and some peer does not, or fails more often than that peer.

    Lenient: that no peer fails as often.
    A peer with which nothing in the program passes fails it as well, whatever it says: its failures cannot be compared.
    """
    found = {}
    peers = witnesses(table)
    for program, results in table.items():
        if any(fnmatch(program, pattern) for pattern in [*NOT_DECIDING, *excluded]):
            continue
        first = next(iter(results.values()))
        worse = []
        for failure, count in Counter(first.failures).items():
            better = [results[peer].passed and results[peer].failures.count(failure) < count for peer in peers]
            if any(better) and (not lenient or all(better)):
                worse.append(failure)
        if worse:
            found[program] = worse
    return found


def print_report(table: Table, failures: dict[str, list[str]]) -> None:
    """A table with passed/failed/skipped for each runtime, the failing tests, and the verdict on the first runtime."""
    runtimes = list(next(iter(table.values())))
    width = max(map(len, table))
    print(f"{'passed/failed/skipped':{width}}  " + "".join(f"{name:>14}" for name in runtimes))
    for program, results in table.items():
        print(f"{program:{width}}  " + "".join(f"{results[name].counts():>14}" for name in runtimes))
    totals = {
        name: (
            sum(results[name].passed for results in table.values()),
            sum(len(results[name].failures) for results in table.values()),
            sum(results[name].skipped for results in table.values()),
        )
        for name in runtimes
    }
    print(f"{'total':{width}}  " + "".join(f"{'/'.join(map(str, totals[name])):>14}" for name in runtimes))
    for name in runtimes:
        print(f"\nfailures of {name}:")
        for program, results in table.items():
            for failure, count in Counter(results[name].failures).items():
                print(f"  {program}: {failure}" + (f" ({count} times)" if count > 1 else ""))
    for name in set(runtimes[1:]) - set(witnesses(table)):
        print(f"\n{name} is not compared with: it cannot run the default container on this host")
    verdict = "in nothing" if not failures else ", ".join(failures)
    print(f"\n{runtimes[0]} is worse than a peer: {verdict}")
    for program, worse in failures.items():
        for failure in worse:
            print(f"  {program}: {failure}")


def write_json(path: Path, runtimes: dict[str, Path], table: Table, failures: dict[str, list[str]]) -> None:
    report = {
        "programs": f"{MODULE}@{VERSION}",
        "runtimes": {name: str(program) for name, program in runtimes.items()},
        "results": {
            program: {name: asdict(result) for name, result in results.items()} for program, results in table.items()
        },
        "notDeciding": NOT_DECIDING,
        "comparedWith": witnesses(table),
        "regressions": failures,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
