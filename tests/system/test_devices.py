"""Devices: the default ones and links, those listed in linux.devices, and what is refused."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle, Json
from tests.kernelcalls import MS_BIND, MS_REMOUNT, mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime

DEFAULT = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


@pytest.mark.parametrize("name, numbers", DEFAULT.items())
def test_default_device(runtime: Runtime, bundle: Bundle, name: str, numbers: tuple[int, int]) -> None:
    output = runtime.output(bundle, f"stat -c '%F %t %T %a %u %g' /dev/{name}")
    major, minor = numbers
    assert output.strip() == f"character special file {major:x} {minor:x} 666 0 0"


CORE = pytest.param(
    "core",
    "/proc/kcore",
    marks=pytest.mark.skipif(not os.path.exists("/proc/kcore"), reason="a kernel without /proc/kcore"),
)


@pytest.mark.parametrize("name, target", [*LINKS.items(), CORE])
def test_default_link(runtime: Runtime, bundle: Bundle, name: str, target: str) -> None:
    assert runtime.output(bundle, f"readlink /dev/{name}").strip() == target


def test_ptmx_is_that_of_the_containers_devpts(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.output(bundle, "readlink /dev/ptmx").strip() in ("pts/ptmx", "/dev/pts/ptmx")


def test_default_devices_work_for_an_ordinary_user(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/random | wc -c"
    assert runtime.output(bundle, script).split() == ["3", "3"]


def test_no_other_device_is_there(runtime: Runtime, bundle: Bundle) -> None:
    names = set(runtime.output(bundle, "ls /dev").split())
    assert names - {*DEFAULT, *LINKS, "core", "console", "ptmx", "pts", "shm", "mqueue"} == set()


def device(path: str, kind: str, major: int = 1, minor: int = 3, **members: int) -> Json:
    """An entry of linux.devices."""
    return {"path": path, "type": kind, "major": major, "minor": minor, **members}


@pytest.mark.parametrize(
    "entry, expected",
    [
        (device("/dev/mine", "c", 1, 3, fileMode=0o600, uid=0, gid=0), "character special file 1 3 600 0 0"),
        (device("/dev/mine", "u", 1, 5, fileMode=0o640, uid=7, gid=8), "character special file 1 5 640 7 8"),
        (device("/dev/mine", "b", 7, 200, fileMode=0o660), "block special file 7 c8 660 0 0"),
        (device("/dev/sub/dir/mine", "c", 1, 3, fileMode=0o666), "character special file 1 3 666 0 0"),
    ],
)
def test_listed_device(runtime: Runtime, bundle: Bundle, entry: Json, expected: str) -> None:
    bundle.linux["devices"] = [entry]
    assert runtime.output(bundle, f"stat -c '%F %t %T %a %u %g' {entry['path']}").strip() == expected


def test_slash_behind_the_path_of_a_listed_device(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/dev/mine/", "c", fileMode=0o640)]
    assert runtime.output(bundle, "stat -c '%F %a' /dev/mine").strip() == "character special file 640"


@differs(crun="keeps the first in silence", runc="keeps the first in silence")
def test_two_devices_of_one_path(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/dev/mine", "c", 1, 3), device("/dev/mine", "u", 1, 3)]
    assert runtime.output(bundle, "stat -c '%t %T' /dev/mine").split() == ["1", "3"]
    bundle.linux["devices"].append(device("/dev/mine", "c", 1, 5))
    runtime.create_fails(bundle, "/linux/devices/2", "/dev/mine")


def test_listed_fifo(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/mine", "type": "p", "fileMode": 0o622}]
    assert runtime.output(bundle, "stat -c '%F %a' /dev/mine").strip() == "fifo 622"


def test_listed_device_outside_dev(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/mnt/deep/null", "c", fileMode=0o666)]
    assert runtime.output(bundle, "echo x > /mnt/deep/null; stat -c %F /mnt/deep/null").strip() == (
        "character special file"
    )


def test_file_mode_is_not_cut_by_the_umask(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/dev/mine", "c", fileMode=0o666)]
    before = os.umask(0o077)
    try:
        assert runtime.output(bundle, "stat -c %a /dev/mine /dev/null").split() == ["666", "666"]
    finally:
        os.umask(before)


@differs(runc="1.1.5 then denies the device to itself")
def test_listed_default_device(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [device("/dev/null", "c", 1, 3, fileMode=0o666)]
    assert runtime.output(bundle, "echo x > /dev/null; stat -c '%t %T' /dev/null").strip() == "1 3"


DENY_ALL = {"allow": False, "access": "rwm"}
BOUND = "binds the host's node of that path, if there is one, as it is"


@differs(runc=BOUND)
@pytest.mark.parametrize(
    "entry, expected",
    [
        (device("/dev/mine", "c", 1, 3, fileMode=0o640, uid=7, gid=8), "character special file 1 3 640 7 8"),
        (device("/dev/mine", "u", 1, 3, fileMode=0o622), "character special file 1 3 622 0 0"),
        (device("/dev/kmsg", "c", 1, 11, fileMode=0o604, uid=7, gid=8), "character special file 1 b 604 7 8"),
        (device("/dev/kmsg", "c", 1, 3, fileMode=0o604), "character special file 1 3 604 0 0"),
        (device("/dev/mine", "b", 7, 200, fileMode=0o660, gid=6), "block special file 7 c8 660 0 6"),
        (device("/mnt/deep/mine", "c", 1, 3, fileMode=0o666), "character special file 1 3 666 0 0"),
        ({"path": "/dev/mine", "type": "p", "fileMode": 0o622, "uid": 3}, "fifo 0 0 622 3 0"),
    ],
)
def test_listed_device_in_a_user_namespace(runtime: Runtime, bundle: Bundle, entry: Json, expected: str) -> None:
    bundle.linux["devices"] = [entry]
    output = runtime.output(bundle.user_namespace(), f"stat -c '%F %t %T %a %u %g' {entry['path']}")
    assert output.strip() == expected


@differs(runc=BOUND)
def test_node_of_a_user_namespace_can_be_used_and_is_no_node_of_the_host(runtime: Runtime, bundle: Bundle) -> None:
    """Root of the container does with it what he likes; the host's node of that path is another file."""
    before, mounts = os.stat("/dev/kmsg"), Path("/proc/self/mountinfo").read_text()
    entry = device("/dev/kmsg", "c", 1, 11, fileMode=0o666)
    bundle.linux["devices"] = [entry, device("/dev/mine", "c", 1, 5, fileMode=0o666)]
    allowed = {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rw"}
    bundle.linux["resources"] = {"devices": [DENY_ALL, allowed]}
    script = "chmod 0602 /dev/kmsg; chown 5:6 /dev/kmsg; stat -c '%a %u %g' /dev/kmsg; (: > /dev/kmsg) || echo refused"
    output = runtime.output(bundle.user_namespace().all_sets("CAP_CHOWN"), f"{script}; head -c 2 /dev/mine | wc -c")
    assert output.split() == ["602", "5", "6", "refused", "2"]
    after = os.stat("/dev/kmsg")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert Path("/proc/self/mountinfo").read_text() == mounts


@differs(crun="takes uid and gid for the host's then", runc=BOUND)
@pytest.mark.parametrize("kinds", [("user",), ("user", "pid")])
def test_listed_device_in_a_user_namespace_that_is_joined(
    runtime: Runtime, make_bundle: Callable[[], Bundle], kinds: tuple[str, ...]
) -> None:
    with runtime.running(make_bundle().user_namespace(200000, 1000).shell("exec sleep 1000")) as owner:
        guest = make_bundle().user_namespace(200000, 1000).drop_mounts("/sys", "/sys/fs/cgroup")
        for kind in kinds:
            guest.namespace(kind, f"/proc/{owner.pid}/ns/{kind}")
        del guest.linux["uidMappings"], guest.linux["gidMappings"]
        guest.linux["devices"] = [device("/dev/mine", "c", 1, 3, fileMode=0o640, uid=7, gid=8)]
        assert runtime.output(guest, "stat -c '%t %T %a %u %g' /dev/mine").split() == ["1", "3", "640", "7", "8"]
        guest.linux["devices"][0]["gid"] = 1000
        runtime.create_fails(guest, "/linux/devices/0/gid", "1000")
        owner.kill()


@only_pyrunc("says nothing of it")
def test_device_in_a_user_namespace_without_the_right_to_make_one(runtime: Runtime, bundle: Bundle) -> None:
    """The host's of that path stands in, as it is."""
    caller = runtime.behind("setpriv", "--bounding-set", "-mknod")
    bundle.user_namespace().linux["devices"] = [device("/dev/full", "c", 1, 7, fileMode=0o640)]
    before = os.stat("/dev/full")
    result = caller.run(bundle.shell("stat -c '%t %T %a' /dev/full; chmod 600 /dev/full"))
    assert result.stdout.split() == ["1", "7", "666"]
    assert "`/dev/full` already exists and keeps its fileMode 0666 (/linux/devices/0)" in result.stderr
    assert os.stat("/dev/full").st_mode == before.st_mode
    bundle.linux["devices"] = [device("/dev/mine", "c", 1, 3)]
    caller.create_fails(bundle, "/linux/devices/0", "the one that the host has at this path")


@differs(crun="gives it to nobody, 65534", runc=BOUND)
@pytest.mark.parametrize("kind", ["c", "p"])
@pytest.mark.parametrize("key", ["uid", "gid"])
def test_owner_of_a_device_that_is_not_mapped(runtime: Runtime, bundle: Bundle, key: str, kind: str) -> None:
    bundle.linux["devices"] = [device("/dev/mine", kind), device("/dev/other", kind) | {key: 65536}]
    runtime.create_fails(bundle.user_namespace(), f"/linux/devices/1/{key}", "65536")


@differs(crun="mounts over it", runc="mounts over it, or has no node to mount")
def test_existing_file_that_is_not_the_device_in_a_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    """An empty file may be of an earlier create, and is what is mounted on."""
    (bundle.rootfs / "mnt/empty").touch()
    bundle.linux["devices"] = [device("/mnt/empty", "c")]
    assert runtime.output(bundle.user_namespace(), "stat -c '%t %T' /mnt/empty").split() == ["1", "3"]
    (bundle.rootfs / "mnt/full").write_text("not a device")
    bundle.linux["devices"] = [device("/mnt/full", "c")]
    runtime.create_fails(bundle, "/linux/devices/0", "/mnt/full")


@differs(runc="1.5.3 binds them as the host has them")
@pytest.mark.parametrize("name", ["null", "zero", "full", "tty", "random", "urandom"])
def test_default_devices_of_a_user_namespace_are_bound_with_flags(runtime: Runtime, bundle: Bundle, name: str) -> None:
    mounts = runtime.output(bundle.user_namespace(), "cat /proc/self/mountinfo").splitlines()
    (options,) = (words[5].split(",") for words in map(str.split, mounts) if words[4] == f"/dev/{name}")
    assert {"nosuid", "noexec"} <= set(options)


@differs(crun="1.8.1 keeps what is there without looking", runc="1.1.5 keeps what is there without looking")
def test_existing_file_that_is_not_the_device(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "mnt/null").write_text("not a device")
    bundle.linux["devices"] = [device("/mnt/null", "c")]
    runtime.create_fails(bundle, "/mnt/null")


ALLOW_WRITING = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}


