"""A runtime that is root of a user namespace only, as rootless podman calls it: what the kernel keeps from it, and how
it does without."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import mount, umount
from tests.ordinaryuser import GRANTED, OrdinaryUser
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime
from tests.waiting import eventually

HYBRID = "1.8.1 refuses hybrid cgroups here"
TELLS = "refuses with the kernel's word alone"
FALLS_BACK = "has no fallback"


class Inner:
    """A user and mount namespace of an ordinary user, held open by a process; the user is uid 0 in it."""

    def __init__(self, user: OrdinaryUser, *maps: str) -> None:
        """Make it with the maps that these options of unshare(1) name."""
        words = ["unshare", "--user", "--mount", *maps, "sh", "-c", "echo made; exec sleep 1000"]
        self._user = user
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **user.caller())
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "made\n"
        self.prefix = ("nsenter", f"--target={self.process.pid}", "--user", "--mount", "--preserve-credentials", "--")

    def call(self, *words: str) -> None:
        """Run a command in the namespaces."""
        subprocess.run([*self.prefix, *words], check=True, **self._user.caller())

    def close(self) -> None:
        """End them."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def locked(area: Path) -> Iterator[Path]:
    """A directory whose mount flags are locked in user namespaces that are made later."""
    directory = area / "locked"
    directory.mkdir()
    mount("tmpfs", str(directory), "tmpfs", 0x1 | 0x2 | 0x4 | 0x8 | 0x400)  # ro, nosuid, nodev, noexec, noatime
    yield directory
    umount(str(directory))


@pytest.fixture
def inner(runtime: Runtime, user: OrdinaryUser, locked: Path) -> Iterator[Inner]:
    """Namespaces with all ids of the user, from which the runtime is called."""
    inner = Inner(user, "--map-root-user", "--map-auto")
    runtime.prefix = inner.prefix
    yield inner
    inner.close()


@pytest.fixture
def single(runtime: Runtime, user: OrdinaryUser) -> Iterator[Inner]:
    """The same with one id, where setgroups(2) is forbidden."""
    inner = Inner(user, "--map-root-user")
    runtime.prefix = inner.prefix
    yield inner
    inner.close()


@pytest.fixture
def identity(runtime: Runtime) -> Iterator[None]:
    """A user and mount namespace of root's in which each id is itself, as systemd's PrivateUsers=full makes it."""
    words = ["unshare", "--user", "--mount", "--propagation=unchanged", "sh", "-c", "echo made; exec sleep 1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        for kind in ("uid", "gid"):
            Path(f"/proc/{process.pid}/{kind}_map").write_text("0 0 4294967295")
        runtime.prefix = ("nsenter", f"--target={process.pid}", "--user", "--mount", "--")
        yield
        process.kill()


@pytest.fixture
def own(bundle: Bundle, user: OrdinaryUser) -> Bundle:
    """A bundle of the user's."""
    return user.own(bundle).drop_mounts("/sys/fs/cgroup")


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
def test_a_whole_life(runtime: Runtime, own: Bundle) -> None:
    own.process["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    own.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}  # of no use here, and forbidden
    with runtime.running(own.shell("exec sleep 1000")) as container:
        words = ("sh", "-c", "id -u; id -G; cat /proc/self/uid_map | wc -l")
        result = runtime.call("exec", container.id, *words)
        assert (result.returncode, result.stdout.split()) == (0, ["5", "6", "7", "2"]), result.stderr
        container.kill()


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
def test_devices_are_those_of_the_host(runtime: Runtime, own: Bundle) -> None:
    own.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse")
    script = "for d in null zero full random urandom tty fuse; do stat -c '%n %t:%T' /dev/$d; done; echo x > /dev/null"
    assert runtime.output(own, script).split()[1::2] == ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "a:e5"]


@pytest.mark.usefixtures("inner")
@only_pyrunc(TELLS)
def test_a_device_that_the_host_does_not_have(runtime: Runtime, own: Bundle) -> None:
    own.linux["devices"] = [{"path": "/dev/no-such", "type": "c", "major": 10, "minor": 229}]
    runtime.create_fails(own, "/linux/devices/0", "the one that the host has at this path")


@pytest.mark.usefixtures("inner")
@only_pyrunc("says nothing of it")
def test_a_device_that_the_host_has_with_another_mode_is_told(runtime: Runtime, own: Bundle) -> None:
    asked = {"fileMode": 0o666, "uid": 65534, "gid": 65534}  # the host's root seen from in there
    own.linux["devices"] = [{"path": "/dev/full", "type": "c", "major": 1, "minor": 7} | asked]
    assert runtime.run(own.shell("stat -c '%a %u %g' /dev/full")).stderr == ""
    own.linux["devices"][0].update(fileMode=0o600, gid=7)
    result = runtime.run(own.shell("stat -c '%a %u %g' /dev/full"))
    assert result.stdout.split() == ["666", "65534", "65534"]
    assert "`/dev/full` already exists and keeps its fileMode 0666, gid 65534" in result.stderr
    assert "/linux/devices/0" in result.stderr


@pytest.mark.usefixtures("inner")
@only_pyrunc("takes what is there")
def test_a_device_that_is_another_one_on_the_host(runtime: Runtime, own: Bundle) -> None:
    own.linux["devices"] = [{"path": "/dev/full", "type": "c", "major": 1, "minor": 3}]
    runtime.create_fails(own, "/linux/devices/0", "`/dev/full` of the host is a different device")


def mounts_below(text: str, path: str) -> list[tuple[str, str, set[str]]]:
    """(mount point, type, options) of mount(8)'s lines for `path` and what is below it."""
    lines = [line.split() for line in text.splitlines() if " type " in line]
    return [
        (words[2], words[4], set(words[5].strip("()").split(",")))
        for words in lines
        if words[2] == path or words[2].startswith(f"{path}/")
    ]


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
def test_a_new_sysfs_with_a_network_namespace(runtime: Runtime, own: Bundle) -> None:
    own.linux["maskedPaths"] = []
    text = runtime.output(own, "mount; ls /sys/class/net")
    assert text.splitlines()[-1] == "lo"
    assert [(point, kind) for point, kind, _ in mounts_below(text, "/sys")] == [("/sys", "sysfs")]


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID, runc=FALLS_BACK)
def test_the_hosts_sysfs_without(runtime: Runtime, own: Bundle) -> None:
    own.share("network").linux["maskedPaths"] = []
    found = mounts_below(runtime.output(own, "mount"), "/sys")
    assert found[0][:2] == ("/sys", "sysfs")
    assert len(found) > 1, "the host's cgroup hierarchies are below it"
    assert all({"ro", "nosuid", "nodev", "noexec"} <= options for _, _, options in found), found


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
def test_a_new_proc_with_a_pid_namespace(runtime: Runtime, own: Bundle) -> None:
    own.linux["maskedPaths"] = own.linux["readonlyPaths"] = []
    text = runtime.output(own, "mount; ls -d /proc/[0-9]* | head -1")
    assert text.splitlines()[-1] == "/proc/1"
    assert ["rw" in options for _, _, options in mounts_below(text, "/proc")] == [True]


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID, runc=FALLS_BACK)
def test_the_hosts_proc_without(runtime: Runtime, own: Bundle) -> None:
    own.share("pid").linux["maskedPaths"] = []
    found = mounts_below(runtime.output(own, "mount; test -d /proc/1"), "/proc")
    assert found[0][:2] == ("/proc", "proc")
    assert all("ro" in options for _, _, options in found), found


