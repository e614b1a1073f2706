"""Namespaces: private ones by default, the host's or another container's on demand; user namespaces, ids and groups."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conformance.harness.checks import check, equal, matches, output_checks
from conformance.harness.docker_checks import SLEEP
from conformance.podman.harness import Podman

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
KEEP_ID = "keep-id is for an ordinary user's podman"


def inside(podman: Podman, options: list[str], kind: str) -> str:
    """Which namespace of this kind the container is in, such as ipc:[4026531839]."""
    return podman.run(options, "readlink", f"/proc/self/ns/{kind}")


def on_host(kind: str, process: str = "self") -> str:
    return os.readlink(f"/proc/{process}/ns/{kind}")


@check("base", "namespaces: all but the user's are the container's own")
def test_private(podman: Podman) -> None:
    found = podman.sh(
        [], "cd /proc/self/ns; for kind in cgroup ipc mnt net pid uts user; do readlink $kind; done"
    ).split()
    for line in found[:6]:
        kind = line.partition(":")[0]
        equal(line == on_host(kind), False, f"{kind} is the host's")
    if not podman.rootless:
        equal(found[6], on_host("user"), "user")


@check("base", "--pid host")
def test_pid_host(podman: Podman) -> None:
    equal(inside(podman, ["--pid", "host"], "pid"), on_host("pid"))
    equal(podman.sh(["--pid", "host"], f"cat /proc/{os.getpid()}/comm"), Path("/proc/self/comm").read_text().strip())


@check("base", "--pid host: stop and removal end all of the container")
def test_pid_host_end(podman: Podman) -> None:
    name = podman.start(["--pid", "host"], "sh", "-c", "sleep 4321 & sleep 4321")
    podman("rm", "--force", "--time", "1", name)
    listed = podman.sh(["--pid", "host"], "ps | grep '[s]leep 4321'; true")
    equal(listed, "", "processes of the removed container")


@check("base", "--ipc host")
def test_ipc_host(podman: Podman) -> None:
    equal(inside(podman, ["--ipc", "host"], "ipc"), on_host("ipc"))


@check("base", "--uts host")
def test_uts_host(podman: Podman) -> None:
    equal(inside(podman, ["--uts", "host"], "uts"), on_host("uts"))
    equal(podman.run(["--uts", "host"], "hostname"), os.uname().nodename)


@check("base", "--cgroupns host and private")
def test_cgroup_namespace(podman: Podman) -> None:
    equal(inside(podman, ["--cgroupns", "host"], "cgroup"), on_host("cgroup"))
    equal(podman.run(["--cgroupns", "private"], "cat", "/proc/self/cgroup"), "0::/")


@check(
    "base", "--cgroupns host: the host's cgroup hierarchy keeps its mount options",
    rootful_only="an ordinary user's mounts cannot change them",
)  # fmt: skip
def test_hierarchy_options(podman: Podman) -> None:
    """crun 1.21 and runc 1.1.15 fail: the container's mount takes them away."""
    options = "nsdelegate,memory_recursiveprot"  # systemd's
    remount = ["mount", "-o", f"remount,{options}", "/sys/fs/cgroup"]
    subprocess.run(remount, check=True)  # a mount by another program may have taken them away
    try:
        podman.run(["--cgroupns", "host"], "ls", "/sys/fs/cgroup")
        matches(Path("/proc/self/mountinfo").read_text(), rf".* - cgroup2 \S+ rw,{options}\n.*")
    finally:
        subprocess.run(remount, check=True)


