"""Namespaces: private ones by default, the host's or another container's on demand, user namespaces, pods."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.podman.harness import Podman, check, equal, matches, output_checks

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
SLEEP = ["sleep", "1000"]


def inside(podman: Podman, options: list[str], kind: str) -> str:
    """Which namespace of this kind the container is in, such as ipc:[4026531839]."""
    return podman.run(options, "readlink", f"/proc/self/ns/{kind}")


def on_host(kind: str, process: str = "self") -> str:
    return os.readlink(f"/proc/{process}/ns/{kind}")


@check("base", "namespaces: all but the user's are the container's own")
def private(podman: Podman) -> None:
    found = podman.sh(
        [], "cd /proc/self/ns; for kind in cgroup ipc mnt net pid uts user; do readlink $kind; done"
    ).split()
    for line in found[:6]:
        kind = line.partition(":")[0]
        equal(line == on_host(kind), False, f"{kind} is the host's")
    if not podman.rootless:
        equal(found[6], on_host("user"), "user")


@check("base", "--pid host")
def pid_host(podman: Podman) -> None:
    equal(inside(podman, ["--pid", "host"], "pid"), on_host("pid"))
    equal(podman.sh(["--pid", "host"], f"cat /proc/{os.getpid()}/comm"), Path("/proc/self/comm").read_text().strip())


@check("base", "--pid host: stop and removal end all of the container")
def pid_host_end(podman: Podman) -> None:
    name = podman.start(["--pid", "host"], "sh", "-c", "sleep 4321 & sleep 4321")
    podman("rm", "--force", "--time", "1", name)
    listed = podman.sh(["--pid", "host"], "ps | grep '[s]leep 4321'; true")
    equal(listed, "", "processes of the removed container")


@check("base", "--ipc host")
def ipc_host(podman: Podman) -> None:
    equal(inside(podman, ["--ipc", "host"], "ipc"), on_host("ipc"))


@check("base", "--uts host")
def uts_host(podman: Podman) -> None:
    equal(inside(podman, ["--uts", "host"], "uts"), on_host("uts"))
    equal(podman.run(["--uts", "host"], "hostname"), os.uname().nodename)


@check("base", "--cgroupns host and private")
def cgroup_namespace(podman: Podman) -> None:
    equal(inside(podman, ["--cgroupns", "host"], "cgroup"), on_host("cgroup"))
    equal(podman.run(["--cgroupns", "private"], "cat", "/proc/self/cgroup"), "0::/")


@check("base", "--pid, --ipc, --uts, --cgroupns container:NAME")
def of_container(podman: Podman) -> None:
    name = podman.start(["--ipc", "shareable", "--hostname", "first"], *SLEEP)
    pid = podman.inspect(name, ".State.Pid")
    for kind, option in (("pid", "--pid"), ("ipc", "--ipc"), ("uts", "--uts"), ("cgroup", "--cgroupns")):
        equal(inside(podman, [option, f"container:{name}"], kind), on_host(kind, pid), option)
    matches(podman.sh(["--pid", f"container:{name}"], "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000 ?.*")


@check("base", "--ipc: shared memory of one container is seen by the other")
def ipc_shared(podman: Podman) -> None:
    name = podman.start(["--ipc", "shareable"], "sh", "-c", "echo text >/dev/shm/f; sleep 1000")
    script = "until [ -s /dev/shm/f ]; do sleep 0.1; done; cat /dev/shm/f"
    equal(podman.sh(["--ipc", f"container:{name}"], script), "text")


@check("base", "--uidmap, --gidmap", rootful_only="rootless podman maps through its own user namespace: see --userns")
def id_maps(podman: Podman) -> None:
    options = ["--uidmap", "0:200000:5000", "--gidmap", "0:300000:6000"]
    output = podman.sh(
        options, "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /new; stat -c %u:%g /new /etc/passwd"
    )
    wanted = ["0 200000 5000", "0 300000 6000", "0", "0:0", "0:0"]
    equal([" ".join(line.split()) for line in output.splitlines()], wanted)


@check("base", "--uidmap with --user, a volume, a device and a sysctl", rootful_only="see --uidmap")
def id_maps_and_more(podman: Podman) -> None:
    folder = podman.new_folder()
    options = ["--uidmap", "0:200000:5000", "--user", "10:20", "-v", f"{folder}:/a", "--device", "/dev/fuse"]
    options += ["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"]
    output = podman.sh(
        options, "id -u; touch /a/x; [ -c /dev/fuse ] && cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    )
    equal(output, "10\n80")
    equal(os.stat(folder / "x").st_uid, 200010, "owner on the host")


@check("base", "--userns auto: containers share no ids")
def userns_auto(podman: Podman) -> None:
    maps = []
    for _ in range(2):
        name = podman.start(["--userns", "auto:size=1024"], *SLEEP)
        pid = podman.inspect(name, ".State.Pid")
        with open(f"/proc/{pid}/uid_map") as table:
            maps.append(table.read().split())
    equal([maps[0][0], maps[0][2]], ["0", "1024"])
    equal(maps[0][1] == maps[1][1], False, "the two containers have the same ids")


@check("base", "--userns container:NAME")
def userns_container(podman: Podman) -> None:
    options = ["--userns", "keep-id"] if podman.rootless else ["--uidmap", "0:200000:5000"]
    name = podman.start(options, *SLEEP)
    pid = podman.inspect(name, ".State.Pid")
    equal(inside(podman, ["--userns", f"container:{name}"], "user"), on_host("user", pid))


output_checks("base", [("--userns host", "--userns host", "id -u", "0")])


@check("base", "--userns keep-id: the user's own id", rootless_only="keep-id is for an ordinary user's podman")
def keep_id(podman: Podman) -> None:
    folder = podman.new_folder()
    output = podman.sh(["--userns", "keep-id", "-v", f"{folder}:/a"], "id -u; touch /a/x; stat -c %u /a/x")
    equal(output, f"{os.geteuid()}\n{os.geteuid()}")
    equal((folder / "x").stat().st_uid, os.geteuid(), "owner on the host")


@check("base", "--userns nomap: the user himself is not in it", rootless_only="nomap is for an ordinary user's podman")
def nomap(podman: Podman) -> None:
    name = podman.start(["--userns", "nomap"], *SLEEP)
    with open(f"/proc/{podman.inspect(name, '.State.Pid')}/uid_map") as table:
        hosts = [int(line.split()[1]) for line in table]
    equal(os.geteuid() in hosts, False, f"mapped host ids {hosts}")


@check("base", "--group-add keep-groups", rootless_only="root's own groups are none to keep")
def keep_groups(podman: Podman) -> None:
    kept = [gid for gid in os.getgroups() if gid != os.getegid()]
    count = podman.sh(["--group-add", "keep-groups"], "id -G").split().count("65534")
    if podman.runtime.endswith("runc"):
        equal(count, 0, "groups (podman asks by an annotation that runc does not know)")
    else:
        equal(count, len(kept), f"groups that the container has no id for, of {kept}")


@check("base", "pod: its containers share net, ipc and uts, not pid and mnt")
def pod(podman: Podman) -> None:
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--hostname", "podhost", "--network", "none")
    first = podman.start(["--pod", name], "sh", "-c", "echo served >/tmp/page; exec httpd -f -p 8080 -h /tmp")
    pid = podman.inspect(first, ".State.Pid")
    script = "for kind in net ipc uts pid mnt; do readlink /proc/self/ns/$kind; done; hostname; "
    script += "until wget -qO- http://127.0.0.1:8080/page; do sleep 0.1; done"
    found = podman.sh(["--pod", name], script).splitlines()
    equal(found[:3], [on_host(kind, pid) for kind in ("net", "ipc", "uts")])
    equal([line == on_host(kind, pid) for line, kind in zip(found[3:5], ("pid", "mnt"), strict=True)], [False, False])
    equal(found[5:], ["podhost", "served"])
    for action in ("stop", "start", "restart", "kill"):
        podman("pod", action, *(["--time", "0"] if action == "stop" else []), name)
    equal(podman("pod", "rm", "--force", "--time", "0", name) != "", True, "the removed pod's id")


@check("base", "pod --share pid: one process table")
def pod_pid(podman: Podman) -> None:
    name = podman.new_pod()
    podman("pod", "create", "--name", name, "--share", "pid,ipc", "--network", "none")
    podman.start(["--pod", name], "sleep", "4322")
    script = "until ps | grep -q '[s]leep 4322'; do sleep 0.1; done; echo $(($$ > 1))"
    equal(podman.sh(["--pod", name], script), "1")
