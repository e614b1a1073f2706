"""docs/architecture.md names files and functions that exist: a text that points astray is worse than none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TEXT = (TOP / "docs/architecture.md").read_text()
NAMED = re.compile(r"`?\b((?:[\w-]+/)*[\w-]+\.(?:py|c|txt|md))\b(?:: ([\w.]+(?:, [\w.]+)*))?")
WALK = re.compile(r"^((?:[\w-]+/)*\w+\.(?:py|c)) {2,}([\w.]+(?:, [\w.]+)*)(?: {2,}|$)", re.MULTILINE)


def places() -> "set[tuple[str, str]]":
    """(file, function or "") of all that is named."""
    lines = [*NAMED.findall(TEXT), *WALK.findall(TEXT)]
    found = {(file, name.rstrip(".")) for file, names in lines for name in (names or "").split(", ")}
    return {(file, name) for file, name in found if not file.endswith("NAME.py")}  # of any command


def path_of(name: str) -> "Path | None":
    """The file of that name: below runtime/pyrunc, or from the top. One without a folder may be of any."""
    for start in (TOP, TOP / "runtime/pyrunc", TOP / "docs"):
        if (start / name).is_file():
            return start / name
    return next(iter((TOP / "runtime").rglob(name)), None) if "/" not in name else None


@cache
def names_of(path: Path) -> "set[str]":
    """Functions, classes, methods (also as Class.method) and constants of a file."""
    if path.suffix == ".c":
        return set(re.findall(r"\b(\w+)\(", path.read_text()))
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            names |= {node.name, *(f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef))}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("file", sorted({file for file, _ in places()}))
def test_file_exists(file: str) -> None:
    assert path_of(file) is not None


def test_functions_exist() -> None:
    missing, looked_at = [], 0
    for file, name in places():
        path = path_of(file)
        if name and path is not None and path.suffix in (".py", ".c"):
            looked_at += 1
            if name not in names_of(path):
                missing.append(f"{file}: {name}")
    assert sorted(missing) == []
    assert looked_at > 100