@differs(crun="1.8.1 fails where it may not raise RLIMIT_MEMLOCK for the filter")
@pytest.mark.parametrize(
    "rules, writable", [([DENY_ALL], False), ([DENY_ALL, ALLOW_WRITING], True), ([ALLOW_WRITING, DENY_ALL], False)]
)
def test_rules_of_the_cgroup_hold(runtime: Runtime, bundle: Bundle, rules: list[Json], writable: bool) -> None:
    """The kernel's log, which may be opened for writing without any capability; default devices work in any case."""
    bundle.linux["devices"] = [device("/dev/kmsg", "c", 1, 11, fileMode=0o666)]
    bundle.linux["resources"] = {"devices": rules}
    script = "(: > /dev/kmsg) && echo writable; (: < /dev/kmsg) && echo readable; head -c 1 /dev/zero | wc -c"
    assert runtime.output(bundle, f"exec 2> /dev/null; {script}").split() == [*["writable"] * writable, "1"]


@pytest.mark.parametrize("rules", [[DENY_ALL], pytest.param([], marks=differs(crun="has no filter then"))])
def test_rules_of_the_cgroup_hold_in_a_user_namespace(
    runtime: Runtime, root_with_devices: Bundle, rules: list[Json]
) -> None:
    bundle = root_with_devices.user_namespace()
    os.mknod(bundle.rootfs / "mnt/kmsg", stat.S_IFCHR | 0o666, os.makedev(1, 11))
    os.chmod(bundle.rootfs / "mnt/kmsg", 0o666)
    bundle.linux["resources"] = {"devices": rules}
    output = runtime.output(bundle, "(: > /mnt/kmsg) 2> /dev/null && echo writable; head -c 1 /dev/zero | wc -c")
    assert output.split() == ["1"]


