"""The configuration that `spec` writes, whole: each masked path and each word of a mount is there on purpose."""

from typing import Any

import pytest
from pyrunc.wings.documents.default import default_config

MASKED = """
/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi
/proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware
""".split()  # noqa: SIM905  (a table)
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
MOUNTS = """
/proc           proc    proc
/dev            tmpfs   tmpfs   nosuid,strictatime,mode=755,size=65536k
/dev/pts        devpts  devpts  nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
/dev/shm        tmpfs   shm     nosuid,noexec,nodev,mode=1777,size=65536k
/dev/mqueue     mqueue  mqueue  nosuid,noexec,nodev
/sys            sysfs   sysfs   nosuid,noexec,nodev,ro
/sys/fs/cgroup  cgroup  cgroup  nosuid,noexec,nodev,relatime,ro
"""
ROOTLESS = {
    "sysfs   sysfs   nosuid,noexec,nodev,ro": "none  /sys  rbind,nosuid,noexec,nodev,rro", ",gid=5": "",
}  # fmt: skip
CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
PROCESS = {
    "terminal": True, "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/", "noNewPrivileges": True,
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
}  # fmt: skip


def mounts(table: str) -> list[dict[str, Any]]:
    result = []
    for line in table.strip().splitlines():
        destination, kind, source, options = [*line.split(), ""][:4]
        entry: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
        result.append(entry | ({"options": options.split(",")} if options else {}))
    return result


def linux(*namespaces: str, **more: Any) -> dict[str, Any]:
    types = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup", *namespaces)]
    return {"namespaces": types, "maskedPaths": MASKED, "readonlyPaths": READONLY, **more}


@pytest.mark.parametrize("rootless", [False, True])
def test_all_of_it(rootless: bool) -> None:
    table = MOUNTS
    for words, others in ROOTLESS.items() if rootless else ():
        assert words in table
        table = table.replace(words, others)
    ids = {f"{kind}Mappings": [{"containerID": 0, "hostID": i, "size": 1}] for kind, i in (("uid", 7), ("gid", 8))}
    devices = {"devices": [{"allow": False, "access": "rwm"}]}
    assert default_config(rootless, 7, 8) == {
        "ociVersion": "1.3.0", "hostname": "pyrunc", "root": {"path": "rootfs", "readonly": True}, "process": PROCESS,
        "mounts": mounts(table), "linux": linux("user", **ids) if rootless else linux("network", resources=devices),
    }  # fmt: skip


def test_whom_root_is_without_being_told() -> None:
    assert default_config(rootless=True) == default_config(rootless=True, uid=0, gid=0)
