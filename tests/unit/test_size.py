"""What is true of every file of the project: it is short, its functions fit a screen, and it stands for itself."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
MOST_LINES = 450
MOST_FUNCTION_LINES = 60
# Vague names for a module say that nobody knew what it is about.
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
# A data file is not read top to bottom; the licence is not ours to shorten.
DATA = (".json", ".config", "requirements-test.txt", "LICENSE", "messages.txt")
MACHINE = re.compile(
    r"(?<![\w.])/(?:work|home/\w+)/"  # where somebody's checkout is
    r"|\.pyenv\b|/root/\.(?:cache|config|local)\b"
    r"|\b(?:pypi|files\.pythonhosted)\.(?:org|io)\b|\bdeb\.debian\.org\b|\barchive\.ubuntu\.com\b"
    r"|\bproxy\.golang\.org\b|\bregistry\.npmjs\.org\b|\bdocker\.io/|\bquay\.io\b|\bghcr\.io\b"
)


@cache
def files() -> list[Path]:
    """The project's text files: what git knows and what is new, but nothing that it ignores."""
    command = ["git", "-c", f"safe.directory={TOP}", "-C", str(TOP), "ls-files"]
    command += ["--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip("not a git checkout, so generated files cannot be told from the project's")
    paths = [TOP / name for name in result.stdout.splitlines()]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def python_files() -> list[Path]:
    """Those in Python, with or without a suffix."""
    return [path for path in files() if path.suffix == ".py" or b"python" in path.read_bytes().split(b"\n", 1)[0][:60]]


def relative(path: Path) -> str:
    """A path for a message."""
    return str(path.relative_to(TOP))


def test_no_file_is_long() -> None:
    lengths = {relative(path): path.read_bytes().count(b"\n") for path in files() if not path.name.endswith(DATA)}
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long, functions = {}, 0
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                functions += 1
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    long[f"{relative(path)}: {node.name}"] = lines
    assert functions > 500
    assert long == {}


def test_no_module_has_a_vague_name() -> None:
    assert [relative(path) for path in files() if path.stem in VAGUE] == []


def test_no_text_names_a_machine_or_a_registry() -> None:
    found = []
    for path in files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if path != Path(__file__) and MACHINE.search(line):
                found.append(f"{relative(path)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize(
    "text", ["see /work/checkout", "from docker.io/x", "in /root/.pyenv/versions", "https://pypi.org/simple"]
)
def test_the_pattern_finds_such_texts(text: str) -> None:
    assert MACHINE.search(text)
