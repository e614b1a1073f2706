"""process.scheduler, ioPriority and linux.memoryPolicy: what the kernel says of the program."""

import os

import pytest

from tests.bundle import Bundle, Json
from tests.cpus import on_one_cpu
from tests.kernelcalls import io_priority
from tests.peers import differs
from tests.runtime import Container, Runtime, runtime_name

UNKNOWN = differs(crun="1.8.1 does not know it", runc="1.1.5 does not know it")

POLICIES = [
    ({"policy": "SCHED_BATCH"}, os.SCHED_BATCH, 0),
    ({"policy": "SCHED_IDLE"}, os.SCHED_IDLE, 0),
    ({"policy": "SCHED_FIFO", "priority": 7}, os.SCHED_FIFO, 7),
    ({"policy": "SCHED_RR", "priority": 1}, os.SCHED_RR, 1),
    ({"policy": "SCHED_RR", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, os.SCHED_RR | 0x40000000, 1),
]


def sleeper(bundle: Bundle) -> Bundle:
    """A program that forks nothing: policies may not pass to children."""
    bundle.process["args"] = ["sleep", "1000"]
    return bundle


@UNKNOWN
@pytest.mark.parametrize("scheduler, policy, priority", POLICIES)
def test_policy(runtime: Runtime, bundle: Bundle, scheduler: Json, policy: int, priority: int) -> None:
    bundle.process["scheduler"] = scheduler
    with runtime.running(sleeper(bundle)) as container:
        found = os.sched_getscheduler(container.pid), os.sched_getparam(container.pid).sched_priority
    assert found == (policy, priority)


@UNKNOWN
@pytest.mark.parametrize("nice", [-5, 11])
def test_nice_value(runtime: Runtime, bundle: Bundle, nice: int) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_OTHER", "nice": nice}
    with runtime.running(sleeper(bundle)) as container:
        assert os.getpriority(os.PRIO_PROCESS, container.pid) == nice


@differs(runc="1.5.3 has the kernel's words alone")
@pytest.mark.parametrize(
    "times, words",
    [
        ((9000, 5000, 5000), ("runtime", "must be <= deadline")),
        ((2000, 6000, 5000), ("deadline", "must be <= period")),
        ((2000,), ("SCHED_DEADLINE", "deadline")),
        ((9, 5000), ("runtime", "1024")),
    ],
)
def test_deadline_that_is_none_is_named(
    runtime: Runtime, bundle: Bundle, times: tuple[int, ...], words: tuple[str, ...]
) -> None:
    scheduler = {"policy": "SCHED_DEADLINE"} | dict(zip(("runtime", "deadline", "period"), times, strict=False))
    bundle.process["scheduler"] = scheduler
    message = runtime.create_fails(bundle, *words)
    if runtime_name() == "pyrunc":
        assert "(config.json: /process/scheduler/" in message
        assert message.removeprefix("pyrunc: ").strip() in runtime.call("validate", bundle.path).stdout


@UNKNOWN
def test_deadline_that_the_kernel_refuses(runtime: Runtime, bundle: Bundle) -> None:
    """Its sysctls bound the period."""
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 5000, "period": 5000}
    runtime.create_fails(bundle, "SCHED_DEADLINE", "(config.json: /process/scheduler)", "invalid argument")


@UNKNOWN
@pytest.mark.parametrize("kind, number", [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)])
def test_io_priority(runtime: Runtime, bundle: Bundle, kind: str, number: int) -> None:
    bundle.process["ioPriority"] = {"class": kind, "priority": 5}
    with runtime.running(sleeper(bundle)) as container:
        assert io_priority(container.pid) == number << 13 | 5  # linux/ioprio.h, IOPRIO_PRIO_VALUE


@UNKNOWN
def test_io_priority_without_a_level(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE"}
    with runtime.running(sleeper(bundle)) as container:
        assert io_priority(container.pid) == 2 << 13


def policies(container: Container) -> set[str]:
    """The memory policies of the program's mappings (numa_maps of proc(5))."""
    with open(f"/proc/{container.pid}/numa_maps") as maps:
        return {line.split()[1] for line in maps}


@UNKNOWN
@pytest.mark.parametrize(
    "policy, word",
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "interleave=static:0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        ({"mode": "MPOL_DEFAULT"}, "default"),
    ],
)
def test_memory_policy(runtime: Runtime, bundle: Bundle, policy: Json, word: str) -> None:
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("a kernel without NUMA has no memory policies")
    bundle.linux["memoryPolicy"] = policy
    with runtime.running(sleeper(bundle)) as container:
        assert policies(container) == {word}


NAMESPACES = {
    "new": lambda bundle: None,
    "user": Bundle.user_namespace,
    "joined pid": lambda bundle: bundle.namespace("pid", "/proc/self/ns/pid"),
}


@pytest.mark.parametrize("name", NAMESPACES)
def test_cpus_of_the_caller_are_not_inherited(runtime: Runtime, bundle: Bundle, name: str) -> None:
    NAMESPACES[name](bundle)
    bundle.process["args"] = ["grep", "Cpus_allowed_list", "/proc/self/status"]
    with on_one_cpu() as (_, all_cpus):
        result = runtime.run(bundle)
    assert result.stdout.split() == ["Cpus_allowed_list:", all_cpus], result.stderr
