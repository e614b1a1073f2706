"""The tables of conformance/*.md that name a test for every row, and which of those tests exist."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
NAME = re.compile(r"`((?:tests|conformance)/[\w/.]+\.py::\w+|podman: [^`]+)`")


def rows(path: Path) -> list[list[str]]:
    """The cells of all rows of all tables of a Markdown file, without the heads; `\\|` is a bar in a cell."""
    lines = path.read_text().splitlines()
    found = []
    for number, line in enumerate(lines):
        above, below = lines[number - 1] if number else "", lines[number + 1] if number + 1 < len(lines) else ""
        is_head = below.startswith("| ---") or line.startswith("| ---")
        if line.startswith("|") and not is_head and above.startswith("|"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def names(cell: str) -> list[str]:
    """The tests that a cell names: `FILE::FUNCTION`, or `podman: CHECK` for one of conformance/podman."""
    return NAME.findall(cell)


def missing(name: str) -> bool:
    """Whether there is no such test."""
    if name.startswith("podman: "):
        return name.removeprefix("podman: ") not in _podman_checks()
    file, _, function = name.partition("::")
    return function not in _functions(TOP / file)


@cache
def _podman_checks() -> frozenset[str]:
    """The sentences of podman's checks."""
    command = [sys.executable, "-B", "-m", "conformance", "podman", "--list"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True, cwd=TOP).stdout
    return frozenset(line.partition(": ")[2] for line in listing.splitlines())


@cache
def _functions(path: Path) -> frozenset[str]:
    """The names of the test functions of a file."""
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_bytes())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return frozenset(name for name in defined if name.startswith("test_"))
