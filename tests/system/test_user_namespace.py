"""User namespaces: mappings, ownership, devices and capabilities in them."""

import os
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, MS_RDONLY, MS_REMOUNT, mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id


def test_mappings(runtime: Runtime, bundle: Bundle) -> None:
    output = runtime.output(bundle.user_namespace(100000, 65536), "cat /proc/self/uid_map /proc/self/gid_map; id -u")
    assert [line.split() for line in output.splitlines()] == [["0", "100000", "65536"]] * 2 + [["0"]]


def test_several_ranges(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace(100000, 1)
    more = [{"containerID": 1, "hostID": 300000, "size": 999}, {"containerID": 1000, "hostID": 500000, "size": 10}]
    bundle.linux["uidMappings"] += more
    bundle.linux["gidMappings"] += more[:1]
    output = runtime.output(bundle, "cat /proc/self/uid_map /proc/self/gid_map")
    ranges = [["0", "100000", "1"], ["1", "300000", "999"], ["1000", "500000", "10"]]
    assert [line.split() for line in output.splitlines()] == [*ranges, *ranges[:2]]


@differs(runc="1.1.5 wants id 0 mapped")
@pytest.mark.parametrize("uid", [1000, 1005])
def test_without_id_0(runtime: Runtime, bundle: Bundle, uid: int) -> None:
    bundle.user_namespace(100000, 10).process["user"] = {"uid": uid, "gid": 1001, "additionalGids": [1002]}
    for key in ("uidMappings", "gidMappings"):
        bundle.linux[key][0]["containerID"] = 1000
    bundle.drop_mounts("/dev/pts").rootfs.chmod(0o777)  # which asks for the group 5
    output = runtime.output(bundle, "id -u; id -G; touch /made; stat -c '%u %g' /made; grep CapEff /proc/self/status")
    assert output.split() == [str(uid), "1001", "1002", str(uid), "1001", "CapEff:", "0" * 16]


@differs(runc="1.1.5 wants id 0 mapped")
@pytest.mark.parametrize("ambient", [[], ["CAP_CHOWN"]])
def test_capabilities_without_id_0(runtime: Runtime, bundle: Bundle, ambient: list[str]) -> None:
    """What set the container up is not root there, and has privilege all the same; nothing of it is left."""
    bundle.user_namespace(100000, 10).process["user"] = {"uid": 1000, "gid": 1000}
    for key in ("uidMappings", "gidMappings"):
        bundle.linux[key][0]["containerID"] = 1000
    chown = ["CAP_CHOWN"]
    sets = {"bounding": chown, "effective": chown, "permitted": chown, "inheritable": chown, "ambient": ambient}
    bundle.drop_mounts("/dev/pts").capabilities(**sets)
    output = runtime.output(bundle, "grep Cap /proc/self/status")
    has = "1" if ambient else "0"
    bits = {line.split()[0]: line.split()[1][-1] for line in output.splitlines()}
    assert bits == {"CapInh:": "1", "CapPrm:": has, "CapEff:": has, "CapBnd:": "1", "CapAmb:": has}
    assert output.count("0" * 15) == 5


def test_files_belong_to_the_mapped_user(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace(100000).process["user"] = {"uid": 0, "gid": 0}
    runtime.output(bundle, "touch /made")
    status = (bundle.rootfs / "made").stat()
    assert (status.st_uid, status.st_gid) == (100000, 100000)


def test_process_runs_as_the_mapped_user(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace(100000).process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6]}
    with runtime.created(bundle.shell("id -u; id -g; id -G")) as container:
        status = Path(f"/proc/{container.pid}/status").read_text()
        if "Uid:\t101000" in status:  # not yet, in a runtime that drops its privileges at start
            assert "Gid:\t101001" in status
        assert container.finish().split() == ["1000", "1001", "1001", "5", "6"]


def test_setgroups_stays_allowed_for_a_privileged_caller(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.output(bundle.user_namespace(), "cat /proc/self/setgroups").strip() == "allow"


def test_default_devices_work(runtime: Runtime, bundle: Bundle) -> None:
    devices = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout", "stderr")
    script = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c && ls /dev"
    output = runtime.output(bundle.user_namespace(), script).split()
    assert output[:2] == ["4", "4"]
    assert set(devices) <= set(output)


def test_default_mounts_belong_to_the_mapped_root(runtime: Runtime, bundle: Bundle) -> None:
    output = runtime.output(bundle.user_namespace(), "stat -c '%u:%g' /dev /dev/shm /dev/pts /tmp")
    assert output.split() == ["0:0"] * 4


@differs(crun="1.28 maps one id there")
@pytest.mark.parametrize("key", ["uidMappings", "gidMappings"])
def test_user_namespace_with_one_of_the_mappings_is_refused(runtime: Runtime, bundle: Bundle, key: str) -> None:
    bundle.user_namespace()
    del bundle.linux[key]
    runtime.create_fails(bundle, "mappings")


@differs(crun="1.8.1 ignores them", runc="1.1.5 ignores them")
def test_mappings_without_user_namespace_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux.update({"uidMappings": mapping, "gidMappings": mapping})
    runtime.create_fails(bundle, "namespace")


def test_user_that_is_not_mapped_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace(100000, 10).process["user"] = {"uid": 10, "gid": 0}
    container_id = new_id()
    error_text(runtime.run(bundle.shell("echo ran"), container_id=container_id))


def test_overlapping_ranges_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace(100000, 10)
    bundle.linux["uidMappings"].append({"containerID": 5, "hostID": 200000, "size": 10})
    runtime.create_fails(bundle)


def test_container_root_has_no_power_over_the_host(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    secret = area / "secret"
    secret.write_text("host only")
    secret.chmod(0o600)
    (bundle.rootfs / "mnt/secret").touch()
    bundle.user_namespace().mount("/mnt/secret", secret, "bind")
    result = runtime.run(bundle.shell("cat /mnt/secret"))
    assert result.returncode != 0
    assert "host only" not in result.stdout


def test_source_directory_that_only_the_host_root_may_enter(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    closed = area / "closed"
    (closed / "volume").mkdir(parents=True)
    (closed / "volume/file").write_text("content")
    closed.chmod(0o700)
    bundle.user_namespace().mount("/mnt", closed / "volume", "rbind")
    assert runtime.output(bundle, "cat /mnt/file") == "content"


@differs(runc="1.1.5 asks for mappings although the namespace has them")
def test_joined_by_path_with_the_mappings_there(
    runtime: Runtime, bundle: Bundle, area: Path, rootfs_template: Path
) -> None:
    with runtime.running(bundle.user_namespace().shell("exec sleep 1000")) as first:
        second = Bundle(area / "second", rootfs_template).user_namespace()
        del second.linux["uidMappings"], second.linux["gidMappings"]
        second.namespace("user", f"/proc/{first.pid}/ns/user").drop_mounts("/sys", "/sys/fs/cgroup")
        for kind, name in (("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
            second.namespace(kind, f"/proc/{first.pid}/ns/{name}")
        second.config.pop("hostname")
        with runtime.created(second.shell("cat /proc/self/uid_map")) as joined:
            assert os.readlink(f"/proc/{joined.pid}/ns/user") == os.readlink(f"/proc/{first.pid}/ns/user")
            assert joined.finish().split() == ["0", "100000", "65536"]


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup"])
def test_other_namespaces_belong_to_the_user_namespace(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    # A namespace made before the user namespace would belong to the host: its sysctls and mounts would be refused.
    assert kind in [entry["type"] for entry in bundle.linux["namespaces"]]
    bundle.user_namespace().all_sets("CAP_SYS_ADMIN", "CAP_NET_ADMIN").process["noNewPrivileges"] = False
    bundle.drop_mounts("/dev/mqueue")
    script = {
        "network": "ip link set lo down && ip link set lo up",
        "uts": "hostname changed && hostname",
        "ipc": "mkdir /mnt/m && mount -t mqueue none /mnt/m",
        "pid": "mkdir /mnt/p && mount -t proc none /mnt/p",
        "cgroup": "mkdir /mnt/c && mount -t cgroup2 none /mnt/c",
    }[kind]
    if kind == "pid":
        bundle.linux.update({"maskedPaths": [], "readonlyPaths": []})  # the kernel wants one fully visible procfs
    runtime.output(bundle, script)


def test_passwd_that_root_of_the_namespace_may_not_read(runtime: Runtime, bundle: Bundle) -> None:
    bundle.user_namespace()
    passwd = bundle.rootfs / "etc/passwd"
    os.chown(passwd, 0, 0)
    passwd.chmod(0o600)
    assert runtime.output(bundle, "echo $HOME") == "/\n"


@differs(crun="1.8.1 is silent", runc="1.1.5 is silent")
@pytest.mark.parametrize("words", [("rw",), ("rw", "suid"), ("rw", "dev", "exec")])
def test_flags_of_the_hosts_mount_stay(runtime: Runtime, bundle: Bundle, area: Path, words: tuple[str, ...]) -> None:
    """As the kernel locks them; engines say `rw` of every volume, so it is no error."""
    source = area / "source"
    source.mkdir()
    mount("tmpfs", str(source), "tmpfs")
    mount("none", str(source), "", MS_REMOUNT | MS_BIND | 0x1 | 0x2 | 0x4 | 0x8)
    try:
        bundle.user_namespace().mount("/mnt", source, "rbind", *words)
        result = runtime.run(bundle.shell("grep ' /mnt ' /proc/self/mountinfo"))
        runtime.create_fails(bundle.mount("/tmp", source, "rbind", "rrw"), "locked", "/mounts/8")
    finally:
        umount(str(source))
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(result.stdout.split()[5].split(","))
    assert "stays read-only" in result.stderr
    assert "/mounts/7/options" in result.stderr


@differs(crun="1.28 lets it be written")
def test_flags_of_what_is_mounted_below_stay(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    source = area / "source"
    (source / "below").mkdir(parents=True)
    mount("tmpfs", str(source / "below"), "tmpfs", MS_RDONLY)
    bundle.user_namespace()
    try:
        runtime.create_fails(bundle.mount("/mnt", source, "rbind", "rrw"))
        bundle.config["mounts"][-1]["options"] = ["rbind", "rexec"]
        assert runtime.output(bundle, "touch /mnt/below/file || echo read-only") == "read-only\n"
    finally:
        umount(str(source / "below"))


def without_mappings(bundle: Bundle) -> Bundle:
    """With one id, what belongs to another group than 0 cannot be made."""
    for entry in bundle.config["mounts"]:
        entry["options"] = [word for word in entry["options"] if not word.startswith("gid=")]
    return bundle.namespace("user")


@differs(runc="refuses it")
def test_without_mappings_the_callers_id_is_root(runtime: Runtime, bundle: Bundle) -> None:
    """Of the caller's ids that one alone, and never one that /etc/subuid does not give to root."""
    script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /made; grep CapEff /proc/self/status"
    lines = runtime.output(without_mappings(bundle), script).splitlines()
    maps = [line.split() for line in lines if len(line.split()) == 3]
    assert [line for line in maps if line[0] == "0"] == [["0", "0", "1"]] * 2
    assert lines[-2] == "0"
    assert (bundle.rootfs / "made").stat().st_uid == 0


@only_pyrunc("crun does not warn")
def test_without_mappings_a_warning_says_whose_files_they_are(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(without_mappings(bundle).shell("true"))
    assert result.returncode == 0
    assert "root in the container is the root user who calls" in result.stderr


@differs(runc="refuses it")
def test_without_mappings_root_has_no_privilege_over_the_host(runtime: Runtime, bundle: Bundle) -> None:
    bundle.all_sets("CAP_SYS_ADMIN", "CAP_MKNOD").shell("mknod /tmp/null c 1 3 2>/dev/null || echo refused")
    result = runtime.run(without_mappings(bundle))
    assert result.stdout == "refused\n", result.stderr
