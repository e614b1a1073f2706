"""What the container's process sees, as ctr's options say."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from conformance.containerd.harness import Containerd
from conformance.harness.checks import check, equal, matches, output_checks

test_outputs = output_checks(
    "base",
    [
        (
            "--user, --cwd, --env",
            "--user 10:20 --cwd /tmp --env FIVE=5",
            "echo $(id -u):$(id -g) $(pwd) $FIVE",
            "10:20 /tmp 5",
        ),
        ("--user: a name of the image", "--user ann", "id -u", "1000"),
        ("--hostname", "--hostname box", "hostname", "box"),
        ("--read-only", "--read-only", "(echo x >/x) 2>&1; true", ".*Read-only file system"),
        (
            "--net-host",
            "--net-host",
            "ls /sys/class/net | wc -l",
            str(len([name for _, name in socket.if_nameindex()])),
        ),
        ("no network: only the loopback", "", "ls /sys/class/net", "lo"),
        ("--device", "--device /dev/net/tun", ": <>/dev/net/tun && echo open", "open"),
        ("--no-pivot", "--no-pivot", "[ -e /seed/file ] && [ ! -e /var/lib/dpkg ] && echo root", "root"),
        ("descriptors: no more than 0, 1, 2", "", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ?"),
    ],
)


@check("base", "--mount: read-write and read-only")
def test_mounts(engine: Containerd) -> None:
    folder = engine.new_folder()
    words = [
        f"--mount=type=bind,src={folder},dst=/{name},options=rbind:{mode}" for name, mode in (("v", "rw"), ("r", "ro"))
    ]
    output = engine.sh(words, "echo written >/v/file; (echo x >/r/file) 2>&1; cat /r/file")
    matches(output, ".*Read-only file system\nwritten")


@check("base", "--with-ns: the namespaces of another container")
def test_with_namespaces(engine: Containerd) -> None:
    name = engine.start(["--hostname", "first"], "sleep", "1000")
    pid = engine("task", "list").split(name)[1].split()[0]
    words = [
        f"--with-ns={kind}:/proc/{pid}/ns/{short}"
        for kind, short in (("network", "net"), ("uts", "uts"), ("ipc", "ipc"), ("pid", "pid"))
    ]
    links = engine.sh(
        words, "hostname; cd /proc/self/ns; readlink net; readlink uts; readlink ipc; readlink pid"
    ).split()
    equal(links, ["first", *(str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("net", "uts", "ipc", "pid"))])


@check("base", "--uidmap, --gidmap: a user namespace, the files shifted for it")
def test_user_namespace(engine: Containerd) -> None:
    words = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]
    output = engine.sh(words, "cat /proc/self/uid_map; id -u; stat -c %u /seed/file; touch /made && echo made")
    equal(output.split(), ["0", "100000", "65536", "0", "1000", "made"])


def small_root(engine: Containerd) -> Path:
    """A folder of the host with a shell and the places for mounts."""
    folder = engine.new_folder()
    for name in ("bin", "proc", "sys", "dev", "run"):
        (folder / name).mkdir()
    (folder / "bin/sh").write_bytes(Path("/bin/busybox").read_bytes())
    (folder / "bin/sh").chmod(0o755)
    return folder


@check("base", "--rootfs: a folder of the host's as the root")
def test_own_rootfs(engine: Containerd) -> None:
    name = engine.new_container()
    words = ["run", "--rm", *engine.runtime_words(name), "--rootfs", str(small_root(engine)), name]
    equal(engine(*words, "/bin/sh", "-c", "echo $$"), "1")


@check("base", "--config: a configuration of one's own")
def test_own_config(engine: Containerd) -> None:
    name = engine.new_container()
    kinds = {"proc": "proc", "dev": "tmpfs"}
    config = {
        "ociVersion": "1.0.2",
        "root": {"path": str(small_root(engine))},
        "process": {
            "args": ["sh", "-c", "echo $$ $KEY"],
            "env": ["PATH=/bin", "KEY=from-config"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
        },
        "mounts": [{"destination": f"/{place}", "type": kind, "source": kind} for place, kind in kinds.items()],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "network")],
            "cgroupsPath": f"/runtime-checks/{name}",
        },
    }
    path = engine.new_file(json.dumps(config))
    equal(engine("run", "--rm", "--runc-binary", engine.runtime, "--config", str(path), name), "1 from-config")
