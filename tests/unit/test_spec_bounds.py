"""Each rule of spec/ at its ends: the last value that is accepted beside the first that is refused, and every entry of
its tables."""

import re
from typing import Any

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec import rules, rules_linux, rules_process, rules_resources, sysctl
from pyrunc.spec.config import parse_config
from pyrunc.words import MOUNTABLE_BELOW_PROC

from tests.unit.spec_specimen import full, put


def problem(*changes: tuple[str, Any]) -> str:
    """The pointer of the specimen's first error with these changes, "" if it has none."""
    value = full()
    for pointer, item in changes:
        put(value, pointer, item)
    try:
        parse_config(value)
    except ConfigError as error:
        return error.pointer or "?"
    return ""


RULES: list[tuple[str, list[Any], list[Any]]] = [
    ("/process/cwd", ["/", "/a"], ["", "a", "./a"]),
    ("/process/env/0", ["A=", "a=="], ["", "=", "=a", "a"]),
    ("/process/execCPUAffinity/initial", ["0", "0-0", "1, 2", "0-65535", "000000001"], ["65536", "1-0", "0000000001"]),
    ("/process/scheduler/nice", [-20, 19], [-21, 20]),
    ("/process/oomScoreAdj", [-1000, 1000], [-1001, 1001]),
    ("/process/ioPriority/priority", [0, 7], [-1, 8]),
    ("/mounts/1/destination", ["/proc/cpuinfo", "/proc/sys/kernel/ns_last_pid"], ["/proc/x", "/proc/cpuinfo/x"]),
    ("/hooks/poststop/0/path", ["/", "/a"], ["a", "../a"]),
    ("/hooks/poststop/0/timeout", [1, None], [0, -1]),
    ("/hostname", ["x" * 64, "é" * 32], ["x" * 65, "é" * 32 + "x"]),
    ("/domainname", ["x" * 64], ["x" * 65]),
    ("/annotations", [{}, {" ": ""}], []),
    ("/linux/timeOffsets/monotonic/nanosecs", [0, 999_999_999], [-1, 1_000_000_000]),
    ("/linux/devices/0/major", [0, 4095], [-1, 4096, None]),
    ("/linux/devices/0/minor", [0, 1048575], [-1, 1048576, None]),
    ("/linux/netDevices/ens4/name", ["x" * 15, "é" * 7, "a", "eth%d", "..."], ["x" * 16, "é" * 8, ".", "..", "a:"]),
    ("/linux/intelRdt/closID", ["/", "a", "a.b", "..."], ["//", "-a", ".", "..", "a/"]),
    ("/linux/intelRdt/schemata", [[], ["L3:0=f"]], []),
    ("/linux/intelRdt/memBwSchema", ["MB:", "MB:0=1"], ["MB", "mb:0=1", "MB:\n"]),
    ("/linux/resources/devices/0/access", ["r", "mwr", "w", None], ["rwmr", "a", "R"]),
    ("/linux/resources/devices/0/major", [-1, 0], [-2]),
    ("/linux/resources/memory/limit", [-1, 0], [-2]),
    ("/linux/resources/memory/swappiness", [0, 100], [-1, 101]),
    ("/linux/resources/cpu/burst", [0, 50000], [50001]),
    ("/linux/resources/cpu/quota", [1000, -1, 0], [999, 1]),
    ("/linux/resources/cpu/idle", [0, 1], [-1, 2]),
    ("/linux/resources/hugepageLimits/0/pageSize", ["1KB", "10MB", "9GB"], ["1kB", "1B", "KB", "1PB", "٢MB"]),
    ("/linux/seccomp/syscalls/0/args/0/index", [0, 5], [-1, 6]),
    ("/linux/seccomp/syscalls/0/action", ["SCMP_ACT_TRACE", "SCMP_ACT_ERRNO"], []),
    ("/linux/cgroupsPath", ["a", "/", "/..a", "a..", "..."], ["..", "/..", "a/../b"]),
]  # fmt: skip
CASES = [(at, value, True) for at, good, _ in RULES for value in good] + [
    (at, value, False) for at, _, bad in RULES for value in bad
]


