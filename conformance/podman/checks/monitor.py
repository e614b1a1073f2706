"""Commands on a running container: stats, top, pause, update."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.harness.checks import check, equal, matches, wait_until
from conformance.harness.docker_checks import CGROUPS
from conformance.podman.harness import Podman

COUNTER = ["sh", "-c", "echo up; while :; do echo x; sleep 0.1; done"]


def setting(podman: Podman, name: str, file: str) -> str:
    """A cgroup file of a running container, read from the host."""
    return Path(f"{CGROUPS}{podman.inspect(name, '.State.CgroupPath')}/{file}").read_text().strip()


def events(podman: Podman, name: str) -> str:
    """cgroup.events of the cgroup that the process is in: crun's is one level below the one that podman names."""
    own = Path(f"/proc/{podman.inspect(name, '.State.Pid')}/cgroup").read_text().strip().partition("::")[2]
    return Path(f"{CGROUPS}{own}/cgroup.events").read_text()


@check("limits", "stats --no-stream")
def test_stats(podman: Podman) -> None:
    name = podman.start(["--memory", "64m"], "sleep", "1000")
    [values] = json.loads(podman("stats", "--no-stream", "--format", "json", name))
    equal(values["name"], name)
    equal(values["pids"], "1")
    matches(values["mem_usage"], r"[\d.]+[kM]?B / 67\.11MB", "memory")


@check("limits", "top")
def test_top(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    equal(podman("top", name, "pid", "user", "args").split(), ["PID", "USER", "COMMAND", "1", "root", "sleep", "1000"])


@check("limits", "pause: nothing runs, and it is seen; unpause")
def test_pause(podman: Podman) -> None:
    name = podman.start([], *COUNTER)
    podman.logs_until(name, "up")
    podman("pause", name)
    equal(podman.inspect(name, ".State.Status"), "paused")
    matches(events(podman, name), ".*frozen 1.*", "cgroup.events")
    before = podman("logs", name)
    podman.run([], "sleep", "1")
    equal(podman("logs", name) == before, True, "the log is as it was")
    podman("unpause", name)
    equal(podman.inspect(name, ".State.Status"), "running")
    wait_until(lambda: len(podman("logs", name)) > len(before), "it goes on")


@check("limits", "pause: kill and rm -f work on a paused container")
def test_pause_end(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    podman("pause", name)
    equal(podman.call("pause", name).status != 0, True, "a second pause is refused")
    podman("rm", "--force", "--time", "0", name)
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")


@check("limits", "pod pause, pod unpause")
def test_pause_pod(podman: Podman) -> None:
    pod = podman.new_pod()
    podman("pod", "create", "--name", pod, "--network", "none")
    names = [podman.start(["--pod", pod], "sleep", "1000") for _ in range(2)]
    for action, state in (("pause", "paused"), ("unpause", "running")):
        podman("pod", action, pod)
        equal([podman.inspect(name, ".State.Status") for name in names], [state] * 2)
    equal(podman("exec", names[0], "echo", "again"), "again")


@check("limits", "update --memory, --cpus, --pids-limit, --cpu-shares, --cpuset-cpus")
def test_update(podman: Podman) -> None:
    podman.need(5, "update --pids-limit")
    name = podman.start(["--memory", "64m", "--pids-limit", "50"], "sleep", "1000")
    for option, value, file, wanted in (
        ("--memory", "128m", "memory.max", "134217728"),
        ("--memory", "32m", "memory.max", "33554432"),
        ("--cpus", "0.25", "cpu.max", "25000 100000"),
        ("--pids-limit", "77", "pids.max", "77"),
        ("--cpu-shares", "2048", "cpu.weight", "79|174|170"),
        ("--cpuset-cpus", "0", "cpuset.cpus", "0"),
    ):
        podman("update", option, value, name)
        matches(setting(podman, name, file), wanted, f"{file} after {option} {value}")


@check("limits", "update: the other limits stay, also over a restart")
def test_update_keeps(podman: Podman) -> None:
    podman.need(5, "updates that outlast a restart")
    name = podman.start(["--memory", "64m", "--pids-limit", "50"], "sleep", "1000")
    podman("update", "--cpus", "0.5", name)
    podman("restart", "--time", "0", name)
    values = [setting(podman, name, file) for file in ("memory.max", "pids.max", "cpu.max")]
    equal(values, ["67108864", "50", "50000 100000"])


@check("limits", "update: a container that is not there or not running")
def test_update_refused(podman: Podman) -> None:
    equal(podman.call("update", "--cpus", "0.5", f"{podman.prefix}-none").status, 125)
