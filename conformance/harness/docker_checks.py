"""The checks that podman and docker make word for word alike, and what more than one of their modules begins with."""

from __future__ import annotations

import signal

from conformance.harness.checks import check, equal, matches, output_checks
from conformance.harness.docker_words import DockerWords

CGROUPS = "/sys/fs/cgroup"
ON_TERM = ["sh", "-c", "trap 'echo got TERM; exit 3' TERM; echo up; while :; do sleep 0.1; done"]
SLEEP = ["sleep", "1000"]


def status(engine: DockerWords, name: str) -> str:
    return engine.inspect(name, ".State.Status")


def sleeper(engine: DockerWords, *options: str) -> str:
    """Starts a container that only waits, to exec in."""
    return engine.start(options, *SLEEP)


def read(files: str) -> str:
    """A script that prints files of the container's cgroup."""
    return f"cd {CGROUPS}; cat {files}"


def way_out(pid: str) -> str:
    """A PATH to the programs in the root of process `pid` (the host's number), through any descriptor that the runtime
    might have open when it looks a program up: a procfs of the host's, or a directory that has one."""
    return ":".join(f"/proc/self/fd/{fd}/{procfs}{pid}/root/bin" for fd in range(64) for procfs in ("", "proc/"))


# -- base: the life of a container ---------------------------------------------------------------------------------


@check("base", "stop -t: a process that ignores TERM is killed: 137")
def test_stop_by_force(engine: DockerWords) -> None:
    name = engine.start([], *SLEEP)  # as pid 1 without a handler it does not see TERM
    engine("stop", "-t", "1", name)
    equal(engine.inspect(name, ".State.ExitCode"), "137")


@check("base", "start --attach, and again: the same container runs twice")
def test_start_twice(engine: DockerWords) -> None:
    name = engine.create([], "sh", "-c", "echo x >>/count; wc -l </count; exit 5")
    for count in ("1", "2"):
        result = engine.call("start", "--attach", name)
        equal((result.status, result.out.strip()), (5, count))


@check("base", "restart: another process, and running")
def test_restart(engine: DockerWords) -> None:
    name = engine.start([], *ON_TERM)
    engine.logs_until(name, "up")
    before = engine.inspect(name, ".State.Pid")
    engine("restart", name)
    equal((status(engine, name), engine.inspect(name, ".State.Pid") == before), ("running", False))


@check("base", "kill -s: by name and number, the process goes on")
def test_kill_handled(engine: DockerWords) -> None:
    script = "trap 'echo got USR1' USR1; trap 'echo got HUP' HUP; echo up; while :; do sleep 0.1; done"
    name = engine.start([], "sh", "-c", script)
    engine.logs_until(name, "up")
    engine("kill", "-s", "USR1", name)
    engine.logs_until(name, "got USR1")
    engine("kill", "-s", str(int(signal.SIGHUP)), name)
    engine.logs_until(name, "got HUP")
    equal(status(engine, name), "running")


# -- limits: read back inside ------------------------------------------------------------------------------------------

test_outputs = output_checks(
    "limits",
    [
        ("--memory-swap -1", "--memory 64m --memory-swap -1", read("memory.swap.max"), "max"),
        ("--memory-reservation", "--memory-reservation 32m", read("memory.low"), "33554432"),
        ("--cpus", "--cpus 0.5", read("cpu.max"), "50000 100000"),
        ("--cpu-quota --cpu-period", "--cpu-quota 20000 --cpu-period 50000", read("cpu.max"), "20000 50000"),
        # 20 by the old linear formula, 59 by the one that runc 1.3.2 and crun 1.23 took over
        ("--cpu-shares", "--cpu-shares 512", read("cpu.weight"), "20|59"),
        ("--pids-limit", "--pids-limit 50", read("pids.max"), "50"),
        (
            "fork bomb: it stops at the limit, and the kernel counts what it refused",
            "--pids-limit 10",
            "(for i in $(seq 30); do sleep 3 & done) 2>/dev/null; grep -c 'max [1-9]' /sys/fs/cgroup/pids.events",
            "1",
        ),
        (
            "memory: a hog dies, 137, and memory.events shows it",
            "--memory 16m --memory-swap 16m",
            f"tail /dev/zero; echo $?; grep -E '^oom_kill ' {CGROUPS}/memory.events",
            "137\noom_kill [1-9].*",
        ),
        ("--cgroupns private: its own cgroup is the root", "--cgroupns private", "cat /proc/self/cgroup", "0::/"),
    ],
)


# -- exec --------------------------------------------------------------------------------------------------------------


@check("exec", "exec --user, --env, --workdir")
def test_options(engine: DockerWords) -> None:
    name = sleeper(engine, "-e", "ONE=1")
    words = ["exec", "--user", "10:20", "--env", "FIVE=5", "--workdir", "/tmp", name]
    equal(engine(*words, "sh", "-c", "echo $(id -u):$(id -g) $ONE $FIVE $(pwd)"), "10:20 1 5 /tmp")
    equal(engine("exec", "--user", "ann", name, "id", "-G"), "1000 4000")


@check("exec", "exec: killed by a signal: 137")
def test_killed(engine: DockerWords) -> None:
    engine.fails(137, "exec", sleeper(engine), "sh", "-c", "kill -9 $$")


@check("exec", "exec: the limits hold for it: it is in the container's cgroup")
def test_limits(engine: DockerWords) -> None:
    name = sleeper(engine, "--pids-limit", "7")
    equal(engine("exec", name, "cat", "/sys/fs/cgroup/pids.max"), "7")
    matches(engine("exec", name, "cat", "/sys/fs/cgroup/pids.current"), "[2-7]")


@check("exec", "exec: no path leads out of the container through a descriptor of the runtime")
def test_exec_way_out(engine: DockerWords) -> None:
    path = way_out(engine.inspect(sleeper(engine), ".State.Pid"))
    name = engine.start(["--env", f"PATH={path}"], "/bin/sleep", "1000")
    result = engine.call("exec", name, "echo", "was out")
    equal((result.status != 0, "was out" in result.out), (True, False), str(result))