@pytest.mark.parametrize(("pointer", "value", "good"), CASES)
def test_ends(pointer: str, value: Any, good: bool) -> None:
    assert problem((pointer, value)) == ("" if good else problem_place(pointer))


def problem_place(pointer: str) -> str:
    """A quota below the burst is the burst's fault."""
    return "/linux/resources/cpu/burst" if pointer.endswith("/quota") else pointer


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        ("/process/scheduler", {"policy": "SCHED_FIFO", "priority": 1}, ""),
        ("/process/scheduler", {"policy": "SCHED_RR", "priority": 99}, ""),
        ("/process/scheduler", {"policy": "SCHED_RR"}, "/process/scheduler/priority"),
        ("/process/scheduler", {"policy": "SCHED_BATCH", "priority": 0}, ""),
        ("/process/scheduler", {"policy": "SCHED_BATCH", "priority": 1}, "/process/scheduler/priority"),
        *(
            ("/process/scheduler", {"policy": "SCHED_OTHER", key: 1}, f"/process/scheduler/{key}")
            for key in ("runtime", "deadline", "period")
        ),
        ("/process/scheduler", {"policy": "SCHED_OTHER", "runtime": 0, "deadline": 0, "period": 0}, ""),
        ("/linux/memoryPolicy", {"mode": "MPOL_PREFERRED", "flags": []}, ""),
        ("/linux/memoryPolicy", {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": []}, ""),
        ("/linux/memoryPolicy", {"mode": "MPOL_LOCAL", "flags": []}, ""),
        ("/linux/memoryPolicy", {"mode": "MPOL_DEFAULT", "nodes": "0"}, "/linux/memoryPolicy/nodes"),
        ("/linux/memoryPolicy", {"mode": "MPOL_INTERLEAVE"}, "/linux/memoryPolicy/nodes"),
        ("/linux/memoryPolicy/flags", ["MPOL_F_STATIC_NODES"], ""),
        ("/linux/memoryPolicy/flags", ["MPOL_F_RELATIVE_NODES"], ""),
        ("/linux/resources/blockIO/weightDevice/0", {"major": 1, "minor": 2, "weight": 10}, ""),
        ("/linux/resources/blockIO/weightDevice/0", {"major": 1, "minor": 2, "leafWeight": 10}, ""),
        ("/linux/resources/rdma", {"a": {"hcaHandles": 0}}, ""),
        ("/linux/resources/rdma", {"a": {"hcaObjects": 0}}, ""),
        ("/linux/resources/hugepageLimits", [{"pageSize": size, "limit": 0} for size in ("1MB", "1GB")], ""),
        ("/linux/devices/1", {"type": "p", "path": "/a", "major": -5, "minor": 2**30}, ""),
        ("/linux/uidMappings", [{"containerID": 5 - i, "hostID": i, "size": 5} for i in (0, 5)], ""),
        ("/linux/sysctl", {"kernel.domainname": "a", "fs.mqueue.x": "1", "user.x": "1", "net.x": "1"}, ""),
        ("/linux/sysctl", {"kernel/hostname": "a"}, "/linux/sysctl/kernel~1hostname"),
        ("/linux/sysctl", {"kernel.panic": "a"}, "/linux/sysctl/kernel.panic"),
        ("/linux/seccomp/syscalls/1", {"names": ["read"], "action": "SCMP_ACT_NOTIFY"}, ""),
        ("/linux/seccomp/syscalls/1", {"names": ["write"], "action": "SCMP_ACT_ALLOW"}, ""),
    ],
)  # fmt: skip
def test_fields_that_go_together(at: str, value: Any, expected: str) -> None:
    assert problem((at, value)) == expected


PROC = "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo sys/kernel/ns_last_pid sys/crypto/fips_enabled"


