"""cgroup limits: each is read back inside the container, and enforced by the kernel."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from conformance.harness.checks import IMAGE, check, equal, matches, output_checks, wait_until
from conformance.harness.docker_checks import CGROUPS, read
from conformance.podman.harness import Podman

ROOT_DEVICES = "only root may load device rules into the kernel, or make a device node"


test_outputs = output_checks(
    "limits",
    [
        ("--memory", "--memory 64m", read("memory.max"), "67108864"),
        (
            "--memory-swap: swap is what it has on top",
            "--memory 64m --memory-swap 96m",
            read("memory.max memory.swap.max"),
            "67108864\n33554432",
        ),
        ("--cpu-period alone", "--cpu-period 50000", read("cpu.max"), "max 50000"),
        ("--cpu-shares: the default is the default weight", "--cpu-shares 1024", read("cpu.weight"), "39|100"),
        ("--cpuset-cpus", "--cpuset-cpus 0", read("cpuset.cpus cpuset.cpus.effective"), "0\n0"),
        ("--cpuset-mems", "--cpuset-mems 0", read("cpuset.mems"), "0"),
        ("--pids-limit -1", "--pids-limit -1", read("pids.max"), "max"),
        (
            "--cgroup-conf",
            "--cgroup-conf memory.high=50331648 --cgroup-conf pids.max=33",
            read("memory.high pids.max"),
            "50331648\n33",
        ),
        (
            "all of them at once",
            "--memory 64m --cpus 0.5 --pids-limit 50 --cpu-shares 512 --cpuset-cpus 0",
            read("memory.max cpu.max pids.max cpuset.cpus"),
            "67108864\n50000 100000\n50\n0",
        ),
        ("limits with a user namespace of its own", "--userns auto --memory 64m", read("memory.max"), "67108864"),
        ("cgroup: nobody else is in it", "", f"grep -c '^0$' {CGROUPS}/cgroup.procs; true", "0"),
    ],
)


@check("limits", "pids: podman's own limit")
def test_pids_default(podman: Podman) -> None:
    equal(podman.sh([], read("pids.max")), "max" if podman.rootless and manager(podman) == "cgroupfs" else "2048")


def manager(podman: Podman) -> str:
    """Who makes the cgroups: systemd or cgroupfs."""
    return podman("info", "--format", "{{.Host.CgroupManager}}")


def first_disk() -> tuple[str, str]:
    """A block device of the host: path, major:minor."""
    for folder in sorted(Path("/sys/block").iterdir()):
        if not re.match(r"(loop|ram|zram|nbd)", folder.name) and Path("/dev", folder.name).exists():
            return f"/dev/{folder.name}", folder.joinpath("dev").read_text().strip()
    pytest.skip("this host has no disk")


def has_controller(name: str) -> bool:
    """Whether this process's user may use it: what the containers' parents can hand down."""
    own = Path("/proc/self/cgroup").read_text().strip().partition("::")[2]
    for folder in (Path(CGROUPS + own), *Path(CGROUPS + own).parents):
        controllers = folder / "cgroup.controllers"
        if controllers.exists():
            return name in controllers.read_text().split()
    return False


@check("limits", "--blkio-weight")
def test_blkio_weight(podman: Podman) -> None:
    if not has_controller("io"):
        pytest.skip("no io controller here")
    script = f"cd {CGROUPS}; cat io.bfq.weight 2>/dev/null || cat io.weight"
    # BFQ's own range is 1..1000: 500 stays; io.weight's is 1..10000: 10 -> 1, 1000 -> 10000
    matches(podman.sh(["--blkio-weight", "500"], script), "default (500|4950)", "io weight")


@check("limits", "--device-read-bps and its three kin")
def test_throttles(podman: Podman) -> None:
    if not has_controller("io"):
        pytest.skip("no io controller here")
    path, number = first_disk()
    options = [f"--device-read-bps={path}:1mb", f"--device-write-bps={path}:2mb"]
    options += [f"--device-read-iops={path}:100", f"--device-write-iops={path}:200"]
    equal(podman.sh(options, read("io.max")), f"{number} rbps=1048576 wbps=2097152 riops=100 wiops=200")


@check("limits", "--memory: the hog is pid 1: exit status 137, and podman says OOMKilled")
def test_oom_killed(podman: Podman) -> None:
    for _ in range(6):  # conmon misses the event now and then, with every runtime, on a user-mode kernel
        name = podman.start(["--memory", "16m", "--memory-swap", "16m"], "tail", "/dev/zero")
        equal(podman("wait", name), "137")
        if podman.inspect(name, ".State.OOMKilled") == "true":
            return
    equal(True, False, "OOMKilled in one of six runs")


@check("limits", "--cpus: the quota holds")
def test_cpu_quota(podman: Podman) -> None:
    script = "timeout 5 sh -c 'while :; do :; done'; cat /sys/fs/cgroup/cpu.stat"
    numbers = {key: int(value) for key, value in map(str.split, podman.sh(["--cpus", "0.2"], script).splitlines())}
    equal(numbers["nr_throttled"] > 0, True, f"throttled: {numbers}")
    allowed = numbers["nr_periods"] * 100_000 * 0.2  # by the kernel's own count of periods: a slow host does not matter
    # A quota of 20 ms ends at a clock tick, which may be 10 ms later; without a quota it would be five times as much.
    equal(numbers["usage_usec"] <= allowed * 1.6, True, f"{numbers} near {allowed:.0f} microseconds")


@check("limits", "devices: one that was not given is denied, also to CAP_MKNOD", rootful_only=ROOT_DEVICES)
def test_device_denied(podman: Podman) -> None:
    script = "mknod /x c 10 229 && cat /x 2>&1; mknod /null c 1 3 && echo x >/null && echo fine"
    matches(podman.sh(["--cap-add", "mknod"], script), ".*Operation not permitted.*\nfine")


@check("limits", "--device-cgroup-rule", rootful_only=ROOT_DEVICES)
def test_device_rule(podman: Podman) -> None:
    options = ["--cap-add", "mknod", "--device-cgroup-rule", "c 10:229 rwm"]
    equal(podman.sh(options, "mknod /x c 10 229 && : <>/x && echo open"), "open")


@check("limits", "--device-cgroup-rule: podman's own error", rootless_only="root may")
def test_device_rule_refused(podman: Podman) -> None:
    podman.need(5, "an error for it")
    result = podman.fails(125, *podman.run_words(["--device-cgroup-rule", "c 10:229 rwm"], "true"))
    matches(result.err, ".*device cgroup rules are not supported.*", "error")


@check("limits", "a device node cannot be made, whatever the rights", rootless_only="root may")
def test_no_device_node(podman: Podman) -> None:
    for options in (["--cap-add", "mknod"], ["--privileged"]):
        matches(podman.sh(options, "mknod /x c 10 229 2>&1; true"), ".*Operation not permitted", options[0])


@check("limits", "--device :r: reading only", rootful_only=ROOT_DEVICES)
def test_device_read_only(podman: Podman) -> None:
    options = ["--device", "/dev/net/tun:/dev/net/tun:r"]
    output = podman.sh(options, ": </dev/net/tun && echo read; (: >/dev/net/tun) 2>&1; true")
    matches(output, "read\n.*Operation not permitted")


@check("limits", "--privileged: every device", rootful_only=ROOT_DEVICES)
def test_device_all(podman: Podman) -> None:
    equal(podman.sh(["--privileged"], "mknod /x c 10 229 && : <>/x && echo open"), "open")


@check("limits", "--cgroup-parent")
def test_cgroup_parent(podman: Podman) -> None:
    by_systemd = manager(podman) == "systemd"
    parent = "checks.slice" if by_systemd else f"{own_cgroup(podman)}/checks"
    output = podman.run(["--cgroup-parent", parent, "--cgroupns", "host"], "cat", "/proc/self/cgroup")
    matches(output, f"0::{own_cgroup(podman)}/checks(.slice)?/(libpod-)?[0-9a-f]+.*")
    if not by_systemd:
        podman.undo.callback(wait_until, lambda: removed(f"{CGROUPS}{parent}"), f"{parent} is empty, and removed")


def own_cgroup(podman: Podman) -> str:
    """The cgroup that this user's service manager and podman rule over: "" for root."""
    uid = os.geteuid()
    return f"/user.slice/user-{uid}.slice/user@{uid}.service" if podman.rootless else ""


