"""What has gone wrong once and can be seen in the text. ruff's banned-api (pyproject.toml) has the names that must not
come in again; here is what it cannot say.
"""

import ast
import errno
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "runtime/pyrunc"
SOURCES = sorted(PACKAGE.rglob("*.py"))
_NAMED = {*errno.errorcode.values(), *signal.Signals.__members__}
_SENDS = re.compile(r"(^|\.)(kill|killpg|pidfd_send_signal|signal)$")


def name(path: Path) -> str:
    """A module's name below `pyrunc`, as in `kernel/paths`."""
    return str(path.relative_to(PACKAGE).with_suffix(""))


def is_number(node: ast.AST) -> bool:
    """Whether it is a whole number that was typed."""
    return isinstance(node, ast.Constant) and type(node.value) is int


def numbers_in(node: ast.AST) -> list[int]:
    """The numbers that a value, or a set or tuple of values, is made of."""
    parts = node.elts if isinstance(node, ast.Set | ast.Tuple | ast.List) else [node]
    return [part.value for part in parts if is_number(part)]  # type: ignore[attr-defined]


def typed_by_hand(tree: ast.AST) -> Iterator[str]:
    """Numbers of errors, signals and types of files, which differ between architectures: ENOTEMPTY, SIGCHLD on mips."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            targets = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(targets)
            for one, other in zip(targets, values, strict=False):
                word = one.id.removeprefix("_") if isinstance(one, ast.Name) else ""
                if is_number(other) and (word in _NAMED or word.startswith(("S_IF", "S_IS"))):
                    yield f"line {node.lineno}: {word}"
        elif isinstance(node, ast.Compare):
            words = " ".join(ast.unparse(part) for part in (node.left, *node.comparators))
            compared = [number for part in (node.left, *node.comparators) for number in numbers_in(part)]
            if re.search(r"errno\b", words) and [number for number in compared if number > 0]:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if function == "OSError" and numbers_in(ast.Tuple(node.args[:1])):
                yield f"line {node.lineno}: {ast.unparse(node)}"
            if _SENDS.search(function) and numbers_in(ast.Tuple(node.args[1:])):
                yield f"line {node.lineno}: {ast.unparse(node)}"
            if any(word.arg == "errno" and is_number(word.value) for word in node.keywords):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def opens_to_write(tree: ast.AST) -> Iterator[str]:
    """open() with a mode that writes: it follows what an image has put at the name (CVE-2019-16884, CVE-2025-52881)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            mode = next((word.value for word in node.keywords if word.arg == "mode"), (*node.args, None, None)[1])
            if not (mode is None or (isinstance(mode, ast.Constant) and mode.value in {"r", "rb"})):
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_errors_and_signals_have_names(path: Path) -> None:
    assert list(typed_by_hand(ast.parse(path.read_bytes()))) == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_are_written_by_descriptor(path: Path) -> None:
    assert list(opens_to_write(ast.parse(path.read_bytes()))) == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("_ENOENT, _EPERM = 2, 1", 2),
        ("_SIGKILL = 9", 1),
        ("S_IFMT = 0o170000", 1),
        ("if error.errno in {2, 22}: pass", 1),
        ("if error.errno == 11: pass", 1),
        ("raise OSError(40, '')", 1),
        ("raise PyruncError('x', errno=40)", 1),
        ("posix.kill(pid, 9)", 1),
        ("syscalls.pidfd_send_signal(pidfd, 15)", 1),
        ("if error.errno in {ENOENT, EINVAL} or errno > 0 or errno == -1: pass", 0),
        ("_ELEMENTS, _SIZE = 3, 4", 0),
        ("posix.kill(1, SIGKILL)", 0),
    ],
)
def test_what_is_found_of_numbers(line: str, count: int) -> None:
    assert len(list(typed_by_hand(ast.parse(line)))) == count


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("open(path, 'w')", 1),
        ("open(path, mode='ab')", 1),
        ("open(path, how)", 1),
        ("open(path, 'rb'); open(path)", 0),
        ("posix.open(path, flags)", 0),
    ],
)
def test_what_is_found_of_files(line: str, count: int) -> None:
    assert len(list(opens_to_write(ast.parse(line)))) == count