@pytest.mark.usefixtures("inner")
@only_pyrunc(TELLS)
def test_no_mqueue_without_an_ipc_namespace(runtime: Runtime, own: Bundle) -> None:
    if Path("/dev/mqueue").exists():
        pytest.skip("the host's /dev/mqueue stands in")
    runtime.create_fails(own.share("ipc"), "/mounts/4", "needs an ipc namespace of its own")


LOCKED = {"ro", "nosuid", "nodev", "noexec", "noatime"}


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
@pytest.mark.parametrize("words", ["rbind", "rbind,rw", "bind,suid,exec", "bind,rw,dev,exec,suid"])
def test_locked_flags_stay(runtime: Runtime, own: Bundle, locked: Path, words: str) -> None:
    own.mount("/mnt", locked, *words.split(","))
    ((_, _, options),) = mounts_below(runtime.output(own, "mount"), "/mnt")
    assert options >= LOCKED


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID, runc="1.1.5 takes them off by remounting, and is refused")
@pytest.mark.parametrize("words", ["bind,ro", "bind,nosuid,nodev", "bind,noatime,noexec"])
def test_more_flags_leave_locked_ones(runtime: Runtime, own: Bundle, locked: Path, words: str) -> None:
    own.mount("/mnt", locked, *words.split(",")).mount("/mnt", locked, "remount", "bind", "nosuid")
    ((_, _, options),) = mounts_below(runtime.output(own, "mount"), "/mnt")
    assert options >= LOCKED


@differs(crun=HYBRID, runc="1.1.5 does not take flags off")
def test_flags_that_are_not_locked_go(runtime: Runtime, own: Bundle, inner: Inner, area: Path) -> None:
    open_ = area / "open"
    open_.mkdir()
    inner.call("mount", "--bind", str(area / "locked"), str(open_))
    inner.call("mount", "-o", "remount,bind,ro,nosuid,nodev,noexec,noatime,nosymfollow", str(open_))
    own.mount("/mnt", open_, "bind", "rw", "symfollow")
    ((_, _, options),) = mounts_below(runtime.output(own, "mount"), "/mnt")
    assert options >= LOCKED
    assert "nosymfollow" not in options