def removed(folder: str) -> bool:
    """Removes a cgroup in which nobody is; podman leaves the one of conmon below it, if conmon ends after podman."""
    try:
        for path, _, _ in os.walk(folder, topdown=False):
            os.rmdir(path)
    except OSError:
        return False
    return not os.path.exists(folder)


@check("limits", "--cgroups split")
def test_split(podman: Podman) -> None:
    words = podman.run_words(["--cgroups", "split", "--cgroupns", "host"], "cat", "/proc/self/cgroup")
    unit = [
        "systemd-run",
        *(["--user"] if podman.rootless else []),
        "--quiet",
        "--wait",
        "--pipe",
        "-p",
        "Delegate=yes",
    ]
    done = subprocess.run([*unit, "--", *podman.command, *words], capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stderr)
    matches(done.stdout, r"0::/.*\.service/libpod-payload-[0-9a-f]+.*", "cgroup")


def _limited_pod(podman: Podman, *limits: str) -> str:
    """The name of a new pod with a cgroup that has these limits."""
    if podman.rootless and manager(podman) == "cgroupfs":
        pytest.skip("podman makes no cgroup for an ordinary user's pod with this manager")
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--network", "none", *limits)
    return name


@check("limits", "pod: limits of the pod hold for its containers")
def test_pod_limits(podman: Podman) -> None:
    if podman.rootless:
        podman.need(5, "the whole path of a pod's cgroup")
    name = _limited_pod(podman, "--memory", "64m", "--cpus", "0.5")
    container = podman.start(["--pod", name, "--memory", "32m"], "sleep", "1000")
    own = Path(f"{CGROUPS}{podman.inspect(container, '.State.CgroupPath')}")
    pod = Path(f"{CGROUPS}/{podman('pod', 'inspect', '--format', '{{.CgroupPath}}', name).strip('/')}")
    equal(own.is_relative_to(pod), True, f"{own} is below {pod}")
    equal([(pod / key).read_text().strip() for key in ("memory.max", "cpu.max")], ["67108864", "50000 100000"])
    equal((own / "memory.max").read_text().strip(), "33554432")


