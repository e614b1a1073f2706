"""The structures that the last steps hand to the kernel, where this machine cannot show their effect: it may have one
memory node, and no bandwidth for deadlines. Numbers are those of the kernel's headers."""

import struct
import sys

import pytest
from pyrunc.spec.linux import MemoryPolicy
from pyrunc.spec.process import Process
from pyrunc.spec.reader import Reader
from pyrunc.stages import last_steps, security_steps
from pyrunc.stages.step_list import StepList
from pyrunc.wings.seccomp.filters import Filter
from pyrunc.words import SECCOMP_FLAGS

MODES = {  # linux/mempolicy.h
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MODE_FLAGS = {"MPOL_F_STATIC_NODES": 0x8000, "MPOL_F_RELATIVE_NODES": 0x4000, "MPOL_F_NUMA_BALANCING": 0x2000}
POLICIES = {  # linux/sched.h
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}


def arguments(steps: StepList) -> list[int]:
    """The arguments of the one step."""
    ((_, _, _, *words),) = steps._steps
    return words[:6]


def memory_policy(**members: object) -> tuple[int, set[int], int]:
    """(mode, nodes in the mask, how many bits the kernel is told of) of set_mempolicy(2)."""
    steps = StepList()
    last_steps._memory_policy(steps, MemoryPolicy(Reader(members, "")))
    mode, where, bits = arguments(steps)[:3]
    mask = int.from_bytes(steps._data[where : where + bits // 8], sys.byteorder) if bits else 0
    return mode, {node for node in range(mask.bit_length()) if mask >> node & 1}, bits


@pytest.mark.parametrize("mode", MODES)
def test_memory_policy_mode(mode: str) -> None:
    assert memory_policy(mode=mode)[0] == MODES[mode]


@pytest.mark.parametrize("flag", MODE_FLAGS)
def test_memory_policy_flag(flag: str) -> None:
    assert memory_policy(mode="MPOL_BIND", nodes="0", flags=[flag])[0] == MODES["MPOL_BIND"] | MODE_FLAGS[flag]


@pytest.mark.parametrize(
    ("nodes", "wanted", "bits"),
    [("0", {0}, 65), ("0-2,5", {0, 1, 2, 5}, 65), ("63", {63}, 65), ("64,1-1", {1, 64}, 129)],
)
def test_memory_policy_nodes(nodes: str, wanted: set[int], bits: int) -> None:
    """One bit more than there are, because the kernel looks at one less (set_mempolicy(2), BUGS)."""
    assert memory_policy(mode="MPOL_BIND", nodes=nodes)[1:] == (wanted, bits)


def sched_attr(**members: object) -> tuple[int, ...]:
    """struct sched_attr of sched_setattr(2): size, policy, flags, nice, priority, runtime, deadline, period."""
    steps = StepList()
    process = {"cwd": "/", "args": ["x"], "scheduler": members}
    last_steps._scheduling(steps, Process(Reader(process, "/process")))
    where = arguments(steps)[1]
    return struct.unpack("=IIQiIQQQ", steps._data[where : where + 48])


@pytest.mark.parametrize("policy", POLICIES)
def test_scheduler_policy(policy: str) -> None:
    assert sched_attr(policy=policy) == (48, POLICIES[policy], 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("flag", SCHED_FLAGS)
def test_scheduler_flag(flag: str) -> None:
    assert sched_attr(policy="SCHED_OTHER", flags=[flag])[2] == SCHED_FLAGS[flag]


def test_scheduler_parameters() -> None:
    found = sched_attr(policy="SCHED_DEADLINE", nice=-3, priority=4, runtime=10, deadline=20, period=2**40)
    assert found[3:] == (-3, 4, 10, 20, 2**40)


@pytest.mark.parametrize("flag", sorted(SECCOMP_FLAGS))
def test_seccomp_flag(flag: str) -> None:
    """The second argument of seccomp(2); what a flag does, the log or other threads would have to show."""
    steps = StepList()
    security_steps.load_filter(steps, Filter(bytes(8), SECCOMP_FLAGS[flag], []), -1)
    assert arguments(steps)[1] == SECCOMP_FLAGS[flag]