@pytest.mark.usefixtures("single")
@differs(crun=HYBRID)
def test_where_setgroups_is_denied(runtime: Runtime, own: Bundle) -> None:
    for entry in own.config["mounts"]:
        entry["options"] = [word for word in entry["options"] if word != "gid=5"]  # not mapped
    assert runtime.output(own, "cat /proc/self/setgroups").strip() == "deny"


@pytest.mark.usefixtures("single")
@differs(crun=HYBRID, runc="1.1.5 says it for want of permission")
def test_additional_groups_where_setgroups_is_denied(runtime: Runtime, own: Bundle) -> None:
    own.process["user"]["additionalGids"] = [0]
    runtime.create_fails(own, "/process/user/additionalGids", "additional groups")


@pytest.mark.usefixtures("inner")
@only_pyrunc(TELLS)
@pytest.mark.parametrize("key", ["uid", "gid"])
def test_an_id_that_the_outer_namespace_lacks(runtime: Runtime, own: Bundle, key: str) -> None:
    own.process["user"][key] = GRANTED[1] + 1
    runtime.create_fails(own, f"{key} {GRANTED[1] + 1} is not mapped", f"/process/user/{key}")


@pytest.mark.usefixtures("inner")
@differs(crun=HYBRID)
def test_a_user_namespace_in_it(runtime: Runtime, own: Bundle) -> None:
    mapping = {"containerID": 0, "hostID": 100, "size": 50}
    own.namespace("user").linux.update({"uidMappings": [mapping], "gidMappings": [mapping]})
    for directory in (own.path, own.rootfs):
        directory.chmod(0o755)
    assert runtime.output(own, "cat /proc/self/uid_map").split() == ["0", "100", "50"]


@pytest.mark.usefixtures("inner")
@only_pyrunc(TELLS)
def test_a_range_that_is_not_in_one_range(runtime: Runtime, own: Bundle) -> None:
    good = {"containerID": 0, "hostID": 100, "size": 50}
    bad = {"containerID": 50, "hostID": 0, "size": 20}  # the user's own id, and the granted ones
    own.namespace("user").linux.update({"uidMappings": [good, bad], "gidMappings": [good]})
    runtime.create_fails(own, "uids 0-19 do not lie in one range", "/linux/uidMappings/1")


@pytest.mark.usefixtures("inner")
@differs(crun="refuses, without saying where", runc="refuses, without saying where")
def test_what_takes_privilege_of_the_host(runtime: Runtime, own: Bundle) -> None:
    own.process["oomScoreAdj"] = -500
    runtime.create_fails(own, "/process/oomScoreAdj", "needs CAP_SYS_RESOURCE", "permission denied")
    own.process["oomScoreAdj"] = 500
    own.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10**9}]
    runtime.create_fails(own, "/process/rlimits/0", "needs CAP_SYS_RESOURCE")
    own.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 100}]
    script = "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn"
    assert runtime.output(own, script).split() == ["500", "10", "100"]


def id_mapped(bundle: Bundle, source: Path, kind: str = "bind") -> Bundle:
    """A mount on /mnt whose id 0 is the id 5 of the namespace that the runtime is in."""
    bundle.mount("/mnt", source, *(["bind"] if kind == "bind" else []), "idmap", fstype=kind)
    ranges = [{"containerID": 0, "hostID": 5, "size": 1}]
    bundle.config["mounts"][-1] |= {"uidMappings": ranges, "gidMappings": ranges}
    return bundle


@pytest.mark.usefixtures("inner")
@only_pyrunc(TELLS)
def test_ids_of_the_hosts_file_systems_cannot_be_mapped(runtime: Runtime, own: Bundle) -> None:
    id_mapped(own, own.path)
    runtime.create_fails(own, "only root of the user namespace", "operation not permitted", "/mounts/")


@pytest.mark.usefixtures("inner")
@only_pyrunc("1.8.1 takes the name of a new file system for a path; 1.1.5 has no id-mapped mounts")
def test_ids_of_ones_own_file_system_can_be_mapped(runtime: Runtime, own: Bundle) -> None:
    id_mapped(own, Path("tmpfs"), "tmpfs")
    assert runtime.output(own, "stat -c %u:%g /mnt").strip() == "5:5"


@pytest.mark.usefixtures("identity")
@differs(crun="1.28 goes by the map, and may not load its device filter then")
def test_each_id_is_itself(runtime: Runtime, bundle: Bundle) -> None:
    """What the host has for root is not here all the same: devices are bound, and the device filter is left out."""
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    with runtime.running(bundle.shell("echo x > /dev/null && echo ran; exec sleep 1000")) as container:
        result = runtime.call("exec", container.id, "sh", "-c", "id -u; stat -c %t:%T /dev/null")
        assert (result.returncode, result.stdout.split()) == (0, ["0", "1:3"]), result.stderr
        eventually(container.output, "the program")
        assert container.output() == "ran\n"
