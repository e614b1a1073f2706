"""What `make mutants` is made of: its changes, which tests it runs for one, and the list of those that are let be."""

import subprocess
import sys

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants.changes import Module
from tests.mutants.coverage import IMPORT, PACKAGE, TOP, Coverage


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", ["a <= b", "pass"]),
        ("x = a < b", ["a <= b"]),
        ("x = a >= b != c", ["a > b != c", "a >= b == c"]),
        ("x = a is not b", ["a is b"]),
        ("x = a not in b", ["a in b"]),
        ("x = a and b", ["a or b", "True and b", "a and True"]),
        ("x = a or b", ["a and b", "False or b", "a or False"]),
        ("x = not a", ["not not a"]),
        ("x = a + b", ["a - b"]),
        ("x = a << 1", ["a >> 1", "a << 2"]),
        ("x = -a", ["+a"]),
        ("x += a", ["pass", "x -= a"]),
        ("x = 5", ["6"]),
        ("x = True", ["False"]),
        ("x.a = b", ["pass"]),
        ("x = {'a': b}", ["'ax'"]),
        ("x = a['b']", ["a['bx']"]),
        ("x = a == 'b'", ["a != 'b'", "a == 'bx'"]),
        (
            "x = a in ('b', 'c')",
            ["a not in ('b', 'c')", "a in ('bx', 'c')", "a in ('b', 'cx')", "('c',)", "('b',)"],
        ),
        ("x = a.text('b', 'c')", ["a.text('bx', 'c')"]),
        ("x = a(b, 'c')", []),
        ("x = [b for b in a if b > 1]", ["True", "b >= 1", "b > 2"]),
        ("x = f'{a + 1}'", ["a - 1", "a + 2"]),
        ("if a: b()", ["not a", "pass"]),
        ("while a.b: break", ["not a.b", "pass"]),
        ("x = b if a else c", ["not a"]),
        ("try: a()\nexcept B: raise\nfinally: del c", ["pass"] * 3),
        ("for a in b: continue", ["pass"]),
        ("with a: return", ["pass"]),
        ("def f(a=1): return a", ["a=2", "return None"]),
        ("def f(): yield a", ["pass"]),
        ("class A:\n    def f(self):\n        return 1", ["return 2"]),
    ],
)
def test_changes(source: str, changes: list[str]) -> None:
    found = Module(source, "x.py").mutants()
    assert sorted(one.text.partition(" -> ")[2].split(" (#")[0] for one in found) == sorted(changes)


@pytest.mark.parametrize(
    "source",
    [
        "'''text'''", "import a", "from a import b", "TYPE_CHECKING = False", "if TYPE_CHECKING:\n    a = 1",
        "__slots__ = ('a', 'b')", "x: 'list[int]' = a", "def f(a: 'b[1]') -> 'c[2]':\n    'text'",
        "assert isinstance(a, int)", "Range = tuple[int, int, int]",
        "x = ConfigError(f'{a + 1}', hint='b')", "x = a._wanted('b')",
    ],
)  # fmt: skip
def test_what_no_test_sees_is_left_alone(source: str) -> None:
    assert Module(source, "x.py").mutants() == []


def test_a_mutant_that_is_compiled_leaves_the_others_alone() -> None:
    module = Module("def f(a):\n    if a > 1:\n        return 'b'\n    return 'c'\n", "x.py")
    seen = []
    for one in module.mutants() * 2:
        names: dict[str, object] = {}
        exec(one.compile(), names)
        seen.append([names["f"](number) for number in (1, 2, 3)])  # type: ignore[operator]
    assert seen == [["b", "b", "b"], ["c", "c", "b"]] * 2


def test_where_a_mutant_is() -> None:
    source = "A = (1,\n     2)\nclass B:\n    def f(self):\n        if (a and\n"
    source += "                b):\n            return a + b\n"
    found = Module(source, "x.py").mutants()
    assert {one.place.function for one in found if one.text.startswith("module:")} == {""}
    assert {one.place.lines for one in found if one.text.startswith("module:")} == {(1, 2)}
    inside = [one for one in found if one.text.startswith("B.f: ")]
    assert {one.place.lines for one in inside} == {(5, 6), (7, 7)}
    assert len({one.text for one in found}) == len(found)


def test_equal_changes_of_a_function_are_told_apart() -> None:
    found = Module("def f():\n    a(b + c)\n    a(b + c)\n", "x.py").mutants()
    assert [one.text for one in found if " + " in one.text and "pass" not in one.text] == [
        "f: b + c -> b - c", "f: b + c -> b - c (#2)",
    ]  # fmt: skip


