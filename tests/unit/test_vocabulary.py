"""The words that stand for the kernel's numbers: each table exists once, and its numbers are the kernel's."""

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from pyrunc import words
from pyrunc.kernel import syscalls
from pyrunc.wings.seccomp import enosys

PACKAGE = Path(__file__).resolve().parents[2] / "runtime/pyrunc"
SHARED = 4  # so many words two collections may have in common without being one table
DIFFERENT = {  # modules whose collections have the same words and say other things about them
    ("wings/systemd/bus.py", "wings/systemd/gvariant.py"): "types of D-Bus: as C has them, and their ranges",
    ("cgroup/limits.py", "wings/events/stats.py"): "controllers; members of runc's statistics",
    ("cgroup/limits.py", "planning/exec.py"): "controllers of cgroup v2, and of v1",
    ("planning/exec.py", "wings/events/stats.py"): "controllers of cgroup v1; members of runc's statistics",
    ("cli.py", "lifecycle.py"): "commands: all; and in which status they may run",
    ("wings/criu/checkpoint.py", "wings/criu/rpc.py"): "criu's options: values; and their fields in the message",
    ("wings/criu/restorer.py", "wings/criu/rpc.py"): "criu's options: values; and their fields in the message",
    ("kernel/mount/mountoptions.py", "wings/documents/default.py"): "options of mounts: all; and those of an example",
    ("wings/documents/default.py", "words.py"): "namespaces: all; and those of an example",
}


def tables(path: Path) -> Iterator[frozenset[str]]:
    """The words of each literal collection of a module that has more than SHARED of them; of a dict the keys."""
    for node in ast.walk(ast.parse(path.read_text())):
        elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        found = {one.value for one in elements if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        if len(found) > SHARED and not is_slots(node):
            yield frozenset(found)


def is_slots(node: ast.AST) -> bool:
    """Whether these are the names of attributes, as far as one can see: sorted, and each an identifier."""
    names = [one.value for one in getattr(node, "elts", ()) if isinstance(one, ast.Constant)]
    return isinstance(node, ast.Tuple) and names == sorted(names) and all(str(name).isidentifier() for name in names)


def test_no_table_of_words_exists_twice() -> None:
    found = [(str(path.relative_to(PACKAGE)), its) for path in sorted(PACKAGE.rglob("*.py")) for its in tables(path)]
    twice = {
        (one, other): sorted(its & theirs)
        for (one, its), (other, theirs) in combinations(found, 2) if one != other and len(its & theirs) > SHARED
    }  # fmt: skip
    assert {pair: shared for pair, shared in twice.items() if pair not in DIFFERENT} == {}
    assert DIFFERENT.keys() == twice.keys()


def test_namespaces_are_those_of_the_calls() -> None:
    names = {"mount": "NS", "network": "NET"}
    for word, flag in words.NAMESPACES.items():
        assert flag == getattr(syscalls, f"CLONE_NEW{names.get(word, word.upper())}")


@pytest.mark.parametrize("word", ["private", "shared", "slave", "unbindable"])
def test_propagations_are_those_of_the_calls(word: str) -> None:
    flag = getattr(syscalls, f"MS_{word.upper()}")
    assert (words.PROPAGATIONS[word], words.PROPAGATIONS[f"r{word}"]) == (flag, flag | syscalls.MS_REC)
    assert len(words.PROPAGATIONS) == 8


def test_actions_of_seccomp_are_those_of_the_stub() -> None:
    assert words.SECCOMP_ACTIONS["SCMP_ACT_KILL_PROCESS"] == enosys.RET_KILL_PROCESS
    assert words.SECCOMP_ACTIONS["SCMP_ACT_ERRNO"] == enosys.RET_ERRNO
