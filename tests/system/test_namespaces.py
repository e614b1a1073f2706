"""Namespaces: each type new, shared with the caller or joined by path; wrong types and contradictions refused."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, new_id

# Type in config.json, name under /proc/PID/ns, option of unshare(1) that makes one.
TYPES = [
    ("pid", "pid", "--pid"),
    ("network", "net", "--net"),
    ("mount", "mnt", "--mount"),
    ("ipc", "ipc", "--ipc"),
    ("uts", "uts", "--uts"),
    ("user", "user", "--user"),
    ("cgroup", "cgroup", "--cgroup"),
    ("time", "time", "--time"),
]
TIME = differs(crun="1.8.1 knows no time namespace", runc="1.1.5 knows no time namespace")
EVERY_TYPE = [pytest.param(*row, marks=TIME if row[0] == "time" else ()) for row in TYPES]
JOINABLE = [row for row in EVERY_TYPE if row.values[0] not in ("mount", "user")]


def of(process: int | str, name: str) -> str:
    """Identity of a process's namespace, like uts:[4026531838]."""
    return os.readlink(f"/proc/{process}/ns/{name}")


@contextlib.contextmanager
def namespace_holder(option: str) -> Iterator[int]:
    """Pid of a process that lives in a new namespace made by unshare(1)."""
    forked = ["--fork", "--kill-child"] if option in ("--pid", "--time") else []
    process = subprocess.Popen(["unshare", option, *forked, "sh", "-c", "echo ready; exec sleep 1000"], stdout=-1)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        try:
            yield int(children[0]) if children else process.pid
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind, name, _option", EVERY_TYPE)
def test_new(runtime: Runtime, bundle: Bundle, kind: str, name: str, _option: str) -> None:
    if kind == "user":
        bundle.user_namespace()
    bundle.namespace(kind)
    with runtime.created(bundle) as container:
        assert of(container.pid, name) != of("self", name)


@pytest.mark.parametrize("kind, name, _option", [row for row in EVERY_TYPE if row.values[0] != "mount"])
def test_not_asked_for_means_the_callers(runtime: Runtime, bundle: Bundle, kind: str, name: str, _option: str) -> None:
    bundle.share(kind)
    if kind in ("network", "uts", "pid", "cgroup"):
        bundle.config.pop("hostname")
        bundle.drop_mounts("/sys", "/sys/fs/cgroup")
    if kind == "ipc":
        bundle.drop_mounts("/dev/mqueue")
    with runtime.created(bundle) as container:
        assert of(container.pid, name) == of("self", name)


@pytest.mark.parametrize("kind, name, option", JOINABLE)
def test_joined_by_path(runtime: Runtime, bundle: Bundle, kind: str, name: str, option: str) -> None:
    bundle.drop_mounts("/sys", "/sys/fs/cgroup")
    with namespace_holder(option) as holder:
        bundle.namespace(kind, f"/proc/{holder}/ns/{name}")
        with runtime.created(bundle) as container:
            assert of(container.pid, name) == of(holder, name)


def test_joined_from_another_container(runtime: Runtime, bundle: Bundle, area: Path, rootfs_template: Path) -> None:
    # A pod: network, ipc, uts and pid of the first container.
    with runtime.running(bundle.shell("hostname; exec sleep 1000")) as first:
        second_bundle = Bundle(area / "second", rootfs_template).shell("hostname; ls /proc | grep -c '^[0-9]'")
        second_bundle.config.pop("hostname")
        for kind, name in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")]:
            second_bundle.namespace(kind, f"/proc/{first.pid}/ns/{name}")
        with runtime.created(second_bundle) as second:
            for name in ("pid", "net", "ipc", "uts"):
                expected = of(first.pid, name)
                assert of(second.pid, "pid_for_children" if name == "pid" else name) == expected
            hostname, processes = second.finish().split()
        assert hostname == "container"
        assert int(processes) >= 2


@pytest.mark.parametrize("kind, name", [("network", "uts"), ("uts", "net"), ("ipc", "mnt"), ("pid", "ipc")])
def test_path_of_another_type_is_refused(runtime: Runtime, bundle: Bundle, kind: str, name: str) -> None:
    bundle.namespace(kind, f"/proc/self/ns/{name}" if name != "mnt" else f"/proc/{os.getpid()}/ns/mnt")
    runtime.create_fails(bundle)


@pytest.mark.parametrize("path", ["/no/such/namespace", "/etc/passwd", "/proc", "relative"])
def test_path_that_is_no_namespace_is_refused(runtime: Runtime, bundle: Bundle, path: str) -> None:
    runtime.create_fails(bundle.namespace("network", path))


