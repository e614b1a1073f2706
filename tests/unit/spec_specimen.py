"""A config.json that uses every key of the Linux specification and breaks no rule."""

import json
from collections.abc import Iterator
from typing import Any

MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]
HOOK = {"path": "/usr/bin/hook", "args": ["hook", "-v"], "env": ["A=b"], "timeout": 30}
SET = ["CAP_KILL", "CAP_CHOWN"]

PROCESS = {
    "terminal": True,
    "consoleSize": {"height": 25, "width": 80},
    "user": {"uid": 1000, "gid": 1001, "umask": 18, "additionalGids": [5, 6]},
    "args": ["sh", "-c", "true"],
    "env": ["PATH=/bin", "EMPTY="],
    "cwd": "/srv",
    "capabilities": {
        "bounding": SET,
        "effective": SET,
        "inheritable": ["CAP_KILL"],
        "permitted": SET,
        "ambient": ["CAP_KILL"],
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2**64 - 1}],
    "noNewPrivileges": True,
    "apparmorProfile": "profile",
    "selinuxLabel": "system_u:system_r:container_t:s0",
    "oomScoreAdj": -500,
    "scheduler": {
        "policy": "SCHED_DEADLINE",
        "nice": 5,
        "priority": 0,
        "flags": ["SCHED_FLAG_RECLAIM"],
        "runtime": 2000,
        "deadline": 3000,
        "period": 4000,
    },
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "0-3,7", "final": "4"},
}

RESOURCES = {
    "devices": [{"allow": False, "type": "c", "major": 1, "minor": -1, "access": "rwm"}],
    "memory": {
        "limit": 1048576,
        "reservation": 524288,
        "swap": 2097152,
        "kernel": -1,
        "kernelTCP": -1,
        "swappiness": 60,
        "disableOOMKiller": True,
        "useHierarchy": True,
        "checkBeforeUpdate": True,
    },
    "cpu": {
        "shares": 1024,
        "quota": 50000,
        "burst": 1000,
        "period": 100000,
        "realtimeRuntime": 950000,
        "realtimePeriod": 1000000,
        "cpus": "0-1",
        "mems": "0",
        "idle": 1,
    },
    "blockIO": {
        "weight": 100,
        "leafWeight": 200,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 600}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 601}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 602}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 603}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
    "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
    "pids": {"limit": 100},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
    "unified": {"memory.high": "1048576", "io.max": "259:0 rbps=1"},
}

SECCOMP = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/run/agent.sock",
    "listenerMetadata": "a\0b",
    "syscalls": [
        {
            "names": ["read", "clone"],
            "action": "SCMP_ACT_TRACE",
            "errnoRet": 1,
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"},
    ],
}

LINUX = {
    "namespaces": [
        {"type": "pid"},
        {"type": "network", "path": "/run/netns/a"},
        {"type": "mount"},
        {"type": "ipc"},
        {"type": "uts"},
        {"type": "user"},
        {"type": "cgroup"},
        {"type": "time"},
    ],
    "uidMappings": MAPPING,
    "gidMappings": MAPPING,
    "timeOffsets": {"monotonic": {"secs": 172800, "nanosecs": 5}, "boottime": {"secs": -604800}},
    "devices": [
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 1, "gid": 2},
        {"type": "p", "path": "/srv/fifo"},
    ],
    "netDevices": {"eth0": {"name": "container_eth0"}, "ens4": {}},
    "cgroupsPath": "/a/b",
    "resources": RESOURCES,
    "intelRdt": {
        "closID": "group",
        "schemata": ["L2:0=f"],
        "l3CacheSchema": "L3:0=7f0",
        "memBwSchema": "MB:0=20;1=70",
        "enableMonitoring": True,
    },
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1,3", "flags": ["MPOL_F_STATIC_NODES"]},
    "sysctl": {"net.ipv4.ip_forward": "1", "kernel/msgmax": "65536"},
    "seccomp": SECCOMP,
    "rootfsPropagation": "rslave",
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "mountLabel": "system_u:object_r:container_file_t:s0",
    "personality": {"domain": "LINUX32", "flags": ["NONE"]},
}

FULL = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [
        {
            "destination": "/data",
            "type": "none",
            "source": "/srv/data",
            "options": ["rbind", "ro"],
            "uidMappings": MAPPING,
            "gidMappings": MAPPING,
        },
        {"destination": "/proc", "type": "proc", "source": "proc"},
    ],
    "process": PROCESS,
    "hostname": "name",
    "domainname": "domain",
    "hooks": {
        "prestart": [HOOK],
        "createRuntime": [HOOK],
        "createContainer": [HOOK],
        "startContainer": [HOOK],
        "poststart": [HOOK],
        "poststop": [HOOK],
    },
    "annotations": {"org.example.key": "", "other": "a\0b"},
    "linux": LINUX,
}

BORDERS = [0, 1, 5, 7, 19, 20, 100, 1000, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]
NEAR_BORDERS = sorted({sign * border + step for border in BORDERS for sign in (1, -1) for step in (-1, 0, 1)})
"""Integers at the ends of every range of the specification, and next to them."""

MINIMAL = {"ociVersion": "1.0.2-dev", "root": {"path": "/"}}


def full() -> dict[str, Any]:
    """A copy of FULL that may be changed."""
    return json.loads(json.dumps(FULL))  # not deepcopy: lists that FULL uses twice become two


def minimal() -> dict[str, Any]:
    """The smallest configuration that is accepted."""
    return json.loads(json.dumps(MINIMAL))


Place = tuple[Any, Any, str]


def places(value: Any, pointer: str = "") -> Iterator[Place]:
    """(container, key or index, JSON pointer) of every value below `value`."""
    for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        at = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
        yield value, key, at
        if isinstance(item, (dict, list)):
            yield from places(item, at)


def put(value: Any, pointer: str, item: Any) -> Any:
    """`value` with `item` at `pointer`, whose parents exist or are made as objects."""
    *parents, last = pointer.split("/")[1:]
    for part in parents:
        value_below = value[int(part)] if isinstance(value, list) else value.setdefault(part, {})
        value = value_below
    if isinstance(value, list):
        value[int(last)] = item
    else:
        value[last.replace("~1", "/").replace("~0", "~")] = item
    return item