def covered() -> Coverage:
    result = Coverage()
    result.lines[("m", 3)] = {"t/a.py::slow", "t/a.py::quick", IMPORT}
    result.lines[("m", 4)] = {"t/a.py::slow", "t/b.py"}
    result.lines[("m", 0)], result.lines[("n", 0)] = {"t/a.py::slow"}, {"t/c.py::1"}
    result.seconds = {"t/a.py::slow": 5, "t/a.py::quick": 1, "t/b.py::1": 2, "t/b.py::2": 1, "t/c.py::1": 9}
    return result


def chosen(lines: tuple[int, int], importers: list[str]) -> dict[str, list[str]]:
    coverage = covered()
    return coverage.tests(coverage.contexts("m", lines, importers))


def test_tests_of_a_line() -> None:
    assert chosen((4, 4), []) == {"t/b.py": ["t/b.py::2", "t/b.py::1"], "t/a.py": ["t/a.py::slow"]}
    assert chosen((1, 3), []) == {"t/a.py": ["t/a.py::quick", "t/a.py::slow"]}
    assert list(chosen((3, 3), ["n"])) == ["t/a.py", "t/c.py"]
    assert list(chosen((3, 3), ["t/b.py"])) == ["t/b.py", "t/a.py"]
    assert chosen((5, 9), ["n"]) == {}


RECORDED = """
from tests.mutants import coverage
recorder = coverage.Recorder()
recorder.import_modules(["pyrunc.lifecycle"])
assert recorder.coverage.lines[str(coverage.PACKAGE / "lifecycle.py"), 0] == {coverage.IMPORT}
"""


def test_the_package_is_found_without_pytest() -> None:
    """The interpreter that `make mutants` starts has it on no path."""
    subprocess.run([sys.executable, "-c", RECORDED], check=True, cwd=TOP, env={})


NOTICES = """
import sys
from tests.mutants import worker
from tests.mutants.coverage import PACKAGE, Coverage
path, coverage = PACKAGE / "lifecycle.py", Coverage()
names = "test_what_the_facts_mean[facts0]", "test_the_tables_are_complete"
both = {"tests/unit/test_lifecycle.py": [f"tests/unit/test_lifecycle.py::{name}" for name in names]}
coverage.seconds = dict.fromkeys(both["tests/unit/test_lifecycle.py"], 0)
worker.LEAST, reload = int(sys.argv[1]), sys.argv[2] == "reload"
cases = [
    worker.Case(compile(path.read_text().replace(*change.split("|")), str(path), "exec"), tests, reload=reload)
    for change in sys.argv[3:] for tests in ({}, both)
]
print(*worker.notices(str(path), cases, coverage))
"""


@pytest.mark.parametrize(
    ("seconds", "how", "changes", "noticed"),
    [
        (
            600, "reload", ["_A|_A", "(RUNNING, PAUSED)|()", '"exec"|"x"', "= {|= 1 / 0 or {"],
            [False, False, True, True],
        ),
        (
            600, "swap", ["_A|_A", "not saved|saved", "status not|status", "return PAUSED|pass"],
            [False, True, False, True],
        ),
        (1, "reload", ["not saved|any(iter(int, 1))"], [True]),
        (1, "swap", ["not saved|any(iter(int, 1))"], [True]),
    ],
)  # fmt: skip
def test_what_is_noticed(seconds: int, how: str, changes: list[str], noticed: list[bool]) -> None:
    """A case without tests is not noticed, one whose test does not end is. No file changes."""
    path = PACKAGE / "lifecycle.py"
    before = path.read_bytes()
    command = [sys.executable, "-c", NOTICES, str(seconds), how, *changes]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
    assert result.stdout.split() == [str(answer) for one in noticed for answer in (False, one)]
    assert path.read_bytes() == before


def test_what_is_let_be_exists_and_has_its_reason() -> None:
    listed = mutants.accepted()
    possible = {
        f"{name} {one.text}"
        for name, path in mutants.MODULES.items()
        for one in Module(path.read_text(), str(path)).mutants()
    }
    assert set(listed) - possible == set()
    assert [entry for entry, reason in listed.items() if len(reason) < 20] == []


def test_importers() -> None:
    """Tests that only look at a table execute no line of its module."""
    found = mutants.importers(PACKAGE / "spec/reader.py")
    assert {str(PACKAGE / "spec/linux.py"), "tests/unit/test_spec_reader.py"} <= set(found)
    assert [one for one in mutants.importers(PACKAGE / "arguments.py") if one.startswith(str(PACKAGE))] == []
