"""Rules across fields: for each the violation, its place and its words, and a neighbour that is accepted."""

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec.config import Config, parse_config
from pyrunc.spec.reader import Reader
from pyrunc.spec.rules import config_problems

from tests.unit.spec_specimen import full, put

ID = {"containerID": 0, "hostID": 0, "size": 1}
LAST = 2**32 - 2
RANGES = [{"containerID": i, "hostID": i, "size": 1} for i in range(341)]

DEVICE = {"type": "c", "path": "/x", "major": 1, "minor": 2}

# (what is put where, pointer of the error, words of the message)
VIOLATIONS = [
    # process
    ({"/process/cwd": "srv"}, "/process/cwd", "`srv` is not an absolute path"),
    ({"/process/env/0": "PATH"}, "/process/env/0", "`PATH` is not of the form NAME=value"),
    ({"/process/env/0": "=x"}, "/process/env/0", "NAME=value"),
    ({"/process/args": []}, "/process/args", "at least one entry"),
    (
        {"/process/rlimits": [{"type": "RLIMIT_CORE", "soft": n, "hard": n} for n in (0, 1)]},
        "/process/rlimits/1/type",
        "duplicate rlimit RLIMIT_CORE",
    ),
    ({"/process/rlimits/0/hard": 1023}, "/process/rlimits/0/soft", "soft limit 1024 is above the hard limit 1023"),
    (
        {"/process/rlimits/0/type": "RLIMIT_FOO"},
        "/process/rlimits/0/type",
        "`RLIMIT_` followed by one of AS, CORE, CPU",
    ),
    ({"/process/scheduler/priority": 1}, "/process/scheduler/priority", "needs the policy `SCHED_FIFO` or `SCHED_RR`"),
    ({"/process/scheduler": {"policy": "SCHED_FIFO"}}, "/process/scheduler/priority", "from 1 to 99, got 0"),
    ({"/process/scheduler": {"policy": "SCHED_RR", "priority": 100}}, "/process/scheduler/priority", "from 1 to 99"),
    ({"/process/scheduler/policy": "SCHED_OTHER"}, "/process/scheduler/runtime", "needs the policy `SCHED_DEADLINE`"),
    *(
        (
            {"/process/scheduler": {"policy": "SCHED_DEADLINE", "runtime": r, "deadline": d, "period": p}},
            f"/process/scheduler/{key}",
            words,
        )
        for r, d, p, key, words in (
            (2000, None, None, "deadline", "SCHED_DEADLINE needs a deadline"),
            (1023, 5000, None, "runtime", "runtime must be >= 1024"),
            (None, 5000, None, "runtime", "runtime must be >= 1024 (nanoseconds), got 0"),
            (5001, 5000, 9000, "runtime", "runtime must be <= deadline (5000), got 5001"),
            (1024, 5000, 4999, "deadline", "deadline must be <= period (4999), got 5000"),
            (1024, 1 << 63, None, "deadline", "is above 9223372036854775807"),
            (1024, 5000, 1 << 63, "period", "is above 9223372036854775807"),
            (1024, 1 << 63, 1 << 63, "period", "is above 9223372036854775807"),
        )
    ),
    ({"/process/scheduler/nice": 20}, "/process/scheduler/nice", "from -20 to 19, got 20"),
    ({"/process/ioPriority/priority": 8}, "/process/ioPriority/priority", "from 0 to 7, got 8"),
    ({"/process/oomScoreAdj": 1001}, "/process/oomScoreAdj", "from -1000 to 1000, got 1001"),
    *(
        ({"/process/execCPUAffinity/final": text}, "/process/execCPUAffinity/final", "is not a list of CPUs")
        for text in ("a", "1-", "-1", "3-1", "1,,2", "1;2", "٣")
    ),
    # mounts
    ({"/mounts/1/type": "tmpfs"}, "/mounts/1/destination", "only a `proc` file system"),
    *(
        ({"/mounts/0/destination": path}, "/mounts/0/destination", "is inside /proc")
        for path in (
            "/proc/self/attr",
            "/proc/sysrq-trigger",
            "proc/x",
            "/dev/../proc/./x",
            "//proc//x",
            "/proc/uptime/x",
        )
    ),
    ({"/mounts/0/uidMappings": []}, "/mounts/0/uidMappings", "given together: uidMappings is missing"),
    ({"/mounts/0/gidMappings": None}, "/mounts/0/gidMappings", "given together: gidMappings is missing"),
    ({"/mounts/0/gidMappings/0/size": 0}, "/mounts/0/gidMappings/0/size", "must not be 0"),
    ({"/mounts/0/uidMappings/0/size": 0}, "/mounts/0/uidMappings/0/size", "must not be 0"),
    ({"/mounts/1/options": ["ro", "idmap=uids=x"]}, "/mounts/1/options/1", "is not a range"),
    ({"/mounts/0/options": ["bind", "remount"]}, "/mounts/0/uidMappings", "cannot be combined with"),
    ({"/mounts/0/options": ["rbind", "ridmap=gids=0-0-1"]}, "/mounts/0/options/1", "mutually exclusive"),
    ({"/mounts/0/gidMappings": RANGES}, "/mounts/0/gidMappings", "341 ranges, where the kernel takes 340 at most"),
    ({"/linux/uidMappings": RANGES}, "/linux/uidMappings", "341 ranges, where the kernel takes 340 at most"),
    *(
        ({"/mounts/0/options": ["ro", word]}, "/mounts/0/options/1", f"`{word[1:]}` is an option of a file system")
        for word in ("rasync", "rdirsync", "rmand", "rnomand", "rsync")
    ),
    # hooks
    *(
        ({f"/hooks/{key}/0/path": "hook"}, f"/hooks/{key}/0/path", "`hook` is not an absolute path")
        for key in full()["hooks"]
    ),
    ({"/hooks/poststop/0/timeout": 0}, "/hooks/poststop/0/timeout", "from 1 to"),
    # names, annotations
    ({"/annotations/": "x"}, "/annotations/", "must not be empty"),
    (
        {"/annotations/run.oci.keep_original_groups": "no"},
        "/annotations/run.oci.keep_original_groups",
        "neither `1` nor",
    ),
    ({"/hostname": "x" * 65}, "/hostname", "longer than 64 bytes"),
    ({"/domainname": "é" * 33}, "/domainname", "longer than 64 bytes"),
    # namespaces
    ({"/linux/namespaces/1": {"type": "pid"}}, "/linux/namespaces/1/type", "duplicate `pid` namespace"),
    ({"/linux/namespaces/1/path": "run/netns/a"}, "/linux/namespaces/1/path", "not an absolute path"),
    ({"/linux/namespaces/1/type": "net"}, "/linux/namespaces/1/type", "`network`"),
    ({"/linux/uidMappings": []}, "/linux/uidMappings", "a new user namespace needs uidMappings, too"),
    ({"/linux/gidMappings": None}, "/linux/gidMappings", "a new user namespace needs gidMappings"),
    ({"/linux/uidMappings/0/size": 0}, "/linux/uidMappings/0/size", "must not be 0"),
    ({"/linux/uidMappings/0/hostID": LAST}, "/linux/uidMappings/0/hostID", "past the last id"),
    ({"/linux/uidMappings": [ID | {"hostID": LAST, "size": 9}]}, "/linux/uidMappings/0/hostID", "9 ids from 429496729"),
    ({"/linux/gidMappings/0/size": LAST + 1}, "/linux/gidMappings/0/hostID", "past the last id"),
    ({"/linux/uidMappings": [ID, ID]}, "/linux/uidMappings/1/containerID", "overlaps"),
    ({"/linux/uidMappings": [ID, ID | {"containerID": 1}]}, "/linux/uidMappings/1/hostID", "overlaps"),
    ({"/linux/timeOffsets/tai": {}}, "/linux/timeOffsets/tai", "expected `boottime` or `monotonic`"),
    ({"/linux/timeOffsets/monotonic/nanosecs": 10**9}, "/linux/timeOffsets/monotonic/nanosecs", "1000000000"),
    ({"/linux/namespaces/7/path": "/proc/1/ns/time"}, "/linux/timeOffsets", "in a joined time namespace"),
    # devices
    ({"/linux/devices/0/path": "dev/fuse"}, "/linux/devices/0/path", "not an absolute path"),
    ({"/linux/devices/0/major": None}, "/linux/devices/0/major", "type `c` needs `major`"),
    ({"/linux/devices/1/type": "b"}, "/linux/devices/1/major", "type `b` needs `major`"),
    ({"/linux/devices/0/major": 4096}, "/linux/devices/0/major", "not from 0 to 4095"),
    ({"/linux/devices/0/minor": -1}, "/linux/devices/0/minor", "not from 0 to 1048575"),
    ({"/linux/devices/0/path": "/x", "/linux/devices/1/path": "/x"}, "/linux/devices/1", "a different device"),
    *(
        ({"/linux/devices/0": DEVICE, "/linux/devices/1": DEVICE | other}, "/linux/devices/1", "a different device")
        for other in ({"type": "b"}, {"type": "u", "minor": 3}, {"type": "c", "major": 3}, {"type": "p"})
    ),
    ({"/linux/devices/0/type": "a"}, "/linux/devices/0/type", "one of `b`, `c`, `p`, `u`"),
    # network devices
    *(
        (
            {f"/linux/netDevices/{name.replace('/', '~1')}": {}},
            f"/linux/netDevices/{name.replace('/', '~1')}",
            "network interface",
        )
        for name in (".", "..", "a/b", "a b", "a:b", "x" * 16, "é" * 8)
    ),
    ({"/linux/netDevices/ens4/name": "a/b"}, "/linux/netDevices/ens4/name", "`a/b` is not a valid network"),
    ({"/linux/netDevices/ens4/name": "container_eth0"}, "/linux/netDevices/ens4/name", "duplicate interface name"),
    # paths
    ({"/linux/maskedPaths/0": "//"}, "/linux/maskedPaths/0", "cannot be masked"),
    ({"/linux/maskedPaths/0": "proc"}, "/linux/maskedPaths/0", "not an absolute path"),
    ({"/linux/readonlyPaths/0": ""}, "/linux/readonlyPaths/0", "not an absolute path"),
    *(
        ({"/linux/cgroupsPath": path}, "/linux/cgroupsPath", "must not contain `..`")
        for path in ("..", "../../x", "a/../../b", "/a/..")
    ),
    ({"/linux/rootfsPropagation": "Shared"}, "/linux/rootfsPropagation", "`rshared`"),
    # resctrl, NUMA
    *(
        ({"/linux/intelRdt/closID": name}, "/linux/intelRdt/closID", "is not a name")
        for name in ("..", ".", "a/b", "../a", "-x", "a\nb")
    ),
    ({"/linux/intelRdt/schemata": ["MB:0=1", "L3:0=1\nL2:0=1"]}, "/linux/intelRdt/schemata/1", "not one line"),
    ({"/linux/intelRdt/schemata": ["L3"]}, "/linux/intelRdt/schemata/0", "not one line"),
    ({"/linux/intelRdt/memBwSchema": "L3:0=1"}, "/linux/intelRdt/memBwSchema", "starts with `MB:`"),
    ({"/linux/intelRdt/memBwSchema": "MB:0=1\nL3:0=1"}, "/linux/intelRdt/memBwSchema", "one line"),
    ({"/linux/memoryPolicy/nodes": None}, "/linux/memoryPolicy/nodes", "MPOL_BIND needs `nodes`"),
    ({"/linux/memoryPolicy/nodes": "all"}, "/linux/memoryPolicy/nodes", "not a list of nodes"),
    ({"/linux/memoryPolicy/mode": "MPOL_LOCAL"}, "/linux/memoryPolicy/nodes", "does not take nodes"),
    (
        {"/linux/memoryPolicy/flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]},
        "/linux/memoryPolicy/flags",
        "mutually exclusive",
    ),
    # resources
    *(
        ({"/linux/resources/devices/0/access": text}, "/linux/resources/devices/0/access", "`r`, `w` and `m`")
        for text in ("x", "rr", "rwm ")
    ),
    ({"/linux/resources/cpu/burst": 50001}, "/linux/resources/cpu/burst", "burst 50001 is above the quota 50000"),
    ({"/linux/resources/memory/swappiness": 101}, "/linux/resources/memory/swappiness", "from 0 to 100"),
    (
        {"/linux/resources/blockIO/weightDevice/0": {"major": 8, "minor": 0}},
        "/linux/resources/blockIO/weightDevice/0",
        "neither weight nor leafWeight",
    ),
    ({"/linux/resources/rdma/mlx5_1": {}}, "/linux/resources/rdma/mlx5_1", "neither hcaHandles nor hcaObjects"),
    ({"/linux/resources/rdma/..": {"hcaHandles": 1}}, "/linux/resources/rdma/..", "not a valid device name"),
    ({"/linux/resources/rdma/a b": {"hcaHandles": 1}}, "/linux/resources/rdma/a b", "not a valid device name"),
    *(
        ({"/linux/resources/hugepageLimits/0/pageSize": size}, "/linux/resources/hugepageLimits/0/pageSize", "`2MB`")
        for size in ("2MB/../../memory.max", "2M", "MB", "2TB", "02MB", "0MB", "-2MB", "2 MB")
    ),
    (
        {"/linux/resources/hugepageLimits": [{"pageSize": "2MB", "limit": 1}] * 2},
        "/linux/resources/hugepageLimits/1/pageSize",
        "more than one limit",
    ),
    *(
        (
            {f"/linux/resources/unified/{key.replace('/', '~1')}": "1"},
            f"/linux/resources/unified/{key.replace('/', '~1')}",
            "cgroup file",
        )
        for key in ("cgroup.procs/../x", "/memory.max", "..", ".", "memory", "memory.", ".max", "-a.b", "a.b\nc")
    ),
    # seccomp
    (
        {"/linux/seccomp/syscalls/0/action": "SCMP_ACT_ALLOW"},
        "/linux/seccomp/syscalls/0/errnoRet",
        "which returns no errno",
    ),
    ({"/linux/seccomp/defaultAction": "SCMP_ACT_KILL"}, "/linux/seccomp/defaultErrnoRet", "which returns no errno"),
    ({"/linux/seccomp/listenerPath": None}, "/linux/seccomp/listenerMetadata", "needs listenerPath"),
    (
        {"/linux/seccomp/listenerPath": None, "/linux/seccomp/listenerMetadata": None},
        "/linux/seccomp/syscalls/1/action",
        "needs listenerPath",
    ),
    (
        {"/linux/seccomp/defaultAction": "SCMP_ACT_NOTIFY", "/linux/seccomp/defaultErrnoRet": None},
        "/linux/seccomp/defaultAction",
        "cannot be the default action",
    ),
    ({"/linux/seccomp/syscalls/1/names": ["a", "write"]}, "/linux/seccomp/syscalls/1/names/1", "cannot be used"),
    ({"/linux/seccomp/syscalls/0/args/0/index": 6}, "/linux/seccomp/syscalls/0/args/0/index", "from 0 to 5"),
]


def changed(changes):
    """The specimen with each value put at its pointer."""
    value = full()
    for pointer, item in changes.items():
        put(value, pointer, item)
    return value


@pytest.mark.parametrize(("changes", "pointer", "words"), VIOLATIONS)
def test_violations(changes, pointer, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(changes))
    assert (caught.value.pointer, words in caught.value.message) == (pointer, True), caught.value


@pytest.mark.parametrize(("number", "place"), [(340, "/mounts/1/options/0"), (341, "/linux/uidMappings")])
def test_mounts_are_compared_with_no_more_ranges_than_the_kernel_takes(number, place):
    """More are one error, and are not compared with each other, either."""
    ranges = [{"containerID": i % 340, "hostID": i, "size": 1} for i in range(number)]
    value = changed({"/linux/uidMappings": ranges, "/mounts/1/options": ["idmap=uids=x"]})
    assert [problem.pointer for problem in config_problems(Config(Reader(value, "")))] == [place]


@pytest.mark.parametrize("key", ["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads"])
def test_a_file_of_the_cgroup_that_does_something_to_processes(key):
    with pytest.raises(ConfigError, match="is not a setting") as caught:
        parse_config(changed({"/linux/resources/unified": {"memory.high": "1", key: "1"}}))
    assert caught.value.pointer == f"/linux/resources/unified/{key}"


@pytest.mark.parametrize(
    ("kind", "pointer"),
    [
        ("user", "/linux/uidMappings"),
        ("time", "/linux/timeOffsets"),
        ("network", "/linux/netDevices"),
        ("mount", "/linux/maskedPaths"),
        ("ipc", "/linux/sysctl/kernel~1msgmax"),
        ("uts", "/hostname"),
    ],
)
def test_what_needs_a_namespace(kind, pointer):
    value = full()
    value["linux"]["namespaces"] = [entry for entry in value["linux"]["namespaces"] if entry["type"] != kind]
    with pytest.raises(ConfigError, match=f"namespace of type `{kind}`") as caught:
        parse_config(value)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths", "rootfsPropagation"])
def test_what_changes_mounts_needs_a_mount_namespace(key):
    value = full()
    value["linux"]["namespaces"] = [entry for entry in value["linux"]["namespaces"] if entry["type"] != "mount"]
    for other in {"maskedPaths", "readonlyPaths", "rootfsPropagation"} - {key}:
        value["linux"].pop(other, None)
    value["linux"].setdefault(key, "private")
    with pytest.raises(ConfigError, match="of type `mount`") as caught:
        parse_config(value)
    assert caught.value.pointer == f"/linux/{key}"


@pytest.mark.parametrize(
    "changes",
    [
        {"/process/env/0": "a.b=c=d"},
        {"/process/execCPUAffinity/final": "0"},
        {"/process/scheduler": {"policy": "SCHED_FIFO", "priority": 99}},
        {"/process/scheduler": {"policy": "SCHED_OTHER", "nice": -20}},
        *(
            {"/process/scheduler": {"policy": "SCHED_DEADLINE", "runtime": r, "deadline": d, "period": p}}
            for r, d, p in ((1024, 1024, 1024), (1024, 1024, None), (2000, 2000, 2001), (1024, 2**63 - 1, 2**63 - 1))
        ),
        {"/process": {"args": ["a"], "cwd": "/"}},
        {"/process/execCPUAffinity": {}},
        {"/process/capabilities": {}, "/process/rlimits": []},
        {"/process/rlimits/0/hard": 1024},
        {"/mounts/0/destination": "/proc/uptime"},
        {"/mounts/0/destination": "proc/./x/..//uptime"},
        {"/mounts/0/destination": "/proc/sys/kernel/ns_last_pid"},
        {"/mounts/0/destination": "/procession/x"},
        {"/mounts/0/destination": "/proc"},  # a bind mount; what it brings is seen when it is made
        {"/hostname": "x" * 64},
        {"/linux/namespaces/5/path": "/proc/1/ns/user"},  # with mappings beside it
        {"/linux/namespaces/5/path": "/proc/1/ns/user", "/linux/uidMappings": [], "/linux/gidMappings": []},
        {"/linux/uidMappings": [ID, {"containerID": 1, "hostID": 1, "size": LAST - 1}]},
        {"/linux/devices/0/major": 4095, "/linux/devices/0/minor": 2**20 - 1},
        {"/linux/netDevices": {"a": {"name": "eth%d"}, "b": {"name": "eth%d"}}},
        {"/linux/cgroupsPath": "user.slice:pyrunc:a..b"},
        {"/linux/cgroupsPath": "/a..b/..c"},
        {"/linux/intelRdt/closID": "/"},
        {"/linux/memoryPolicy": {"mode": "MPOL_DEFAULT"}},
        {"/linux/resources/cpu/burst": 50000},
        *({"/linux/resources": {"cpu": cpu}} for cpu in (None, {}, {"burst": 5}, {"quota": 5})),
        {"/linux/resources/cpu/quota": -1},
        {"/linux/resources/hugepageLimits/0/pageSize": "1GB"},
        {"/linux/resources/unified/hugetlb.1GB.max": "1"},
        {"/linux/seccomp/syscalls/0/action": "SCMP_ACT_ERRNO"},
        {"/linux/namespaces/5/path": "/proc/1/ns/user", "/linux/gidMappings": []},
        {"/linux/uidMappings": [], "/linux/gidMappings": []},
        {"/linux/readonlyPaths/0": "/"},
        {"/linux/maskedPaths/0": "/x"},
        {"/linux/intelRdt": {}},
        {"/linux": {}, "/mounts": [], "/hostname": None, "/domainname": None},
        {"/linux/uidMappings": RANGES[:340]},
        {"/mounts/0/uidMappings": RANGES[:340]},
    ],
)
def test_neighbours_that_are_accepted(changes):
    parse_config(changed(changes))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("net/../kernel/core_pattern", "does not name a file"),
        ("net.ipv4.conf/../../../kernel.core_pattern", "does not name a file"),
        ("/net/ipv4/ip_forward", "does not name a file"),
        ("net..ipv4", "does not name a file"),
        ("net", "does not name a file"),
        ("", "does not name a file"),
        ("net./.x", None),  # net/./x would be net/x: the middle component is `.`
        ("kernel.hostname", "is set by `hostname`"),
        ("kernel/hostname", "is set by `hostname`"),
        ("kernel.core_pattern", "is not namespaced"),
        ("vm.swappiness", "is not namespaced"),
        ("fs.mqueue.msg_max", ""),
        ("net.ipv4.conf.eth0/100.rp_filter", ""),
        ("net/ipv4/conf/eth0.100/rp_filter", ""),
        ("kernel.domainname", ""),
        ("user.max_user_namespaces", ""),
        ("kernel.shm_rmid_forced", ""),
    ],
)
def test_sysctl_keys(key, words):
    value = full()
    value["linux"]["sysctl"] = {key: "1"}
    if words == "":
        parse_config(value)
        return
    with pytest.raises(ConfigError, match=words or "does not name a file") as caught:
        parse_config(value)
    assert caught.value.pointer == "/linux/sysctl/" + key.replace("/", "~1")


