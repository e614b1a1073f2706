"""pause, resume, ps, events and update: the commands that work on a container's cgroup."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Container, Runtime, error_text, new_id
from tests.waiting import eventually, exit_code


@pytest.fixture
def running(runtime: Runtime, bundle: Bundle):
    with runtime.created(bundle.shell("while :; do sleep 1; done")) as container:
        container.start()
        yield container


def command(container: Container, *words: str):
    name, *options = words
    return container.runtime.call(name, *options, container.id)


def test_pause_and_resume(running: Container) -> None:
    assert command(running, "pause").returncode == 0
    assert running.status == "paused"
    assert command(running, "resume").returncode == 0
    assert running.status == "running"


@differs(crun="1.8.1 pauses twice", runc="1.1.5 says so in a warning of two lines")
def test_pause_twice_and_resume_what_runs_are_errors(running: Container) -> None:
    error_text(command(running, "resume"), "running")
    assert command(running, "pause").returncode == 0
    error_text(command(running, "pause"), "paused")
    assert command(running, "resume").returncode == 0


def test_paused_container_can_be_killed(running: Container) -> None:
    pid = running.pid
    assert command(running, "pause").returncode == 0
    running.kill("KILL")
    assert exit_code(pid) == -signal.SIGKILL


def test_ps_as_json_lists_the_pids(running: Container) -> None:
    assert running.pid in json.loads(command(running, "ps", "--format", "json").stdout)


@differs(crun="1.8.1 prints pids and no lines of ps(1)")
def test_ps_as_table_has_the_lines_of_ps(running: Container) -> None:
    header, *lines = command(running, "ps").stdout.splitlines()
    assert "PID" in header
    pids = {line.split()[header.split().index("PID")] for line in lines}
    assert str(running.pid) in pids
    assert str(os.getpid()) not in pids


@differs(crun="1.8.1 prints pids and no lines of ps(1)")
def test_options_of_ps(running: Container) -> None:
    header, *lines = running.runtime.call("ps", running.id, "-e", "-o", "pid,comm").stdout.splitlines()
    assert header.split() == ["PID", "COMMAND"]
    assert [str(running.pid), "sh"] in [line.split() for line in lines]


@differs(crun="has no events")
def test_statistics_once(running: Container) -> None:
    line = json.loads(command(running, "events", "--stats").stdout)
    assert (line["type"], line["id"]) == ("stats", running.id)
    assert {"cpu", "memory", "pids"} <= set(line["data"])


@differs(crun="has no events", runc="1.1.5 goes on after the end when it has seen no out-of-memory event")
def test_events_end_with_the_container(running: Container) -> None:
    with running.runtime.popen("events", "--interval", "1h", running.id, stdout=subprocess.PIPE) as watching:
        assert b'"stats"' in watching.stdout.readline()
        running.kill("KILL")
        assert watching.wait(60) == 0


@differs(crun="1.8.1 says only that a file is missing", runc="1.1.5 says so in several words and lines")
def test_update_of_a_file_that_no_controller_has_names_it(running: Container, area: Path) -> None:
    resources = area / "resources.json"
    resources.write_text('{"unified": {"nonsense.max": "0"}}')
    error_text(running.runtime.call("update", "--resources", resources, running.id), "nonsense")


@differs(crun="1.8.1 fails where it may not raise RLIMIT_MEMLOCK for the filter", runc="1.1.5 leaves devices alone")
@pytest.mark.parametrize("source", ["file", "-", "/dev/stdin"])
def test_update_of_device_rules(runtime: Runtime, bundle: Bundle, area: Path, source: str) -> None:
    deny = {"allow": False, "access": "rwm"}
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
    bundle.linux["resources"] = {"devices": [deny]}
    resources = area / "resources.json"
    resources.write_text(json.dumps({"devices": [deny, {"allow": True, "type": "c", "major": 1, "minor": 11}]}))
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        for status in (1, 0):
            result = runtime.call("exec", container.id, "sh", "-c", "(: > /dev/kmsg)")
            assert result.returncode == status, result.stderr
            with subprocess.Popen(["cat", resources], stdout=subprocess.PIPE) as pipe:
                words = ("update", "--resources", resources if source == "file" else source, container.id)
                assert runtime.call(*words, stdin=pipe.stdout).returncode == 0


@pytest.mark.parametrize("name", ["pause", "resume", "update", "events", "ps"])
def test_unknown_container(runtime: Runtime, name: str) -> None:
    runtime.root.mkdir(exist_ok=True)
    assert runtime.call(name, "no-such-container").returncode != 0


@differs(crun="1.8.1 removes it", runc="1.1.5 removes it")
def test_cgroup_that_was_there_before_stays(runtime: Runtime, bundle: Bundle) -> None:
    """What create has not made delete must not remove (runtime.md, "Delete"): only what is below, and processes."""
    bundle.linux["cgroupsPath"] = path = f"{CGROUP_PARENT}/{new_id()}"
    cgroup = CGROUP_ROOT / path.strip("/")
    cgroup.mkdir(parents=True)
    bundle.linux["namespaces"] = [entry for entry in bundle.linux["namespaces"] if entry["type"] != "pid"]
    with runtime.running(bundle.shell("sleep 1000 & exec sleep 1000")) as container:
        (cgroup / "below").mkdir()
        (cgroup / "below/cgroup.procs").write_text(str(container.pid))
        assert runtime.call("exec", container.id, "true").returncode == 0
        assert runtime.call("pause", container.id).returncode == 0
    assert not (cgroup / "below").exists()
    assert (cgroup / "cgroup.procs").read_text() == ""
    again = runtime.run(bundle.shell("echo again"))
    assert again.stdout == "again\n", again.stderr
    cgroup.rmdir()


@differs(crun="1.8.1 fails with `write to sync socket`")
@pytest.mark.parametrize("whose", ["the container's", "the caller's"])
def test_cgroup_that_was_killed_once(runtime: Runtime, bundle: Bundle, whose: str) -> None:
    """Linux 6.18 kills what is cloned from a cgroup that was not killed into one that was, and the other way round."""
    bundle.linux["cgroupsPath"] = path = f"{CGROUP_PARENT}/{new_id()}"
    killed = CGROUP_ROOT / (path if whose == "the container's" else f"{CGROUP_PARENT}/{new_id()}").strip("/")
    killed.mkdir(parents=True)
    (killed / "cgroup.kill").write_text("1")
    if whose == "the caller's":
        runtime = runtime.behind("sh", "-c", f'echo $$ > {killed}/cgroup.procs && exec "$@"', "sh")
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        assert str(container.pid) in (CGROUP_ROOT / path.strip("/") / "cgroup.procs").read_text().split()
        seen = runtime.call("exec", container.id, "cat", "/proc/self/cgroup")
        assert "0::/\n" in seen.stdout, seen.stderr  # the root of its cgroup namespace
    if killed.exists():  # runc has removed the container's
        killed.rmdir()


@differs(crun="1.8.1 kills it", runc="1.1.5 fails to remove the cgroup, which it says")
def test_delete_spares_a_container_that_has_come_into_the_cgroup(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    """The first has ended, and its cgroup is free for the second, but its delete is still to come."""
    path = f"{CGROUP_PARENT}/{new_id()}"
    ended, other = make_bundle(), make_bundle().shell("exec sleep 1000")
    for bundle in (ended, other):
        bundle.linux["cgroupsPath"] = path
    with runtime.running(ended) as first:
        eventually(lambda: first.status == "stopped", "the first to end")
        with runtime.running(other) as second:
            deleted = runtime.delete(first.id)
            assert deleted.returncode == 0, deleted.stderr
            assert f"process {second.pid}" in deleted.stderr
            assert second.status == "running"
    (CGROUP_ROOT / path.lstrip("/")).rmdir()


@differs(runc="1.5.3 limits it to one process, whatever the version")
def test_no_processes_are_no_limit_in_an_old_configuration(runtime: Runtime, bundle: Bundle) -> None:
    """podman 4 writes 0 for `--pids-limit -1`."""
    if "pids" not in (CGROUP_ROOT / "cgroup.controllers").read_text().split():
        pytest.skip("the unified hierarchy has no controller pids")
    bundle.config["ociVersion"] = "1.0.2-dev"
    bundle.linux["resources"] = {"pids": {"limit": 0}}
    assert runtime.output(bundle, "(echo forked; cat /proc/self/cgroup >/dev/null) | cat") == "forked\n"
