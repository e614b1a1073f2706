"""The bundles that are measured: one root filesystem, config.json in two sizes.

Neither has resource limits: the hosts where this runs have different controllers, and a device rule (an eBPF program
of some 5 ms) would be most of the time.  Each has a cgroup namespace of its own; without one, the cgroup2 mount
inside the container makes the kernel wait for 5 to 40 ms at random.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from conformance.rootfs import go_architecture, make_rootfs

Config = dict[str, Any]

SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# podman's default set.
CAPABILITIES = [
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE"),
    *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"),
]
PROTECTED = ["nosuid", "noexec", "nodev"]
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": PROTECTED},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*PROTECTED, "mode=1777", "size=64m"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*PROTECTED, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*PROTECTED, "relatime", "ro"]},
]
MASKED = [
    *("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/fs/selinux", "/sys/dev/block"),
]
READ_ONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def plain_config(arguments: list[str], cgroup: str) -> Config:
    """About what `runc spec` writes, with a cgroup namespace and without limits."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": [PATH, "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "noNewPrivileges": True,
        },
        "mounts": MOUNTS,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")],
        },
    }


def podman_config(arguments: list[str], cgroup: str, files: Path) -> Config:
    """What podman adds: a network namespace, masked and read-only paths, files of its own bound in, annotations."""
    config = plain_config(arguments, cgroup)
    process, linux = config["process"], config["linux"]
    process["env"] += ["container=podman", "HOME=/root", "HOSTNAME=bench"]
    process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024},
        {"type": "RLIMIT_NPROC", "hard": 1024, "soft": 1024},
    ]
    process["oomScoreAdj"] = 0
    linux["namespaces"].append({"type": "network"})
    linux["maskedPaths"], linux["readonlyPaths"] = MASKED, READ_ONLY
    linux["sysctl"] = {"net.ipv4.ping_group_range": "0 0"}
    config["mounts"] = [
        *MOUNTS,
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": PROTECTED},
    ]
    for name in ("etc/resolv.conf", "etc/hosts", "etc/hostname", "run/.containerenv"):
        source = files / name.replace("/", "-")
        source.touch()
        options = ["bind", "rprivate", "nosuid", "nodev"]
        config["mounts"].append({"destination": f"/{name}", "type": "bind", "source": str(source), "options": options})
    config["annotations"] = {f"io.container.manager.example.{number}": "value " * 8 for number in range(20)}
    return config


def seccomp_from_profile(path: Path) -> Config:
    """linux.seccomp from a profile in podman's form, for this machine and the capabilities of the bundles.

    A rule that includes capabilities is left out: it is for containers that have them.
    """
    profile = json.loads(path.read_text())
    native = f"SCMP_ARCH_{platform.machine().upper()}"
    architectures = [native]
    for entry in profile["archMap"]:
        if entry["architecture"] == native:
            architectures += entry["subArchitectures"]
    rules = []
    for rule in profile["syscalls"]:
        includes = rule.get("includes", {})
        here = go_architecture() in includes.get("arches", [go_architecture()])
        if here and not includes.get("caps") and rule["action"] != profile["defaultAction"]:
            rules.append({key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)})
    return {"defaultAction": profile["defaultAction"], "architectures": architectures, "syscalls": rules}


def make_bundles(folder: Path, profile: str, cgroup: str, seccomp: Path | None) -> None:
    """Two bundles over one root: folder/waiting runs sleep (create to delete), folder/ending runs true (for run)."""
    rootfs = folder / "rootfs"
    make_rootfs(rootfs)
    for mount_point in ("etc/resolv.conf", "etc/hosts", "etc/hostname", "run/.containerenv"):
        (rootfs / mount_point).touch()  # the root is read-only: a runtime could not make them
    for name, arguments in {"waiting": ["sleep", "1000"], "ending": ["true"]}.items():
        bundle = folder / name
        bundle.mkdir()
        config = (
            plain_config(arguments, cgroup) if profile == "plain" else podman_config(arguments, cgroup, files=folder)
        )
        config["root"]["path"] = str(rootfs)
        if seccomp:
            config["linux"]["seccomp"] = seccomp_from_profile(seccomp)
        (bundle / "config.json").write_text(json.dumps(config, indent=2))
