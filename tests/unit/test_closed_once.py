"""No descriptor is closed twice: its number may be another file's by then, or EBADF takes the place of the error."""

import ast
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

SOURCES = sorted(Path(__file__).parents[2].glob("runtime/pyrunc/**/*.py"))


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
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
