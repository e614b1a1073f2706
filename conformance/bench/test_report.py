"""The arithmetic of the report, and the adaption of podman's seccomp profile."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.bench.bundle import seccomp_from_profile
from conformance.bench.report import BASELINE, Report
from conformance.rootfs import go_architecture


def filled() -> Report:
    report = Report(["first", "peer"], "plain")
    for noise in (0.0, 0.0, 100.0):
        report.add_times("first", {"create": 10 + noise, "state": 6, "start": 4, "kill": 5, "delete": 2})
        report.add_times("peer", {"create": 20, "state": 3, "start": 8 + noise, "kill": 5, "delete": 4})
        report.add_times(BASELINE, {BASELINE: 4})
    report.add_memory("first", {"create": 8.5}, {"resident": 0.7})
    report.add_memory("peer", {"create": 3.5}, {"resident": 2.5})
    return report


def test_medians_sums_and_ratios() -> None:
    report = json.loads(filled().json())
    assert report["medianMilliseconds"]["first"]["create + start + delete"] == 16
    assert report["ratioToPeers"]["peer"]["create + start + delete"] == 0.5
    assert report["ratioToBaseline"] == {"state": 1.5, "start": 1.0, "kill": 1.25}
    assert report["peakMegabytes"]["first"]["waiting init, resident"] == 0.7


def test_every_row_of_a_table_has_a_cell_for_every_column() -> None:
    columns = {line.count("|") for line in filled().markdown().splitlines() if line.startswith("|")}
    assert columns == {6, 4}  # times: the command, two runtimes, two ratios; memory: without ratios


def test_seccomp_rules_for_other_machines_and_capabilities_are_left_out(tmp_path: Path) -> None:
    profile = tmp_path / "seccomp.json"
    here = {"names": ["here"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": [go_architecture()]}}
    there = {"names": ["there"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}
    capable = {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}
    content = {"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": [here, there, capable]}
    profile.write_text(json.dumps(content))
    assert seccomp_from_profile(profile)["syscalls"] == [{"names": ["here"], "action": "SCMP_ACT_ALLOW"}]
