"""process.execCPUAffinity: what holds while exec makes the process, which nobody sees afterwards."""

import os
from types import SimpleNamespace

import pytest
from pyrunc.stages import exec_parent


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
@pytest.mark.parametrize("initial", [True, False])
def test_initial_cpus_are_those_of_the_clone_and_then_given_back(monkeypatch, initial):
    ours, seen = os.sched_getaffinity(0), []
    cpus = (min(ours),) if initial else None
    monkeypatch.setattr(exec_parent, "_clone_into", lambda *_: seen.append(os.sched_getaffinity(0)) or 17)
    assert exec_parent._clone(SimpleNamespace(initial_cpus=cpus), None) == 17
    assert seen == [set(cpus) if cpus else ours]
    assert os.sched_getaffinity(0) == ours
