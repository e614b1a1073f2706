"""The reader of the programs' output, on the odd forms that they print."""

from __future__ import annotations

from conformance.runtime_tools.report import against_spec, regressions
from conformance.runtime_tools.tap import Result


def test_points_are_counted() -> None:
    output = "TAP version 13\nok 1 - a\nnot ok 2 - b\n  ---\n  not ok in yaml\n  ...\nok 3 # SKIP c\n1..3\n"
    result = Result.read(output, 0)
    assert (result.passed, result.failures, result.skipped) == (1, ["b"], 1)


def test_silence_is_success_only_with_status_zero() -> None:
    assert Result.read("", 0).passed == 1
    assert Result.read("", 1).failures == ["exit status 1"]


def test_missing_points_are_a_failure() -> None:
    assert Result.read("1..3\nok 1 - a\n", 0).failures == ["planned 3 tests, ran 1"]


def test_error_without_a_point_is_a_failure() -> None:
    result = Result.read('TAP version 13\n  ---\n  {\n    "error": "hook\\nnot called"\n  }\n  ...\n1..0\n', 0)
    assert (result.passed, result.failures) == (0, ["hook not called"])


def test_what_varies_does_not_tell_failures_apart() -> None:
    first = Result.read("not ok 1 - stat /tmp/ocitest123456/x\n1..1\n", 0)
    peer = Result.read("not ok 1 - stat /tmp/ocitest98765/x\n1..1\n", 0)
    assert first.failures == peer.failures


def table(first: Result, peer: Result, probe: Result) -> dict[str, dict[str, Result]]:
    return {"default": {"first": Result(passed=1), "peer": probe}, "program": {"first": first, "peer": peer}}


def test_only_what_a_peer_passes_is_a_regression() -> None:
    first, able = Result(passed=1, failures=["a", "b"]), Result(passed=1)
    assert regressions(table(first, Result(passed=2, failures=["a"]), able), []) == {"program": ["b"]}
    assert regressions(table(first, Result(failures=["exit status 1"]), able), []) == {}
    assert regressions(table(first, Result(passed=2), Result(failures=["exit status 1"])), []) == {}
    assert regressions(table(first, Result(passed=2), able), ["prog*"]) == {}


def test_lenient_excuses_what_any_peer_fails() -> None:
    both = table(Result(passed=1, failures=["a", "b"]), Result(passed=2, failures=["a"]), Result(passed=1))
    both["default"]["other"], both["program"]["other"] = Result(passed=1), Result(passed=3)
    assert regressions(both, []) == {"program": ["a", "b"]}
    assert regressions(both, [], lenient=True) == {"program": ["b"]}


def test_what_the_specification_wants_is_no_regression() -> None:
    failure = "`start` operation MUST generate an error if `process` was not set"
    others = table(Result(passed=6, failures=[failure, "x"]), Result(passed=7), Result(passed=1))
    both = {"default": others["default"], "start": others["program"]}
    assert regressions(both, []) == {"start": ["x"]}
    assert against_spec("start", "x") == against_spec("create", failure) == ""
