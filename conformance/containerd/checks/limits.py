"""cgroup limits: each is read back inside the container, and enforced by the kernel; metrics and events."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.containerd.events import listening
from conformance.containerd.harness import Containerd
from conformance.harness.checks import IMAGE, check, equal, wait_until

CGROUPS = Path("/sys/fs/cgroup")


def cgroup(engine: Containerd, name: str) -> Path:
    """The cgroup of a running container: ctr mounts none into it."""
    pid = engine("task", "list").split(name)[1].split()[0]
    path = Path("/proc", pid, "cgroup").read_text().strip().removeprefix("0::/")
    return CGROUPS / path


@check("limits", "--memory-limit, --cpus, --cpu-shares")
def test_limits(engine: Containerd) -> None:
    words = ["--memory-limit", "67108864", "--cpus", "0.5", "--cpu-shares", "512"]
    name = engine.start(words, "sleep", "1000")
    folder = cgroup(engine, name)
    found = [(folder / key).read_text().strip() for key in ("memory.max", "cpu.max", "cpu.weight")]
    # 20 by the old linear formula, 59 by the one that runc 1.3.2 and crun 1.23 took over
    equal((found[:2], found[2] in ("20", "59")), (["67108864", "50000 100000"], True), str(found))
    equal(name in str(folder), True, f"{name} in {folder}")


@check("limits", "--cpu-quota, --cpu-period")
def test_quota(engine: Containerd) -> None:
    name = engine.start(["--cpu-quota", "20000", "--cpu-period", "50000"], "sleep", "1000")
    equal((cgroup(engine, name) / "cpu.max").read_text(), "20000 50000\n")


@check("limits", "task metrics: of the container's own cgroup")
def test_metrics(engine: Containerd) -> None:
    name = engine.start(["--memory-limit", "67108864"], "sh", "-c", "sleep 1001 & exec sleep 1000")
    wait_until(lambda: len(engine("task", "ps", name).splitlines()) == 3, "both")
    found = json.loads(engine("task", "metrics", "--format", "json", name))
    equal((int(found["pids"]["current"]), int(found["memory"]["usage_limit"])), (2, 67108864))
    equal(int(found["cpu"]["usage_usec"]) > 0, True, "CPU time")


@check("limits", "the hog is pid 1: exit status 137, and an oom event")
def test_oom_event(engine: Containerd) -> None:
    words = engine.run_words(["--memory-limit", "16777216"], "sh", "-c", "sleep 1; exec tail /dev/zero")
    with listening(engine) as seen:
        engine.fails(137, *words)
        wait_until(lambda: "/tasks/delete" in seen(), "the last event")
        equal("/tasks/oom" in seen(), True, f"an oom event in: {seen()}")


@check("limits", "--cgroup: a path of one's own, gone afterwards")
def test_own_cgroup(engine: Containerd) -> None:
    name = engine.new_container()
    folder = CGROUPS / "runtime-checks/other" / name
    words = ["run", "--rm", "--runc-binary", engine.runtime, "--cgroup", f"/runtime-checks/other/{name}"]
    equal(
        engine(*words, IMAGE, name, "cat", "/proc/self/cgroup"),
        f"0::/runtime-checks/other/{name}",
    )
    equal(folder.exists(), False, f"{folder} afterwards")
    folder.parent.rmdir()