@only_pyrunc("names the system call rather than the path")
def test_refusal_names_path_and_type(runtime: Runtime, bundle: Bundle) -> None:
    path = f"/proc/{os.getpid()}/ns/uts"
    words = f"`{path}` is a uts namespace, expected a network namespace"
    runtime.create_fails(bundle.namespace("network", path), words, "/linux/namespaces/")


@pytest.mark.parametrize("kind", ["nonsense", "PID", "net", ""])
def test_unknown_type_is_refused(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    runtime.create_fails(bundle.namespace(kind))


@differs(crun="1.8.1 takes a type twice")
def test_type_twice_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "ipc"})
    runtime.create_fails(bundle, "ipc")


def test_hostname(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "a-host-name"
    assert runtime.output(bundle, "hostname").strip() == "a-host-name"


@differs(runc="1.1.5 does not know domainname yet")
def test_domainname(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["domainname"] = "example.org"
    assert runtime.output(bundle, "cat /proc/sys/kernel/domainname").strip() == "example.org"


def test_hostname_without_uts_namespace_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    before = os.uname().nodename
    runtime.create_fails(bundle.share("uts"), "hostname")
    assert os.uname().nodename == before


@only_pyrunc("wants a mount namespace")
def test_mounts_without_a_mount_namespace_go_with_the_container(runtime: Runtime, bundle: Bundle) -> None:
    bundle.share("mount").drop_mounts("/sys/fs/cgroup")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    with runtime.running(bundle.shell("exec sleep 1000")):
        assert f" {bundle.rootfs}/dev/shm " in Path("/proc/self/mountinfo").read_text()
    assert f" {bundle.rootfs}/" not in Path("/proc/self/mountinfo").read_text()


@only_pyrunc("wants a mount namespace")
@pytest.mark.parametrize("end", ["delete", "early failure", "failure", "kill"])
def test_mounts_that_were_there_stay_without_a_mount_namespace(runtime: Runtime, bundle: Bundle, end: str) -> None:
    """The root file system may itself be a mount of the engine's, and what it has mounted in there is its, too."""
    bundle.share("mount").drop_mounts("/sys/fs/cgroup").shell("exec sleep 1000")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    (bundle.rootfs / "engine").mkdir()
    points = [str(bundle.rootfs), f"{bundle.rootfs}/engine", f"{bundle.rootfs}/proc"]
    mount(points[0], points[0], "", MS_BIND)
    for point in points[1:]:
        mount("tmpfs", point, "tmpfs")
    before = Path("/proc/self/mountinfo").read_text()
    try:
        if end == "delete":
            with runtime.running(bundle):
                assert Path("/proc/self/mountinfo").read_text() != before
        elif end == "early failure":
            bundle.linux["resources"] = {"unified": {"nonsense.max": "1"}}
            runtime.create_fails(bundle)
        elif end == "failure":
            runtime.create_fails(bundle.hook("createRuntime", "exit 3"))
        else:
            container_id = new_id()
            assert runtime.create(bundle.hook("createRuntime", "kill -9 $PPID"), container_id).returncode == -9
            assert Path("/proc/self/mountinfo").read_text() != before
            assert runtime.delete(container_id, "--force").returncode == 0
        assert Path("/proc/self/mountinfo").read_text() == before
    finally:
        for point in points[:0:-1] + points[:1]:
            umount(point)


def test_first_process_of_the_pid_namespace_is_pid_one(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.output(bundle, "echo $$").strip() == "1"


def test_loopback_is_up_in_a_new_network_namespace(runtime: Runtime, bundle: Bundle) -> None:
    flags = int(runtime.output(bundle, "cat /sys/class/net/lo/flags"), 16)
    assert flags & 1  # IFF_UP


@pytest.mark.parametrize(
    "sysctl", [{"net.ipv4.ip_forward": "1"}, {"net/ipv4/ip_forward": "1"}, {"kernel.msgmax": "4242"}]
)
def test_sysctl(runtime: Runtime, bundle: Bundle, sysctl: dict[str, str]) -> None:
    bundle.linux["sysctl"] = sysctl
    ((name, value),) = sysctl.items()
    path = "/proc/sys/" + name.replace(".", "/")
    before = Path(path).read_text()
    assert runtime.output(bundle, f"cat {path}").strip() == value
    assert Path(path).read_text() == before


@pytest.mark.parametrize("name", ["vm.swappiness", "kernel.core_pattern", "kernel.nonsense", "net.no.such"])
def test_sysctl_that_is_not_namespaced_is_refused(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.linux["sysctl"] = {name: "1"}
    runtime.create_fails(bundle, name.split(".")[-1])


@only_pyrunc("leaves it to the kernel, or has other words")
@pytest.mark.parametrize(
    "name, words",
    [("vm.swappiness", "is not namespaced"), ("kernel.hostname", "is set by `hostname`")],
)
def test_sysctl_is_refused_by_its_name(runtime: Runtime, bundle: Bundle, name: str, words: str) -> None:
    bundle.linux["sysctl"] = {name: "1"}
    runtime.create_fails(bundle, words, f"/linux/sysctl/{name}")


@pytest.mark.parametrize("kind, name", [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.msgmax")])
def test_sysctl_of_the_host_is_refused(runtime: Runtime, bundle: Bundle, kind: str, name: str) -> None:
    path = Path("/proc/sys/" + name.replace(".", "/"))
    before = path.read_text()
    bundle.share(kind).drop_mounts("/sys", "/sys/fs/cgroup", "/dev/mqueue")
    bundle.linux["sysctl"] = {name: "1"}
    runtime.create_fails(bundle, name)
    assert path.read_text() == before


@differs(crun="1.8.1 writes it", runc="1.1.5 looks at the network namespace alone")
@pytest.mark.parametrize("kind, name", [("network", "net.ipv4.ip_default_ttl"), ("ipc", "kernel.msgmax")])
def test_sysctl_of_the_host_is_refused_where_its_namespace_is_named(
    runtime: Runtime, bundle: Bundle, kind: str, name: str
) -> None:
    value = Path("/proc/sys/" + name.replace(".", "/")).read_text().strip()  # harmless where it is written
    bundle.namespace(kind, f"/proc/self/ns/{'net' if kind == 'network' else kind}")
    bundle.drop_mounts("/sys", "/sys/fs/cgroup", "/dev/mqueue")
    bundle.linux["sysctl"] = {name: value}
    runtime.create_fails(bundle, name, "would be set on the host")


@only_pyrunc("makes the container's root that of the host")
def test_mount_namespace_of_the_host_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.namespace("mount", "/proc/self/ns/mnt")
    message = "the whole host would get the container's root"
    runtime.behind("unshare", "--mount").create_fails(bundle, "/linux/namespaces/", message)  # for if it is not


@only_pyrunc("renames the host")
def test_name_of_the_host_is_kept_where_its_namespace_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.namespace("uts", "/proc/self/ns/uts")
    bundle.config["hostname"] = os.uname().nodename  # as podman says of a container that shares another's
    assert runtime.output(bundle, "hostname").strip() == os.uname().nodename
    bundle.config["hostname"] = "elsewhere"
    runtime.create_fails(bundle, "/hostname", "would be set on the host")


@pytest.mark.parametrize(
    "user", [None, *(pytest.param(word, marks=differs(crun="1.28: permission denied")) for word in ("new", "joined"))]
)
def test_time_offsets(runtime: Runtime, make_bundle: Callable[[], Bundle], user: str | None) -> None:
    bundle = make_bundle()
    if user:
        bundle.user_namespace()
    if user != "joined":
        check_time_offsets(runtime, bundle)
        return
    with runtime.created(make_bundle().user_namespace()) as first:
        check_time_offsets(runtime, bundle.namespace("user", f"/proc/{first.pid}/ns/user"))


def check_time_offsets(runtime: Runtime, bundle: Bundle) -> None:
    bundle.namespace("time").linux["timeOffsets"] = {
        "boottime": {"secs": 1_000_000, "nanosecs": 5},
        "monotonic": {"secs": 2_000_000},
    }
    with runtime.created(bundle.shell("cat /proc/uptime")) as container:
        offsets = Path(f"/proc/{container.pid}/timens_offsets").read_text().split()
        assert offsets == ["monotonic", "2000000", "0", "boottime", "1000000", "5"]
        assert float(container.finish().split()[0]) > 1_000_000


@only_pyrunc("the place in the configuration is not named")
@pytest.mark.parametrize("path", [None, "/proc/self/ns/time"])
def test_time_offsets_want_a_new_time_namespace(runtime: Runtime, bundle: Bundle, path: str | None) -> None:
    if path:
        bundle.namespace("time", path)
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1}}
    runtime.create_fails(bundle, "timeOffsets")


@pytest.mark.parametrize("hooked", [False, True])
def test_proc_is_of_the_pid_namespace_that_is_joined(
    runtime: Runtime, make_bundle: Callable[[], Bundle], hooked: bool
) -> None:
    """Never of the one that the runtime is in: /proc/PID/root of the host's processes would be the container's."""
    joining = make_bundle()
    if hooked:
        joining.hook("createRuntime", "true")
    with runtime.running(make_bundle().shell("exec sleep 1000")) as container:
        joining.namespace("pid", f"/proc/{container.pid}/ns/pid")
        found = runtime.output(joining, "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/[2-9]*/cmdline | tr '\\0' ' '")
    assert found.startswith("sleep 1000 ")
    assert "sh -c" in found
    assert "pytest" not in found
