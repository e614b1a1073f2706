"""SIGKILL of create at any point: `delete --force` then leaves nothing, and the id can be used again."""

import random
import signal
import time

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime, error_text, new_id
from tests.waiting import exit_code

LEAVES = differs(
    crun="1.8.1 knows nothing of a container whose status file is not written yet",
    runc="1.1.5 knows nothing of a container whose state file is not written yet",
)
STEPS = 20


@LEAVES
@pytest.mark.parametrize("step", range(STEPS))
def test_delete_by_force_clears_all(runtime: Runtime, bundle: Bundle, step: int) -> None:
    """Kill after a random part of the time that a whole create takes here; the step seeds the number."""
    reference = new_id()
    begin = time.monotonic()
    assert runtime.create(bundle, reference).returncode == 0
    duration = time.monotonic() - begin
    assert runtime.delete(reference, "--force").returncode == 0

    container_id = new_id()
    bundle.linux.pop("cgroupsPath")
    bundle.save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    time.sleep(duration * (step + random.Random(step).random()) / STEPS)
    process.send_signal(signal.SIGKILL)
    process.wait()

    state = runtime.state(container_id)
    if state.returncode != 0:
        error_text(state)
    deleted = runtime.delete(container_id, "--force")
    assert deleted.returncode == 0, deleted.stderr
    assert deleted.stderr == ""
    error_text(runtime.state(container_id))
    again = runtime.create(bundle, container_id)
    assert again.returncode == 0, again.stderr
    assert runtime.delete(container_id, "--force").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@LEAVES
def test_termination_of_create(runtime: Runtime, bundle: Bundle, number: signal.Signals) -> None:
    container_id = new_id()
    bundle.hook("createRuntime", f"touch {bundle.path}/reached; exec sleep 1000").save(container_id)
    process = runtime.popen("create", "--bundle", bundle.path, container_id)
    while not (bundle.path / "reached").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert runtime.delete(container_id, "--force").returncode == 0


@differs(crun="1.8.1 waits for ever")
def test_first_process_that_dies_during_create(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("createRuntime", "kill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | tr -d '\\n')", drain=False)
    runtime.create_fails(bundle)


def test_first_process_dead_before_start(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        error_text(runtime.start(container.id))
        assert runtime.delete(container.id).returncode == 0
