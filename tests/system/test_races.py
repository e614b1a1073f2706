"""Commands that run at the same time on one id: one wins, the others say so, nothing is left."""

import contextlib
import json
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Runtime, error_text, new_id
from tests.waiting import exit_code


def together(runtime: Runtime, count: int, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """Run a command count times at once."""
    processes = [runtime.popen(*arguments, stderr=subprocess.PIPE) for _ in range(count)]
    results = []
    for process in processes:
        assert process.stderr is not None
        # Not communicate(): the winner of `create` hands its stderr down to the container.
        code = process.wait(60)
        message = "" if code == 0 else process.stderr.read().decode()
        process.stderr.close()
        results.append(subprocess.CompletedProcess(process.args, code, "", message))
    return results


@differs(runc="1.1.5 checks for the id and makes its directory in two steps")
def test_one_of_twenty_creates_wins(runtime: Runtime, bundle: Bundle) -> None:
    container_id = new_id()
    bundle.shell("echo one > /ran").save(container_id)
    results = together(runtime, 20, "create", "--bundle", str(bundle.path), container_id)
    losers = [result for result in results if result.returncode != 0]
    assert len(losers) == 19
    for loser in losers:
        error_text(loser, "already exists")
    assert json.loads(runtime.state(container_id).stdout)["status"] == "created"
    assert runtime.start(container_id).returncode == 0
    assert runtime.delete(container_id, "--force").returncode == 0


@differs(runc="1.5.3 makes its cgroup once")
def test_cgroup_that_is_tidied_up_while_create_makes_it(runtime: Runtime, bundle: Bundle) -> None:
    """Whoever removes empty cgroups, an engine that ends another container of a pod, say, removes this one, too."""
    survives_tidying(runtime, bundle, above=False)


@differs(runc="1.5.3 makes its cgroup once", crun="1.28 looks for controllers in the one above once")
def test_cgroup_that_is_tidied_up_with_the_one_above(runtime: Runtime, bundle: Bundle) -> None:
    survives_tidying(runtime, bundle, above=True)


def survives_tidying(runtime: Runtime, bundle: Bundle, *, above: bool) -> None:
    parent = CGROUP_ROOT / f"{CGROUP_PARENT}/{new_id()}".strip("/")
    cgroup = parent / "below"
    bundle.linux["cgroupsPath"] = f"/{cgroup.relative_to(CGROUP_ROOT)}"
    removed = 0
    for i in range(100):
        parent.mkdir(parents=True)
        if i % 2:
            cgroup.mkdir()
        tidied: list[Path] = []
        over = threading.Event()
        thread = threading.Thread(target=tidy, args=([cgroup, parent] if above else [cgroup], over, tidied))
        thread.start()
        try:
            with runtime.running(bundle.shell("exec sleep 1000")) as container:
                assert container.status == "running"
                assert cgroup.is_dir()
        finally:
            over.set()
            thread.join()
            for path in (cgroup, parent):
                with contextlib.suppress(FileNotFoundError):
                    path.rmdir()
        removed += tidied.count(cgroup)
        if removed > 8:
            return
    pytest.fail(f"it was removed {removed} times only")


def tidy(paths: list[Path], over: threading.Event, tidied: list[Path], most: int = 4) -> None:
    """Remove cgroups as soon as they are there, and note which."""
    while len(tidied) < most and not over.is_set():
        for path in paths:
            with contextlib.suppress(OSError):
                path.rmdir()
                tidied.append(path)


@differs(runc="1.1.5: the losers may block for ever on opening the fifo")
def test_one_of_ten_starts_wins(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("echo ran; exec sleep 1000")) as container:
        codes = Counter(result.returncode == 0 for result in together(runtime, 10, "start", container.id))
        assert codes == {True: 1, False: 9}
        assert container.status == "running"
        assert container.output() in ("", "ran\n")


@differs(crun="1.8.1: the losers may fail on a file that went away", runc="1.1.5: the losers may fail on its cgroup")
def test_ten_deletes_by_force_all_succeed(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        for result in together(runtime, 10, "delete", "--force", container.id):
            assert result.returncode == 0, result.stderr


@differs(runc="1.1.5: two may win")
def test_one_of_ten_deletes_wins(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        results = together(runtime, 10, "delete", container.id)
        assert Counter(result.returncode == 0 for result in results) == {True: 1, False: 9}
        for result in results:
            if result.returncode:
                error_text(result)


def test_list_and_state_during_create_and_delete(runtime: Runtime, bundle: Bundle) -> None:
    runtime.root.mkdir(exist_ok=True)
    for _ in range(10):
        container_id = new_id()
        bundle.save(container_id)
        creating = runtime.popen("create", "--bundle", bundle.path, container_id)
        while creating.poll() is None:
            listed = runtime.call("list", "--format", "json")
            assert listed.returncode == 0, listed.stderr
        assert creating.returncode == 0
        deleting = runtime.popen("delete", "--force", container_id)
        while deleting.poll() is None:
            listed = runtime.call("list", "--quiet")
            assert listed.returncode == 0, listed.stderr
        assert deleting.returncode == 0


@differs(crun="1.8.1 may leave a container whose status was not written yet")
def test_create_and_delete_of_one_id_in_turns_never_disturb_each_other(runtime: Runtime, bundle: Bundle) -> None:
    container_id = new_id()
    bundle.save(container_id)
    for _ in range(10):
        creating = runtime.popen("create", "--bundle", bundle.path, container_id)
        deleting = runtime.popen("delete", "--force", container_id)
        assert deleting.wait(60) == 0
        creating.wait(60)
    assert runtime.delete(container_id, "--force").returncode == 0