@check("base", "--pid, --ipc, --uts, --cgroupns container:NAME")
def test_of_container(podman: Podman) -> None:
    name = podman.start(["--ipc", "shareable", "--hostname", "first"], *SLEEP)
    pid = podman.inspect(name, ".State.Pid")
    for kind, option in (("pid", "--pid"), ("ipc", "--ipc"), ("uts", "--uts"), ("cgroup", "--cgroupns")):
        equal(inside(podman, [option, f"container:{name}"], kind), on_host(kind, pid), option)
    matches(podman.sh(["--pid", f"container:{name}"], "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000 ?.*")


@check("base", "--ipc: shared memory of one container is seen by the other")
def test_ipc_shared(podman: Podman) -> None:
    name = podman.start(["--ipc", "shareable"], "sh", "-c", "echo text >/dev/shm/f; sleep 1000")
    script = "until [ -s /dev/shm/f ]; do sleep 0.1; done; cat /dev/shm/f"
    equal(podman.sh(["--ipc", f"container:{name}"], script), "text")


def first_ids(podman: Podman) -> tuple[int, int]:
    """A uid and a gid that podman may map the container's first to: an ordinary user has them in podman's own user
    namespace, where 0 is himself and his subordinate ids follow."""
    return (1, 1) if podman.rootless else (200000, 300000)


def owner(podman: Podman, path: Path) -> int:
    """The file's owner as podman's user namespace has it."""
    unshare = ["podman", "unshare"] if podman.rootless else []
    command = [*unshare, "stat", "-c", "%u", str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@check("base", "--uidmap, --gidmap")
def test_id_maps(podman: Podman) -> None:
    uid, gid = first_ids(podman)
    output = podman.sh(
        ["--uidmap", f"0:{uid}:5000", "--gidmap", f"0:{gid}:6000"],
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /new; stat -c %u:%g /new /etc/passwd",
    )
    wanted = [f"0 {uid} 5000", f"0 {gid} 6000", "0", "0:0", "0:0"]
    equal([" ".join(line.split()) for line in output.splitlines()], wanted)


@check("base", "--uidmap with --user, a volume, a device and a sysctl")
def test_id_maps_and_more(podman: Podman) -> None:
    folder, (uid, _) = podman.new_folder(), first_ids(podman)
    options = ["--uidmap", f"0:{uid}:5000", "--user", "10:20", "-v", f"{folder}:/a", "--device", "/dev/fuse"]
    options += ["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"]
    output = podman.sh(
        options, "id -u; touch /a/x; [ -c /dev/fuse ] && cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    )
    equal(output, "10\n80")
    equal(owner(podman, folder / "x"), uid + 10, "owner on the host")


@check("base", "--uidmap: ids that are not the user's: podman's own error", rootless_only="root may map every id")
def test_id_maps_of_others(podman: Podman) -> None:
    result = podman.fails(125, *podman.run_words(["--uidmap", "0:4000000:5000"], "true"))
    matches(result.err, ".*(subuid|UIDs or GIDs).*", "error")


@check("base", "--userns auto: containers share no ids")
def test_userns_auto(podman: Podman) -> None:
    maps = []
    for _ in range(2):
        name = podman.start(["--userns", "auto:size=1024"], *SLEEP)
        pid = podman.inspect(name, ".State.Pid")
        with open(f"/proc/{pid}/uid_map") as table:
            maps.append(table.read().split())
    equal([maps[0][0], maps[0][2]], ["0", "1024"])
    equal(maps[0][1] == maps[1][1], False, "the two containers have the same ids")


@check("base", "--userns container:NAME")
def test_userns_container(podman: Podman) -> None:
    options = ["--userns", "keep-id"] if podman.rootless else ["--uidmap", "0:200000:5000"]
    name = podman.start(options, *SLEEP)
    pid = podman.inspect(name, ".State.Pid")
    equal(inside(podman, ["--userns", f"container:{name}"], "user"), on_host("user", pid))


test_outputs = output_checks("base", [("--userns host", "--userns host", "id -u", "0")])


@check("base", "--userns keep-id: the user's own id", rootless_only=KEEP_ID)
def test_keep_id(podman: Podman) -> None:
    folder = podman.new_folder()
    output = podman.sh(["--userns", "keep-id", "-v", f"{folder}:/a"], "id -u; touch /a/x; stat -c %u /a/x")
    equal(output, f"{os.geteuid()}\n{os.geteuid()}")
    equal((folder / "x").stat().st_uid, os.geteuid(), "owner on the host")


@check("base", "--userns keep-id:uid=,gid=: another id for it", rootless_only=KEEP_ID)
def test_keep_id_as(podman: Podman) -> None:
    folder = podman.new_folder()
    options = ["--userns", "keep-id:uid=7,gid=8", "-v", f"{folder}:/a"]
    equal(podman.sh(options, "echo $(id -u):$(id -g); touch /a/x; stat -c %u:%g /a/x"), "7:8\n7:8")
    equal((folder / "x").stat().st_uid, os.geteuid(), "owner on the host")


@check("base", "--userns keep-id: exec, also as root", rootless_only=KEEP_ID)
def test_keep_id_exec(podman: Podman) -> None:
    name = podman.start(["--userns", "keep-id"], *SLEEP)
    equal(podman("exec", name, "id", "-u"), str(os.geteuid()))
    equal(podman("exec", "--user", "0", name, "sh", "-c", "id -u; touch /new; stat -c %u /new"), "0\n0")


@check("base", "--userns nomap: the user himself is not in it", rootless_only="nomap is for an ordinary user's podman")
def test_nomap(podman: Podman) -> None:
    name = podman.start(["--userns", "nomap"], *SLEEP)
    with open(f"/proc/{podman.inspect(name, '.State.Pid')}/uid_map") as table:
        hosts = [int(line.split()[1]) for line in table]
    equal(os.geteuid() in hosts, False, f"mapped host ids {hosts}")


def kept_groups(podman: Podman) -> list[int]:
    """The supplementary groups of who runs the checks; skips where there are none, or none to keep."""
    if Path(podman.runtime).name == "runc":
        pytest.skip("podman asks by an annotation that runc does not know")
    groups = [gid for gid in os.getgroups() if gid != os.getegid()]
    if not groups:
        pytest.skip("this user is in one group only")
    return groups


@check("base", "--group-add keep-groups", rootless_only="root's own groups are none to keep")
def test_keep_groups(podman: Podman) -> None:
    kept = kept_groups(podman)
    name = podman.start(["--group-add", "keep-groups"], "sh", "-c", "id -G; exec sleep 1000")
    for groups in (podman.logs_until(name, "65534"), podman("exec", name, "id", "-G")):
        equal(groups.split().count("65534"), len(kept), f"groups that the container has no id for, of {kept}")


@check("base", "--group-add keep-groups: what a group may read, and only it", rootless_only="root may read all")
def test_keep_groups_access(podman: Podman) -> None:
    path = podman.new_file("for the group\n", 0o040)
    os.chown(path, -1, kept_groups(podman)[0])
    options = ["--user", "5", "-v", f"{path}:/secret"]
    equal(podman.sh([*options, "--group-add", "keep-groups"], "cat /secret"), "for the group")
    equal(podman.sh(options, "cat /secret 2>/dev/null || echo denied"), "denied", "without keep-groups")
