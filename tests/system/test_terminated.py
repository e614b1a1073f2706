"""SIGTERM where one command has done its work and before another takes it over: it is done, or all is undone."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.bundle import PID_OF_STATE, Bundle
from tests.peers import only_pyrunc
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import COMMAND_DEADLINE, Runtime, new_id

pytestmark = [
    only_pyrunc("ends without undoing anything"),
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace"),
]
STEPS = 30


def traced(runtime: Runtime, bundle: Bundle, verb: str, container_id: str, *options: str) -> tuple[int, list[str]]:
    """The command's status and the lines of its system calls (of itself, not of what it clones)."""
    bundle.save(container_id)
    trace = bundle.path / "trace"
    words = ["strace", "-o", str(trace), *options, "--", *runtime.argv(verb, "--bundle", bundle.path, container_id)]
    result = subprocess.run(words, stdin=-3, stdout=-3, stderr=-3, check=False, timeout=COMMAND_DEADLINE)
    return result.returncode, trace.read_text(errors="replace").splitlines()


def calls_after(runtime: Runtime, bundle: Bundle, verb: str, sign: str) -> list[tuple[str, int]]:
    """Name and number among those of its name of each system call from the one whose line has the sign on."""
    for _ in range(2):  # the first one fills caches
        container_id = new_id()
        _, lines = traced(runtime, bundle, verb, container_id)
        assert runtime.delete(container_id, "--force").returncode == 0
    counts: Counter[str] = Counter()
    calls, on = [], False
    for line in lines:
        if match := re.match(r"(\w+)\(", line):
            counts[match[1]] += 1
            on = on or sign in line
            calls += [(match[1], counts[match[1]])] * on
    assert len(calls) > 3
    return calls


@pytest.mark.parametrize(("verb", "sign"), [("create", "mkdir("), ("create", '"state.json"'), ("run", '"state.json"')])
def test_is_done_or_undone(runtime: Runtime, bundle: Bundle, verb: str, sign: str) -> None:
    calls = [call for call in calls_after(runtime, bundle, verb, sign) if call[0] != "exit_group"]
    outcomes = set()
    for name, number in calls[: STEPS if "state" in sign else 3]:
        container_id = new_id()
        inject = ("-e", f"trace={name}", "-e", f"inject={name}:signal=TERM:when={number}")
        status, _ = traced(runtime, bundle, verb, container_id, *inject)
        assert status in {0, 128 + signal.SIGTERM}, f"{name} {number}"
        done = status == 0 and verb == "create"
        assert (runtime.root / container_id).exists() is done, f"{name} {number}: {status}"
        assert Path(CGROUP_ROOT, CGROUP_PARENT.strip("/"), container_id).exists() is done
        outcomes.add(status)
        assert runtime.delete(container_id, "--force").returncode == 0
    assert 128 + signal.SIGTERM in outcomes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_process_ends_without_ado(runtime: Runtime, bundle: Bundle, number: signal.Signals) -> None:
    """It is a child of the command still, which undoes what there is to undo."""
    bundle.hook("createRuntime", f"kill -{number:d} $({PID_OF_STATE})", drain=False)
    runtime.create_fails(bundle, f"exited (status {128 + number})")
