"""The report: what counts as worse, and what is shown of the parts."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.report import document
from conformance.report.document import Part


def programs(folder: Path) -> Part:
    def result(passed: int, *failures: str) -> dict[str, object]:
        return {"passed": passed, "skipped": 0, "failures": list(failures), "seconds": 1.0}

    results = {
        "good": {"pyrunc": result(3), "crun": result(2, "x")},
        "bad": {"pyrunc": result(2, "x"), "crun": result(3)},
        "start": {"pyrunc": result(6, "x"), "crun": result(7)},
        "old_1": {"pyrunc": result(0, "x"), "crun": result(1)},
        "nobody": {"pyrunc": result(0, "x"), "crun": result(0, "x")},
    }
    report = {
        "results": results, "notDeciding": {"old_*": "old"}, "againstSpec": {"start: x": "the text says so"},
        "wrong": {"bad": "it expects another word"},
    }  # fmt: skip
    (folder / "programs.json").write_text(json.dumps(report))
    return document.read_programs("programs", folder / "programs.json")


def test_programs(tmp_path: Path) -> None:
    part = programs(tmp_path)
    assert part.outcomes["bad"] == {"pyrunc": "FAILED 1/3", "crun": "ok"}
    assert part.worse("pyrunc") == ["bad"]
    assert part.worse("crun") == ["good"]
    assert part.remarks == {"bad": "it expects another word", "start": "the text says so", "old_1": "old"}


def test_tables_of_several_runs_are_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps({"/usr/bin/pyrunc": {"x": "ok", "y": "skip"}, "/usr/bin/crun": {"x": "ok"}}))
    (tmp_path / "b").write_text(json.dumps({"/usr/sbin/runc": {"y": "ok", "z": "ok"}}))
    part = document.read_checks("podman", tmp_path / "a", tmp_path / "b")
    assert part.runtimes() == ["pyrunc", "crun", "runc"]
    assert part.worse("pyrunc") == ["z"]


def test_report_has_versions_sums_and_tables(tmp_path: Path) -> None:
    parts = [programs(tmp_path), Part("docker", problem="it is not installed")]
    text = document.as_markdown({"kernel": "7.2"}, parts, "pyrunc")
    assert "| kernel | 7.2 |" in text
    assert "- crun: 3 passed, 2 not, 0 skipped" in text
    assert "pyrunc is worse than a peer in: bad." in text
    assert "| start | FAILED 1/7 | ok | the text says so |" in text
    assert "Not made: it is not installed" in text
    value = json.loads(document.as_json({"kernel": "7.2"}, parts, "pyrunc"))
    assert value["parts"]["programs"]["worse"] == ["bad"]
    assert value["parts"]["docker"]["problem"] == "it is not installed"