@differs(crun="1.8.1 has no filter then")
@pytest.mark.parametrize("resources", [None, {}, {"devices": []}])
def test_without_rules_a_node_of_the_image_cannot_be_used(
    runtime: Runtime, root_with_devices: Bundle, resources: Json | None
) -> None:
    bundle = root_with_devices
    os.mknod(bundle.rootfs / "mnt/kmsg", stat.S_IFCHR | 0o666, os.makedev(1, 11))
    os.chmod(bundle.rootfs / "mnt/kmsg", 0o666)
    bundle.linux["resources"] = resources
    if resources is None:
        del bundle.linux["resources"]
    output = runtime.output(bundle, "(: > /mnt/kmsg) 2> /dev/null && echo writable; head -c 1 /dev/zero | wc -c")
    assert output.split() == ["1"]


@differs(runc="1.1.5 does not let it be used")
def test_without_rules_a_listed_device_can_be_used(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux.pop("resources", None)
    bundle.linux["devices"] = [device("/dev/kmsg", "c", 1, 11, fileMode=0o666)]
    assert runtime.output(bundle, ": > /dev/kmsg && echo writable").split() == ["writable"]


def test_existing_node_keeps_mode_and_owner(runtime: Runtime, bundle: Bundle) -> None:
    os.mknod(bundle.rootfs / "mnt/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    bundle.linux["devices"] = [device("/mnt/null", "c", fileMode=0o662, uid=7, gid=8)]
    assert runtime.output(bundle, "stat -c '%t %T %a %u %g' /mnt/null").strip() == "1 3 600 0 0"


@pytest.mark.parametrize("kind", ["x", "", "cc"])
@differs(crun="1.8.1 takes the first letter, or a regular file")
def test_unknown_type(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    bundle.linux["devices"] = [device("/dev/mine", kind)]
    runtime.create_fails(bundle)


@only_pyrunc("uses 0 for a missing number")
@pytest.mark.parametrize("missing", ["major", "minor", "path", "type"])
def test_missing_member(runtime: Runtime, bundle: Bundle, missing: str) -> None:
    entry = device("/dev/mine", "c")
    del entry[missing]
    bundle.linux["devices"] = [entry]
    runtime.create_fails(bundle, "devices", missing)


@pytest.fixture
def root_with_devices(runtime: Runtime, bundle: Bundle) -> Iterator[Bundle]:
    """A bundle whose root file system lets device nodes be opened; a /tmp like Debian 13's is mounted nodev."""
    root = str(bundle.rootfs)
    mount(root, root, "", MS_BIND)
    mount("none", root, "", MS_BIND | MS_REMOUNT)
    yield bundle
    umount(root)


def test_devices_without_a_dev_mount_are_made_in_the_root_file_system(
    runtime: Runtime, root_with_devices: Bundle
) -> None:
    root_with_devices.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    runtime.output(root_with_devices, "echo x > /dev/null")
    status = (root_with_devices.rootfs / "dev/null").lstat()
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == os.makedev(1, 3)
