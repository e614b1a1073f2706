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
}

# Failures that are what the specification (1.3.0) wants: (program, how the failure begins) -> why.
AGAINST_SPEC = {
    ("start", "`start` operation MUST generate an error if `process` was not set"): (
        "the program passes if `start` succeeds; its text and runtime.md#start want an error"
    ),
    ("start", "timeout in waiting for the container status"): (
        "after a refused `start` the container is still created (runtime.md#errors), the program waits for its end"
    ),
    ("poststart_fail", "if any poststart hook fails, the runtime MUST log a warning"): (
        "since version 1.2 of the specification a failed poststart hook is an error, and the container is stopped"
    ),
    ("linux_mount_label", "exit status 1"): (
        "without SELinux a label cannot be given, and what cannot be applied is an error (runtime.md#create)"
    ),
    ("linux_process_apparmor_profile", "exit status 1"): (
        "without AppArmor a profile cannot be entered, and what cannot be applied is an error (runtime.md#create)"
    ),
}
# Programs that no runtime can pass, or none that follows the specification of today: the reason is for the reader.
WRONG = {
    "hooks": "its hooks write `post-start1 called`, and it expects `post-start1`",
    "prestart": "it wants prestart hooks after `start`; they are part of create since version 1.0.2",
    "process_capabilities_fail": "it wants an error for an unknown capability, a warning since version 1.1",
    "process_rlimits": "Go raises the soft RLIMIT_NOFILE of its runtimetest before that looks at it",
}
# Programs that pass or fail by chance: they get several tries, with every runtime, and the best one counts.
RACES = {
    "pidfile": "kills a container whose program, `true`, may have ended by then",
    "poststart": "program and hook write to one file, and the program's line has to be the first; both run by then",
}

Table = dict[str, dict[str, Result]]  # program -> runtime's name -> result


def against_spec(program: str, failure: str) -> str:
    """Why this failure is what the specification wants, or nothing."""
    return next((why for (name, text), why in AGAINST_SPEC.items() if name == program and failure.startswith(text)), "")


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
            if against_spec(program, failure):
                continue
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
                if why := against_spec(program, failure):
                    print(f"    as the specification has it: {why}")
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
        "notDeciding": NOT_DECIDING | RACES,
        "wrong": WRONG,
        "againstSpec": {f"{program}: {failure}": why for (program, failure), why in AGAINST_SPEC.items()},
        "comparedWith": witnesses(table),
        "regressions": failures,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
