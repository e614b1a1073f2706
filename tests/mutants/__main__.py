"""`make mutants`: change one thing in a module without side effects, and see whether a unit test notices.

Of each module a sample, the same for the same seed. Listed is what no test notices; `accepted.txt` has what none can,
with the reason, and that does not count. The status is 1 if a module is below the bound, or if an accepted one is
noticed after all.
"""

import argparse
import ast
import os
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.mutants.changes import Module, Mutant
from tests.mutants.coverage import PACKAGE, TOP, Coverage
from tests.mutants.worker import TESTS, Case, notices, record

BOUND = 95  # per cent of a module's mutants
ACCEPTED = Path(__file__).with_name("accepted.txt")
MODULES = {
    name: PACKAGE / f"{name}.py"
    for name in (
        "lifecycle", "jsontext", "arguments", "planning/container", "planning/exec", "planning/idmaps",
        "planning/cgroup", "planning/mounts", "planning/optional", "planning/security",
        "kernel/ids/subordinate", "kernel/mount/mountoptions",
        "cgroup/names", "cgroup/values", "wings/systemd/properties",
        "wings/documents/default", "wings/documents/schema", "wings/idmapped/mappings",
        *(f"spec/{path.stem}" for path in sorted((PACKAGE / "spec").glob("[a-z]*.py"))),
    )
}  # fmt: skip


def main() -> int:
    """1 if a module is below the bound, or the list of accepted mutants is out of date."""
    given = _arguments()
    os.nice(10)
    coverage, listed, bad = record([f"pyrunc.{name.replace('/', '.')}" for name in MODULES]), accepted(), False
    table = ["| module | mutants | tried | noticed | accepted | |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name in given.module:
        mutants = Module(MODULES[name].read_text(), str(MODULES[name])).mutants()
        number = len(mutants) if given.sample == "all" else min(int(given.sample), len(mutants))
        tried = random.Random(f"{given.seed} {name}").sample(mutants, number)
        tried.sort(key=mutants.index)
        taken = missed = 0
        for one, noticed in zip(tried, are_noticed(MODULES[name], tried, coverage), strict=True):
            known = f"{name} {one.text}" in listed
            taken, missed = taken + (not noticed and known), missed + (not noticed and not known)
            if noticed == known:
                text = "accepted, but noticed" if noticed else "not noticed"
                print(f"{MODULES[name].relative_to(TOP)}:{one.line}: {text}: {one.text}", flush=True)
                bad = bad or noticed
        share = 100 * (number - taken - missed) / (number - taken) if number > taken else 100
        table.append(f"| {name} | {len(mutants)} | {number} | {number - taken - missed} | {taken} | {share:.0f} % |")
        bad = bad or share < BOUND
    print(*table, sep="\n")
    return int(bad)


def are_noticed(path: Path, mutants: Sequence[Mutant], coverage: Coverage) -> list[bool]:
    """For each mutant of the module at `path`, whether a unit test fails with it."""
    cases = []
    for one in mutants:
        contexts = coverage.contexts(str(path), one.place.lines, importers(path))
        # What an import or the collection of tests has executed cannot be changed afterwards.
        reload = not one.place.function or any("::" not in context for context in contexts)
        cases.append(Case(one.compile(), coverage.tests(contexts), reload=reload))
    return notices(str(path), cases, coverage)


@cache
def importers(path: Path) -> list[str]:
    """Those of MODULES that import from this one, and the files of tests that do, as pytest names them."""
    found = []
    for one in (*MODULES.values(), *(TOP / TESTS).glob("test_*.py")):
        names = {
            name.rpartition(".")[2]
            for node in ast.walk(ast.parse(one.read_bytes())) if isinstance(node, ast.ImportFrom)
            for name in (node.module or "", *(alias.name for alias in node.names))
        }  # fmt: skip
        if path.stem in names:
            found.append(str(one if one in MODULES.values() else one.relative_to(TOP)))
    return found


def accepted() -> dict[str, str]:
    """`module mutant` -> why no test can notice it."""
    result: dict[str, str] = {}
    for line in ACCEPTED.read_text().splitlines():
        if line.startswith("    "):
            result[next(reversed(result))] += line.strip()
        elif line and not line.startswith("#"):
            result[line] = ""
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--module", action="append", choices=MODULES, help="to be changed (default: all)")
    parser.add_argument("--sample", default="all", metavar="N", help="so many mutants of each module")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    given = parser.parse_args()
    given.module = given.module or list(MODULES)
    return given


if __name__ == "__main__":
    sys.exit(main())
