"""Bundles for system tests: a busybox root filesystem and a config.json like the one `runc spec` writes."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.privatehost import CGROUP_PARENT

Json = dict[str, Any]

ROOTFS_DIRECTORIES = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "tmp", "usr/bin", "var")
APPLETS = (  # busybox's links in /bin
    "[ awk base64 basename cat chgrp chmod chown cp cut date dd dirname dmesg echo env expr false find grep head "
    "hexdump hostname id ip kill ln ls mkdir mkfifo mknod mount mv nc nproc od pidof ps pwd readlink realpath rm "
    "rmdir sed seq sh sleep sort stat stty sync tail tee test timeout touch tr true tty umount uname uniq usleep wc "
    "who xargs"
)
CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
# A shell command: the pid in the state that is a hook's standard input, whatever its layout (crun 1.28: many lines).
PID_OF_STATE = r"""sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'"""


def build_rootfs(rootfs: Path) -> None:
    """Write a root filesystem whose only program is a static busybox with links for its applets."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise AssertionError("these tests need busybox (Debian and Ubuntu: busybox-static)")
    for name in ROOTFS_DIRECTORIES:
        (rootfs / name).mkdir(parents=True)
    (rootfs / "tmp").chmod(0o1777)
    shutil.copy(busybox, rootfs / "bin/busybox")
    for applet in APPLETS.split():
        (rootfs / "bin" / applet).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (rootfs / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")


def default_mounts() -> list[Json]:
    """The seven mounts of `runc spec`; cgroup last."""

    def entry(destination: str, fstype: str, source: str, *options: str) -> Json:
        return {"destination": destination, "type": fstype, "source": source, "options": list(options)}

    secure = ("nosuid", "noexec", "nodev")
    return [
        entry("/proc", "proc", "proc"),
        entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        entry("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        entry("/dev/shm", "tmpfs", "shm", *secure, "mode=1777", "size=65536k"),
        entry("/dev/mqueue", "mqueue", "mqueue", *secure),
        entry("/sys", "sysfs", "sysfs", *secure, "ro"),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", *secure, "relatime", "ro"),
    ]


def default_config() -> Json:
    """A config.json for a container without a terminal and with a writable root that runs `true`."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": default_mounts(),
        "linux": {
            "namespaces": [{"type": name} for name in NAMESPACES],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


class Bundle:
    """A bundle directory whose config is a dictionary here until save() (which the Runtime class calls)."""

    def __init__(self, path: Path, template: Path) -> None:
        """Make the bundle at path, with a copy of the root filesystem at template."""
        path.mkdir(parents=True)
        self.path = path
        self.rootfs = path / "rootfs"
        shutil.copytree(template, self.rootfs, symlinks=True)
        self.config = default_config()
        self.names_cgroup = True  # False for ordinary users, who cannot make it

    @property
    def process(self) -> Json:
        """The config's process object."""
        process: Json = self.config["process"]
        return process

    @property
    def linux(self) -> Json:
        """The config's linux object."""
        linux: Json = self.config["linux"]
        return linux

    def save(self, container_id: str) -> None:
        """Write config.json; the cgroup of the container is named after its id."""
        if self.names_cgroup:
            self.linux.setdefault("cgroupsPath", f"{CGROUP_PARENT}/{container_id}")
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))

    def shell(self, script: str) -> "Bundle":
        """Let the container run a shell script."""
        self.process["args"] = ["sh", "-c", script]
        return self

    def mount(self, destination: str, source: str | Path, *options: str, fstype: str = "bind") -> "Bundle":
        """Add a mount as the last one."""
        self.config["mounts"].append(
            {"destination": destination, "type": fstype, "source": str(source), "options": list(options)}
        )
        return self

    def drop_mounts(self, *destinations: str) -> "Bundle":
        """Take mounts out of the default list."""
        self.config["mounts"] = [entry for entry in self.config["mounts"] if entry["destination"] not in destinations]
        return self

    def namespace(self, kind: str, path: str | None = None) -> "Bundle":
        """Ask for a new namespace, or for the one at path."""
        self.share(kind)
        self.linux["namespaces"].append({"type": kind} if path is None else {"type": kind, "path": path})
        return self

    def share(self, *kinds: str) -> "Bundle":
        """Leave the container in the caller's namespaces of these kinds."""
        self.linux["namespaces"] = [entry for entry in self.linux["namespaces"] if entry["type"] not in kinds]
        return self

    def user_namespace(self, host_id: int = 100000, size: int = 65536) -> "Bundle":
        """Map container ids 0..size-1 to host_id.. and give the root filesystem to the mapped root."""
        self.namespace("user")
        mapping = {"containerID": 0, "hostID": host_id, "size": size}
        self.linux["uidMappings"] = [dict(mapping)]
        self.linux["gidMappings"] = [dict(mapping)]
        for directory, _, names in os.walk(self.rootfs):
            os.chown(directory, host_id, host_id)
            for name in names:
                os.lchown(os.path.join(directory, name), host_id, host_id)
        return self

    def capabilities(self, **sets: list[str]) -> "Bundle":
        """Replace the capability sets; those not named are absent."""
        self.process["capabilities"] = sets
        return self

    def all_sets(self, *names: str) -> "Bundle":
        """Give these capabilities in the bounding, effective and permitted set."""
        return self.capabilities(bounding=list(names), effective=list(names), permitted=list(names))

    def hook(self, place: str, script: str, *, drain: bool = True, **members: Any) -> "Bundle":
        """Add a hook that runs a shell script; it reads its stdin first, unless the script does so itself."""
        hooks = self.config.setdefault("hooks", {})
        script = "cat > /dev/null; " * drain + script
        hooks.setdefault(place, []).append({"path": "/bin/sh", "args": ["sh", "-c", script], **members})
        return self