@check("limits", "pod: all limits that a pod can have")
def test_pod_all_limits(podman: Podman) -> None:
    podman.need(5, "cpusets for a pod")  # podman 4 tells systemd other processors than it was told
    wanted = {
        "memory.max": ("--memory=64m", "67108864"),
        "memory.swap.max": ("--memory-swap=96m", "33554432"),
        "cpu.max": ("--cpus=0.5", "50000 100000"),
        # With cgroupfs podman gives a pod no weight, whatever the runtime.
        "cpu.weight": ("--cpu-shares=512", "100" if manager(podman) == "cgroupfs" else "20|59"),
        "cpuset.cpus": ("--cpuset-cpus=0", "0"),
        "cpuset.mems": ("--cpuset-mems=0", "0"),
    }
    if has_controller("io"):
        path, number = first_disk()
        options = f"--device-read-bps={path}:1mb --device-write-bps={path}:2mb --blkio-weight=500"
        wanted["io.max"] = (options, f"{number} rbps=1048576 wbps=2097152 riops=max wiops=max")
        weight = "io.bfq.weight" if Path(f"{CGROUPS}/system.slice/io.bfq.weight").exists() else "io.weight"
        wanted[weight] = ("", r"default (?!100$)\d+")  # systemd's arithmetic, not the runtime's
    name = _limited_pod(podman, *(word for options, _ in wanted.values() for word in options.split()))
    container = podman.start(["--pod", name], "sleep", "1000")
    equal(podman.inspect(container, ".State.Status"), "running")
    pod = Path(f"{CGROUPS}/{podman('pod', 'inspect', '--format', '{{.CgroupPath}}', name).strip('/')}")
    for file, (_, pattern) in wanted.items():
        matches((pod / file).read_text().strip(), pattern, file)


@check("limits", "cgroup: gone with the container, as its path says")
def test_cgroup_gone(podman: Podman) -> None:
    name = podman.start([], "sleep", "1000")
    path = f"{CGROUPS}{podman.inspect(name, '.State.CgroupPath')}"
    equal(os.path.isdir(path), True, f"{path} while it runs")
    podman("rm", "--force", "--time", "0", name)
    equal(os.path.isdir(path), False, f"{path} afterwards")


@check("limits", "a smaller limit than the process needs: refused or killed, and nothing stays")
def test_too_small(podman: Podman) -> None:
    words = ["run", "--rm", "--network", "none", "--memory", "1", IMAGE, "true"]
    result = podman.call(*words)
    equal(result.status != 0, True, "it cannot run")


@check("limits", "--memory: a limit in which the program has room, if not the runtime")
def test_small_memory(podman: Podman) -> None:
    equal(podman.sh(["--memory", "512k", "--memory-swap", "512k"], read("memory.max")), "524288")


@check("limits", "pod: its limit is too low to start a container, and podman says why")
def test_pod_too_small(podman: Podman) -> None:
    name = _limited_pod(podman, "--memory", "7m", "--memory-swap", "7m")
    result = podman.call("pod", "start", name)
    # A runtime may fit into it; who does not says whose limit it was. With less the kernel may take conmon instead.
    if result.status != 0:
        matches(result.err, r"(?s).*7340032 bytes \(memory\.max\).*", "podman's error")
        equal("no logs from conmon" in result.err, False, "podman has been told")
