"""conformance/harness/results: the checks' output is read, compared and shown."""

from conformance.harness import results
from conformance.harness.results import Outcome

OUTPUT = """1..4
ok 1 - base: one | two
not ok 2 - base: hash # in the name
#   wanted 1
#   got 2
ok 3 - limits: three # SKIP only root may
ok 4 - leftovers: none
2 passed, 1 failed, 1 skipped
"""


def outcome(runtime, output=OUTPUT, setting="user", **more):
    run = Outcome(setting, f"/usr/bin/{runtime}", **more)
    for line in output.splitlines(keepends=True):
        run.take(line)
    return run


def test_output_is_read():
    run = outcome("pyrunc")
    assert list(run.results.values()) == ["ok", "FAILED", "skip", "ok"]
    assert run.failed == ["base: hash # in the name"]
    assert run.texts["base: hash # in the name"] == ["wanted 1", "got 2"]
    assert run.texts["limits: three"] == ["only root may"]
    assert run.ended


def test_a_run_that_was_cut_off_is_a_fault():
    run = outcome("pyrunc", "1..2\nok 1 - base: one\n")
    assert results.faults([run]) == ["pyrunc (user): the run did not come to its end"]


def test_a_failure_is_excused_by_the_control_of_the_same_setting():
    subject, control = outcome("pyrunc"), outcome("crun", control=True)
    assert results.faults([control, subject]) == []
    elsewhere = outcome("crun", setting="root", control=True)
    assert results.faults([elsewhere, subject]) == ["pyrunc (user) FAILED: base: hash # in the name"]


def test_the_controls_own_failures_are_no_fault():
    control, subject = outcome("crun", control=True), outcome("pyrunc", OUTPUT.replace("not ok", "ok"))
    assert results.faults([control, subject]) == []


def test_second_try_counts_and_is_named():
    run = outcome("pyrunc")
    assert run.correct(outcome("pyrunc", "ok 1 - base: hash # in the name\n")) == ["base: hash # in the name"]
    assert run.failed == []
    assert "## Passed on the second try\n\n- base: hash # in the name (pyrunc; user)" in markdown(run)


def markdown(*runs):
    return results.markdown("title", "head", runs)


def test_markdown_has_a_row_for_each_check_and_a_column_for_each_run():
    subject = outcome("pyrunc", OUTPUT.replace("leftovers: none", "leftovers: other"))
    text = markdown(outcome("crun", control=True), subject, outcome("pyrunc", setting="root"))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
    assert rows[0] == "|  | root | user | user |"
    assert rows[2] == "| check | pyrunc | crun | pyrunc |"
    assert "| base: one \\| two | ok | ok | ok |" in rows
    assert "| base: hash # in the name | **FAILED** | **FAILED** | **FAILED** |" in rows
    assert "| leftovers: other |  |  | ok |" in rows


def test_markdown_has_each_reason_once():
    text = markdown(outcome("crun", control=True), outcome("pyrunc"))
    assert text.count("only root may") == 1
    assert "- limits: three (crun; user, pyrunc; user): only root may" in text
    assert "- base: hash # in the name (crun; user, pyrunc; user): wanted 1 got 2" in text


def test_text_has_a_cell_for_what_was_not_made():
    text = results.text([outcome("pyrunc"), outcome("crun", "ok 1 - base: one | two\n", control=True)])
    [row] = [line for line in text.splitlines() if line.startswith("leftovers: none")]
    assert row.split()[-2:] == ["-", "ok"]


def test_results_are_kept(tmp_path):
    runs = [outcome("crun", control=True), outcome("pyrunc")]
    results.save(tmp_path / "file", runs)
    assert results.load(tmp_path / "file") == runs
    assert results.load(tmp_path / "none") == []
