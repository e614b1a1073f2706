"""conformance/harness/plugin.py: which checks are made, and what its report says of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.__main__ import OPTIONS
from conformance.harness.results import Outcome

TOP = Path(__file__).resolve().parents[2]
SUITE = """
import pytest
from conformance.harness.checks import check, equal, output_checks, wait_until
from conformance.harness.engine import Engine, Failed
from conformance.harness.leftovers import checks, remember

KINDS = {"file": lambda engine: set(engine.files), "mount": lambda engine: set()}
test_nothing_is_left = checks(KINDS)

@pytest.fixture(scope="session")
def served(pytestconfig):
    if pytestconfig.option.runtime == "none":
        raise Failed("no engine")
    engine = Engine("runtime", ["sh", "-c"])
    engine.files = []
    engine.run_words = lambda options, *command: [f"{command[-1]} {' '.join(options)}"]
    remember(engine, KINDS)
    return engine

test_outputs = output_checks("outputs", [("braces {}", "one two", "echo", "one.*"), ("another", "", "echo x", "y")])

@check("base", "passes")
def test_passes(engine):
    engine.undo.callback(engine.files.clear)
    engine.files.append("x")

@check("base", "is wrong")
def test_is_wrong(engine):
    equal(1, 2, "a number")

@check("base", "is broken")
def test_is_broken(engine):
    {}["key"]

@check("base", "cannot clear up")
def test_cannot_clear_up(engine):
    engine.undo.callback(equal, "left", "gone")

@check("base", "needs what is not there")
def test_needs(engine):
    pytest.skip("there is none")

@check("other", "is root's", rootful_only="only root may")
def test_root(engine):
    pass

@check("other", "is a user's", rootless_only="root may")
def test_user(engine):
    pass

def test_is_no_check():
    raise AssertionError
"""


@pytest.fixture
def run(tmp_path):
    """A function that makes the checks of the suite: how that ended, and what results.py reads."""
    (tmp_path / "suite.py").write_text(SUITE)

    def run(*options):
        command = [sys.executable, "-B", "-m", "pytest", *OPTIONS, tmp_path / "suite.py", *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=TOP)
        outcome = Outcome("root", "runtime")
        for line in done.stdout.splitlines():
            outcome.take(line)
        return done, outcome

    return run


def test_report(run):
    done, outcome = run()
    root = os.geteuid() == 0
    assert outcome.results == {
        "base: passes": "ok",
        "base: is wrong": "FAILED",
        "base: is broken": "FAILED",
        "base: cannot clear up": "FAILED",
        "base: needs what is not there": "skip",
        "other: is root's": "ok" if root else "skip",
        "other: is a user's": "skip" if root else "ok",
        "outputs: braces {}": "ok",
        "outputs: another": "FAILED",
        "leftovers: no file is left over": "ok",
        "leftovers: no mount is left over": "ok",
    }
    assert outcome.texts["base: is wrong"] == ["a number: wanted 2, got 1"]
    assert outcome.texts["base: is broken"][-1] == "E   KeyError: 'key'"
    assert outcome.texts["base: cannot clear up"] == ["clearing up:", "result: wanted 'gone', got 'left'"]
    assert outcome.texts["base: needs what is not there"] == ["there is none"]
    reasons = outcome.texts["other: is root's"], outcome.texts["other: is a user's"]
    assert reasons == (([], ["root may"]) if root else (["only root may"], []))
    assert outcome.texts["outputs: another"] == ["output: wanted the form 'y', got 'x'"]
    assert done.stdout.splitlines()[0] == f"1..{len(outcome.results)}"
    assert done.stdout.splitlines()[-1] == "5 passed, 4 failed, 2 skipped"
    assert (done.returncode, outcome.ended) == (1, True)


def test_choice_keeps_the_leftovers_checks(run):
    leftovers = ["leftovers: no file is left over", "leftovers: no mount is left over"]
    done, outcome = run("--group", "other,base", "--filter", "^base: passes$|user")
    assert list(outcome.results) == ["base: passes", "other: is a user's", *leftovers]
    assert done.returncode == 0
    done, _ = run("--filter", "passes", "--list")
    assert done.stdout.split("\n")[:3] == ["base: passes", *leftovers]
    assert "passed" not in done.stdout


def test_unknown_group_is_an_error(run):
    done, outcome = run("--group", "base,nothing")
    assert "no such group: nothing; there are base leftovers other outputs" in done.stderr
    assert (done.returncode, outcome.results) == (4, {})


def test_nothing_is_made_without_an_engine(run):
    done, outcome = run("--runtime", "none")
    assert list(outcome.results.values()) == ["FAILED"]
    assert outcome.texts["base: passes"] == ["no engine"]
    assert (done.returncode, outcome.ended) == (2, False)


def test_what_cannot_be_imported_is_an_error(run, tmp_path):
    (tmp_path / "suite.py").write_text("import nowhere")
    done, outcome = run()
    assert "No module named 'nowhere'" in done.stdout
    assert (done.returncode, outcome.results, outcome.ended) == (2, {}, False)


def test_leftovers_are_named(run, tmp_path):
    text = SUITE.replace("engine.undo.callback(engine.files.clear)", "conformance.harness.checks.CALL_SECONDS = 0")
    (tmp_path / "suite.py").write_text(f"import conformance.harness.checks\n{text}")
    done, outcome = run("--filter", "passes")
    assert outcome.failed == ["leftovers: no file is left over"]
    assert outcome.texts["leftovers: no file is left over"] == ["left over:", "x"]
    assert done.returncode == 1