def test_each_sysctl_has_one_problem():
    sysctls = {"": "1", "kernel.hostname": "x", "net.a": "1", "vm.x": "1", "kernel/hostname": "x"}
    found = config_problems(Config(Reader(changed({"/linux/sysctl": sysctls}), "")))
    assert [problem.pointer for problem in found] == [
        f"/linux/sysctl/{key}" for key in ("", "kernel.hostname", "vm.x", "kernel~1hostname")
    ]


@pytest.mark.parametrize("kinds", ["cc", "cu", "uc", "uu", "bb", "pp"])
def test_a_device_may_be_named_twice(kinds):
    """`u` is another word for `c`."""
    parse_config(changed({"/linux/devices": [DEVICE | {"type": kind} for kind in kinds]}))


def test_unknown_capabilities_and_ignored_values_are_warnings():
    value = full()
    value["process"]["capabilities"]["ambient"] = ["CAP_KILL", "CAP_FLY", "cap_kill"]
    value["mounts"][0]["destination"] = "data"
    warnings = parse_config(value).warnings
    assert warnings == [
        "unknown capability `CAP_FLY` is ignored (/process/capabilities/ambient/1)",
        "unknown capability `cap_kill` is ignored (/process/capabilities/ambient/2)",
        "the relative destination `data` is relative to / (/mounts/0/destination)",
        "personality flags have no effect (/linux/personality/flags)",
    ]
