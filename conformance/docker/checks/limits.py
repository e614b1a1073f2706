"""cgroup limits: each is read back inside the container, changed while it runs, and enforced by the kernel."""

from __future__ import annotations

import json
import os

from conformance.docker.harness import Docker
from conformance.harness.checks import check, equal, matches, output_checks, wait_until
from conformance.harness.docker_checks import CGROUPS, read

test_outputs = output_checks(
    "limits",
    [
        ("--memory: as much swap on top", "--memory 64m", read("memory.max memory.swap.max"), "67108864\n67108864"),
        ("--memory-swap", "--memory 64m --memory-swap 96m", read("memory.swap.max"), "33554432"),
        ("--cpuset-cpus, --cpuset-mems", "--cpuset-cpus 0 --cpuset-mems 0", read("cpuset.cpus cpuset.mems"), "0\n0"),
        # by the systemd driver some runtimes leave systemd's default for processes
        ("no limits without options", "", read("memory.max cpu.max pids.max"), r"max\nmax 100000\n(max|\d{3,})"),
    ],
)


@check("limits", "--memory: the hog is pid 1: exit status 137, OOMKilled, and an oom event")
def test_oom_killed(docker: Docker) -> None:
    for _ in range(6):  # containerd looks at memory.events when the container is there: a quick end is missed
        name = docker.start(["--memory", "16m", "--memory-swap", "16m"], "sh", "-c", "sleep 1; exec tail /dev/zero")
        equal(docker("wait", name), "137")
        words = [
            "events",
            "--since",
            "10m",
            "--until",
            "0s",
            "--filter",
            f"container={name}",
            "--format",
            "{{.Action}}",
        ]
        if docker.inspect(name, ".State.OOMKilled") == "true" and "oom" in docker(*words).split():
            return
    equal(True, False, "OOMKilled in one of six runs")


@check("limits", "update: --memory, --cpus, --pids-limit, --cpu-shares, --cpuset-cpus while it runs")
def test_update(docker: Docker) -> None:
    name = docker.start(["--memory", "64m", "--pids-limit", "50"], "sleep", "1000")
    words = ["--memory", "96m", "--memory-swap", "128m", "--cpus", "0.25", "--pids-limit", "33", "--cpuset-cpus", "0"]
    docker("update", *words, name)
    found = docker("exec", name, "sh", "-c", read("memory.max memory.swap.max cpu.max pids.max cpuset.cpus")).split(
        "\n"
    )
    equal(found, ["100663296", "33554432", "25000 100000", "33", "0"])
    docker("update", "--pids-limit", "-1", "--cpu-shares", "512", name)
    found = docker("exec", name, "sh", "-c", read("memory.max pids.max cpu.weight")).split()
    equal((found[:2], found[2] in ("20", "59")), (["100663296", "max"], True), str(found))


@check("limits", "update: of a paused container, and of one that does not run")
def test_update_paused(docker: Docker) -> None:
    name = docker.start([], "sleep", "1000")
    docker("pause", name)
    docker("update", "--pids-limit", "44", name)
    docker("unpause", name)
    equal(docker("exec", name, "cat", f"{CGROUPS}/pids.max"), "44")
    name = docker.create([], "cat", f"{CGROUPS}/pids.max")
    docker("update", "--pids-limit", "45", name)
    equal(docker("start", "--attach", name), "45")


@check("limits", "update --restart")
def test_update_restart(docker: Docker) -> None:
    name = docker.start([], "sleep", "1000")
    docker("update", "--restart", "on-failure:3", name)
    equal(docker.inspect(name, ".HostConfig.RestartPolicy.MaximumRetryCount"), "3")


@check("limits", "stats: memory with its limit, processes, CPU time")
def test_stats(docker: Docker) -> None:
    name = docker.start(["--memory", "64m"], "sh", "-c", "sleep 1001 & exec sleep 1000")
    wait_until(lambda: "sleep 1000" in docker("top", name), "both")
    found = json.loads(docker("stats", "--no-stream", "--format", "{{json .}}", name))
    equal(found["PIDs"], "2")
    matches(found["MemUsage"], r"\d.* / 64MiB")
    matches(found["CPUPerc"], r"\d+\.\d+%")


@check("limits", "--cgroup-parent, --cgroupns host")
def test_cgroup_parent(docker: Docker) -> None:
    systemd = docker("info", "--format", "{{.CgroupDriver}}") == "systemd"
    parent = "checks.slice" if systemd else "/checks"
    output = docker.run(["--cgroup-parent", parent, "--cgroupns", "host"], "cat", "/proc/self/cgroup")
    matches(output, r"0::/checks.slice/docker-[0-9a-f]{64}.scope.*" if systemd else r"0::/checks/[0-9a-f]{64}.*")
    if not systemd:
        os.rmdir(f"{CGROUPS}/checks")


@check("limits", "--blkio-weight, --device-read-bps")
def test_block_io(docker: Docker) -> None:
    script = f"cd {CGROUPS}; cat io.bfq.weight 2>/dev/null || cat io.weight"
    # BFQ's own range is 1..1000: 500 stays; io.weight's is 1..10000: 10 -> 1, 1000 -> 10000
    matches(docker.sh(["--blkio-weight", "500"], script), "default (500|4950)", "io weight")
