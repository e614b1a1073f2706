"""What the runtime's own processes, on their way into a container, leave open or show to others."""

import contextlib
import os
import re
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bundle import PID_OF_STATE, Bundle
from tests.kernelcalls import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, drop_capabilities, setns
from tests.ordinaryuser import OrdinaryUser
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime
from tests.waiting import eventually


def test_first_process_has_no_directory_of_the_hosts_cgroups_or_state_open(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    """Such a one leads out of the root that it enters (CVE-2024-21626)."""
    seen = area / "seen"
    bundle.hook("createRuntime", f"pid=$({PID_OF_STATE}); ls -l /proc/$pid/fd > {seen}", drain=False)
    assert runtime.run(bundle).returncode == 0
    targets = [line.rpartition(" -> ")[2] for line in seen.read_text().splitlines() if " -> " in line]
    assert targets
    assert not [path for path in targets if path.startswith("/sys/fs/cgroup") or Path(path).parent == runtime.root]


def _spy(pid: int, stop: int, writing: int) -> None:
    """As a process in the container of `pid` with all the privilege that there is to have, or, if that has no user
    namespace, with none: tell of each executable but busybox that may be looked at, which takes the right to trace its
    process (proc(5)). Until the end of `stop`."""
    kinds = CLONE_NEWNS
    for name, flag in (("user", CLONE_NEWUSER), ("pid", CLONE_NEWPID)):
        if os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
            kinds |= flag
    setns(os.pidfd_open(pid), kinds)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if os.fork() > 0:  # only a child is in the pid namespace
        os.wait()
        return
    if not kinds & CLONE_NEWUSER:
        drop_capabilities()
    os.write(writing, b"ready ")
    me = str(os.getpid())
    while not select.select([stop], [], [], 0)[0]:
        for name in os.listdir("/proc"):
            if name.isdigit() and name != me:
                with contextlib.suppress(OSError):
                    executable = os.readlink(f"/proc/{name}/exe")
                    if "busybox" not in executable:
                        os.write(writing, f"{executable} ".encode())


@contextlib.contextmanager
def spied_from(pid: int) -> Iterator[Callable[[], str]]:
    """What `_spy` tells, all of it so far."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    stop, go_on = os.pipe()
    told = b""
    child = os.fork()
    if child == 0:
        try:
            os.close(go_on)
            _spy(pid, stop, writing)
        finally:
            os._exit(0)

    def read() -> str:
        nonlocal told
        with contextlib.suppress(BlockingIOError):
            told += os.read(reading, 1 << 16)
        return told.decode()

    try:
        eventually(lambda: "ready" in read(), "the spy to look")
        yield read
    finally:
        os.close(go_on)
        os.waitpid(child, 0)
        for fd in (stop, reading, writing):
            os.close(fd)


def seeing_the_host(bundle: Bundle) -> Bundle:
    """With the host's pid namespace, and its /proc, as a user namespace may not mount one for that."""
    return bundle.share("pid").drop_mounts("/proc").mount("/proc", "/proc", "rbind")


@differs(crun="1.8.1 can be traced")
def test_process_on_its_way_into_a_user_namespace_of_others_cannot_be_traced(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    """It still has the host's root, and later no seccomp filter and no label yet: a pod that shares its pids."""
    victim = make_bundle().user_namespace()
    with runtime.running(make_bundle().user_namespace().shell("exec sleep 1000")) as pod, spied_from(pod.pid) as told:
        for kind in ("user", "pid"):
            victim.namespace(kind, f"/proc/{pod.pid}/ns/{kind}")
        for _ in range(20):
            assert runtime.run(victim).returncode == 0
        assert told() == "ready "


@differs(crun="1.8.1 can be traced", runc="1.1.5 can be traced while the maps are written")
def test_process_on_its_way_into_a_new_user_namespace_cannot_be_traced(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    """By uid 0 of a container that sees the host's processes: to the kernel it owns the user namespaces that root
    makes, and has all privilege over what is in them (user_namespaces(7))."""
    victim = seeing_the_host(make_bundle().user_namespace())
    attacker = seeing_the_host(make_bundle()).shell("exec sleep 1000")
    with runtime.running(attacker) as container, spied_from(container.pid) as told:
        for _ in range(20):
            assert runtime.run(victim).returncode == 0
        assert told() == "ready "


@only_pyrunc("can be traced, or has no id-mapped mounts")
def test_process_that_holds_the_user_namespace_of_a_mount_cannot_be_traced(
    runtime: Runtime, make_bundle: Callable[[], Bundle]
) -> None:
    victim, attacker = make_bundle(), seeing_the_host(make_bundle()).shell("exec sleep 1000")
    victim.mount("/mnt", victim.path, "rbind", "idmap")
    ids = [{"containerID": 0, "hostID": 100000, "size": 10}]
    victim.config["mounts"][-1] |= {"uidMappings": ids, "gidMappings": ids}
    with runtime.running(attacker) as container, spied_from(container.pid) as told:
        for _ in range(20):
            assert runtime.run(victim).returncode == 0
        assert told() == "ready "


def test_process_of_exec_cannot_be_traced_by_root_of_the_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    """Until it runs its program it has neither the seccomp filter nor the label of the container."""
    bundle.user_namespace().shell("exec sleep 1000")
    with runtime.running(bundle) as container, spied_from(container.pid) as told:
        for _ in range(20):
            assert runtime.call("exec", container.id, "true").returncode == 0
        assert told() == "ready "


@differs(crun="1.8.1 may not join his pid namespace", runc="1.1.5 refuses a config without a user namespace")
def test_process_of_an_ordinary_user_hides_as_well(
    runtime: Runtime, make_bundle: Callable[[], Bundle], user: OrdinaryUser
) -> None:
    """Where it joins a user namespace of his: otherwise root of that, who is no more than a container, would have the
    user's own files. What has to be written to its files in /proc, the OOM score, is written before."""
    pod, member = [user.own(make_bundle()).drop_mounts("/sys", "/sys/fs/cgroup", "/dev/mqueue") for _ in range(2)]
    for entry in [*pod.config["mounts"], *member.config["mounts"]]:
        entry["options"] = [word for word in entry["options"] if not word.startswith("gid=")]
    member.shell("cat /proc/self/oom_score_adj").process["oomScoreAdj"] = 500
    with runtime.running(pod.shell("exec sleep 1000")) as container, spied_from(container.pid) as told:
        for kind in ("user", "pid"):
            member.namespace(kind, f"/proc/{container.pid}/ns/{kind}")
        for _ in range(20):
            result = runtime.run(member)
            assert result.returncode == 0, result.stderr
            assert result.stdout == "500\n"
        assert not re.search(r"/python3|/pyrunc ", told())