def test_what_may_be_mounted_below_proc() -> None:
    assert {f"/proc/{name}" for name in PROC.split()} == MOUNTABLE_BELOW_PROC


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/"),
        ("/", "/"),
        ("a", "/a"),
        ("/a/../b", "/b"),
        ("../a", "/a"),
        ("/a/b/..", "/a"),
        ("/./a//", "/a"),
        ("..a", "/..a"),
    ],
)
def test_destination_by_its_name(path: str, expected: str) -> None:
    assert rules.resolved(path) == expected


@pytest.mark.parametrize(
    ("kind", "options", "good"),
    [
        ("proc", [], True),
        ("tmpfs", [], False),
        ("none", ["bind"], True),
        ("none", ["rbind"], True),
        ("sysfs", ["ro"], False),
    ],
)
def test_what_goes_on_proc(kind: str, options: list[str], good: bool) -> None:
    mount = {"destination": "/proc", "type": kind, "source": "/s", "options": options}
    assert problem(("/mounts/1", mount)) == ("" if good else "/mounts/1/destination")


IPC = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced"


def test_names_of_sysctls() -> None:
    assert {f"kernel.{name}" for name in IPC.split()} == sysctl.IPC_KEYS
    expected = {
        "kernel/sem": "ipc", "kernel.sem": "ipc", "kernel/domainname": "uts", "kernel/hostname": None,
        "net/a": "network", "net": None, "fs/mqueue/a": "ipc", "fs/mqueue": None, "fs/file-max": None,
        "user/max": "user", "users/max": None,
    }  # fmt: skip
    assert {name: sysctl.sysctl_namespace(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.b", "a/b"), ("a/b", "a/b"), ("a.b/c", "a/b.c"), ("a/b.c", "a/b.c"), (".a", None), ("a.", None), ("a", None),
        ("a..b", None), ("a/./b", None), ("a/../b", None), ("a/b\0", None), ("a/ /b", None), ("a/b c", "a/b c"),
        ("/a", None), (".a/b", None), ("/a.b", None), ("a/.b", "a/.b"), ("a./b", "a/.b"), ("a/b.", "a/b."),
    ],
)  # fmt: skip
def test_path_of_a_sysctl(key: str, path: "str | None") -> None:
    assert sysctl.sysctl_path(key) == path


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True), (" a", True), ("...", True), ("a-", True), ("", False), (".", False), ("..", False), ("-", False),
        ("-a", False), ("a/b", False), ("/", False), ("a\nb", False), ("a\x7f", False),
    ],
)  # fmt: skip
def test_component(text: str, good: bool) -> None:
    assert rules_resources.is_component(text) == good


def test_interface_names() -> None:
    assert rules_linux.is_interface_name("a" * 15)
    assert [
        name for name in ("", "a" * 16, ".", "..", "a/b", "a:b", "a b", "a\n") if rules_linux.is_interface_name(name)
    ] == []


def test_number_lists_are_no_longer_than_any_kernels() -> None:
    assert rules_process.is_number_list(",".join(["1"] * (1 << 15)) + "1")
    assert not rules_process.is_number_list(",".join(["1"] * (1 << 15)) + "11")
    assert [text for text in ("", ",", "1,", " ", "1-2-3", "1 2", "-") if rules_process.is_number_list(text)] == []


def test_warnings() -> None:
    value = full()
    value["annotations"]["run.oci.keep_original_groups"] = "1"
    value["process"]["capabilities"] = {key: ["CAP_A", "CAP_KILL"] for key in ("effective", "permitted")}
    value["process"]["user"].pop("gid")
    text = "\n".join(parse_config(value).warnings)
    assert re.findall(r"\((/[^)]*)\)", text) == [
        "/process/user/gid", "/process/capabilities/effective/0", "/linux/personality/flags",
        "/process/user/additionalGids",
    ]  # fmt: skip
    value["linux"]["personality"].pop("flags")
    value["process"] |= {"user": {"uid": 1, "gid": 1}, "capabilities": {"effective": ["CAP_KILL"]}}
    assert parse_config(value).warnings == []
    value.pop("process")
    assert parse_config(value).warnings == []
