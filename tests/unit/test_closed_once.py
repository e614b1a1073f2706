"""No descriptor is closed twice: its number may be another file's by then, or EBADF takes the place of the error. What
belongs to a block is closed by `with opened(...)`, which does so once.
"""

import ast
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "runtime/pyrunc"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    """A module's name below `pyrunc`, as in `kernel/paths`."""
    return str(path.relative_to(PACKAGE).with_suffix(""))


def closed(statement: ast.AST) -> str:
    """The name that a statement `posix.close(NAME)` closes, or ""."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="close"), args=[ast.Name(id=name)])):
            return name
    return ""


def gets_new_value(statement: "ast.AST | None", name: str) -> bool:
    """Whether a statement gives the name a value, which is no result of a call: that could fail."""
    if not isinstance(statement, ast.Assign):
        return False
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=True))
    else:
        pairs = [(target, value)]
    return any(
        isinstance(one, ast.Name) and one.id == name and not isinstance(other, ast.Call) for one, other in pairs
    )


def closed_again(tree: ast.AST) -> Iterator[str]:
    """"NAME, line N" of each descriptor that is closed in a `try` whose `finally` closes it too, and keeps its name."""
    for attempt in ast.walk(tree):
        if not isinstance(attempt, ast.Try):
            continue
        finally_ = {name for statement in attempt.finalbody for node in ast.walk(statement) if (name := closed(node))}
        for block in (attempt.body, attempt.orelse, *(handler.body for handler in attempt.handlers)):
            for statement in block:
                for node in ast.walk(statement):
                    for body in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
                        if isinstance(body, list):
                            yield from _in_block(body, finally_)
            yield from _in_block(block, finally_)


def _in_block(block: list[ast.stmt], names: set[str]) -> Iterator[str]:
    for statement, following in zip_longest(block, block[1:]):
        name = closed(statement)
        if name in names and not gets_new_value(following, name):
            yield f"{name}, line {statement.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_closed_again(path: Path) -> None:
    assert list(closed_again(ast.parse(path.read_bytes()))) == []


def test_what_would_be_found() -> None:
    source = """
try:
    while more:
        posix.close(fd)
        fd = posix.open(name)
    posix.close(other)
    other = -1
finally:
    posix.close(fd)
    posix.close(other)
"""
    assert list(closed_again(ast.parse(source))) == ["fd, line 4"]


# Where a `finally` that closes and does nothing else says more than `with opened(...)` could, and why.
ALLOWED = {
    "startup": "it runs before any of pyrunc's modules is loaded",
    "kernel/paths": "one descriptor after another, on the way down",
    "kernel/trees": "one descriptor after another, down and up again",
    "cgroup/cgroupfs": "one descriptor after another, down and up again",
    "kernel/mount/filesystems": "the handler asks the descriptor why it failed, or whether it was opened",
}


def closes_only(statement: ast.stmt) -> bool:
    """Whether a statement closes a descriptor, be it on a condition, and does nothing else."""
    if isinstance(statement, ast.If):
        return not statement.orelse and all(map(closes_only, statement.body))
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("posix.close(")


def by_finally(tree: ast.AST) -> list[str]:
    """"line N" of each `finally` that closes descriptors and does nothing else."""
    attempts = [node for node in ast.walk(tree) if isinstance(node, ast.Try) and node.finalbody]
    return [f"line {one.finalbody[0].lineno}" for one in attempts if all(map(closes_only, one.finalbody))]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_what_a_block_opens_is_closed_by_with(path: Path) -> None:
    found = by_finally(ast.parse(path.read_bytes()))
    assert bool(found) == (name(path) in ALLOWED), found


def test_which_finally_would_be_found() -> None:
    source = """
try:
    work(fd)
finally:
    posix.close(fd)
try:
    work(fd)
except OSError:
    pass
finally:
    if fd >= 0:
        posix.close(fd)
try:
    work(fd)
finally:
    posix.umask(before)
    posix.close(fd)
"""
    assert by_finally(ast.parse(source)) == ["line 5", "line 11"]
