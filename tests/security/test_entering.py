"""The way into namespaces that others are in: what a hostile process there can do to who comes in."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests import leftovers
from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import COMMAND_DEADLINE, Container, Runtime, error_text, new_id
from tests.tracing import namespaces
from tests.waiting import eventually

KINDS = {"user": "-U", "mount": "-m", "uts": "-u", "ipc": "-i", "network": "-n"}
FILES = {"mount": "mnt", "network": "net"}
NEEDS_STRACE = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


def leaving(bundle: Bundle, kind: str) -> Bundle:
    """A container whose first process makes a namespace for itself, once there is a file /gate."""
    if kind != "user":
        bundle.all_sets("CAP_SYS_ADMIN")
    (bundle.rootfs / "bin/unshare").symlink_to("busybox")
    return bundle.shell(f"until [ -e /gate ]; do usleep 10000; done; exec unshare {KINDS[kind]} sleep 1000")


def identity(container: Container, kind: str) -> str:
    return namespaces(container.pid)[FILES.get(kind, kind)]


@only_pyrunc("follows, or joins the kinds that the config has and no other")
@pytest.mark.parametrize("kind", KINDS)
def test_exec_does_not_follow_the_first_process_into_a_namespace_of_its_own(
    runtime: Runtime, bundle: Bundle, kind: str
) -> None:
    """Its maker has all privilege there: it would trace pyrunc-init before that is filtered and labelled."""
    with runtime.running(leaving(bundle, kind)) as container:
        open_gate(container, kind)
        error_text(runtime.call("exec", container.id, "true"), f"has left the container's {kind} namespace")


def open_gate(container: Container, kind: str) -> None:
    """Let it go on, and wait until it is somewhere else."""
    before = identity(container, kind)
    (container.bundle.rootfs / "gate").touch()
    eventually(lambda: identity(container, kind) != before, "another namespace")


@only_pyrunc("follows, or joins the kinds that the config has and no other")
@NEEDS_STRACE
@pytest.mark.parametrize("kind", ["uts", "user"])
def test_exec_does_not_follow_though_it_has_looked_before(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    """Of a kind in which the container is like the host when it looks, it joins none."""
    with runtime.running(leaving(bundle, kind)) as container:
        own, trace = identity(container, kind), bundle.path / "trace"
        words = ["strace", "-f", "-o", trace, "-e", "trace=setns", "-e", "inject=setns:delay_enter=3000000"]
        words += runtime.argv("exec", container.id, "readlink", f"/proc/self/ns/{kind}")
        process = subprocess.Popen(words, stdin=-3, stdout=-1, stderr=-1, text=True)
        eventually(lambda: trace.exists() and "setns(" in trace.read_text(), "the exec to be about to join")
        open_gate(container, kind)
        output, message = process.communicate(timeout=COMMAND_DEADLINE)
        if kind == "user":
            assert (output, message) == (f"{own}\n", "")
        else:
            result = subprocess.CompletedProcess(words, process.returncode, "", message)
            error_text(result, f"has left the container's {kind} namespace")


# -- what the container does to who comes in ---------------------------------------------------------------------------


@only_pyrunc("waits without end for a process that is stopped")
def test_exec_does_not_wait_for_a_process_that_the_container_has_stopped(runtime: Runtime, bundle: Bundle) -> None:
    """With the same user it may send signals; once the program runs, that is between the two."""
    stop = "for p in [0-9]*; do [ $p = 1 ] || [ $p = $$ ] || kill -STOP $p; done 2>/dev/null"
    with runtime.running(bundle.shell(f"cd /proc; while :; do {stop}; done")) as container:
        endings = set()
        for _ in range(20):
            result = runtime.call("exec", "--detach", container.id, "true")
            if result.returncode:
                error_text(result, "was stopped by signal 19")
            endings.add(result.returncode)
        assert endings <= {0, 255}
        container.kill()
        eventually(lambda: leftovers.reap() or container.status == "stopped", "the end of those that were stopped")


def joining(bundle: Bundle, pod: Container, *kinds: str) -> Bundle:
    for kind in kinds:
        bundle.namespace(kind, f"/proc/{pod.pid}/ns/{FILES.get(kind, kind)}")
    return bundle.drop_mounts("/sys", "/dev/mqueue")


def test_new_user_namespace_beside_a_joined_one(runtime: Runtime, make_bundle: Callable[[], Bundle]) -> None:
    """As in a pod: who makes the first process and that process itself have both something to say, in any order."""
    with runtime.running(make_bundle().shell("exec sleep 1000")) as pod:
        for _ in range(20):
            assert runtime.run(joining(make_bundle().user_namespace(), pod, "network")).returncode == 0


HOOKED = {"path": "/bin/true"}
KILLED: "dict[str, tuple[str, Callable[[Bundle, Container], Bundle]]]" = {
    "middle, about to join": ("setns", lambda bundle, pod: joining(bundle.user_namespace(), pod, "network")),
    "middle with hooks, about to join": ("setns", lambda bundle, pod: joining(hooked(bundle), pod, "pid")),
    "init, about to join": ("setns", lambda bundle, pod: joining(bundle, pod, "pid")),
    "init, about to make namespaces": ("unshare", lambda bundle, pod: joining(bundle, pod, "pid")),
    "init, about to become pyrunc-init": ("execveat", lambda bundle, pod: joining(bundle, pod, "pid")),
    "pyrunc-init, about to split": ("clone", lambda bundle, pod: joining(bundle, pod, "pid")),
}


def hooked(bundle: Bundle) -> Bundle:
    bundle.config["hooks"] = {"createRuntime": [HOOKED]}
    return bundle


def killed(runtime: Runtime, bundle: Bundle, call: str, *arguments: object) -> None:
    """A command one of whose processes is killed: it ends with an error."""
    words = ["strace", "-f", "-o", bundle.path / "trace", "-e", f"trace={call}"]
    words += ["-e", f"inject={call}:signal=KILL", *runtime.argv(*arguments)]
    with open(bundle.path / "messages", "w+") as messages:  # what is killed may have left children with the streams
        done = subprocess.run(words, stdin=-3, stdout=-3, stderr=messages, check=False, timeout=COMMAND_DEADLINE)
        messages.seek(0)
        error_text(subprocess.CompletedProcess(words, done.returncode, "", messages.read()))


@only_pyrunc("has other processes")
@NEEDS_STRACE
@pytest.mark.parametrize("who", KILLED)
def test_create_ends_when_a_process_on_the_way_is_killed(
    runtime: Runtime, make_bundle: Callable[[], Bundle], who: str
) -> None:
    """And delete --force finds nobody holding its lock."""
    call, prepare = KILLED[who]
    with runtime.running(make_bundle().shell("exec sleep 1000")) as pod:
        bundle, container_id = prepare(make_bundle(), pod), new_id()
        bundle.save(container_id)
        killed(runtime, bundle, call, "create", "--bundle", bundle.path, container_id)
        assert runtime.delete(container_id, "--force").returncode == 0


@only_pyrunc("has other processes")
@NEEDS_STRACE
@pytest.mark.parametrize("call", ["setns", "execveat", "setresuid", "clone", "setsid"])
def test_exec_ends_when_a_process_on_the_way_is_killed(runtime: Runtime, bundle: Bundle, call: str) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        killed(runtime, bundle, call, "exec", container.id, "true")


# -- what holds for programs of the image ------------------------------------------------------------------------------


def test_hooks_of_the_image_run_under_the_filter(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("startContainer", "grep Seccomp: /proc/self/status > /seen")
    denied = {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}
    assert runtime.run(bundle).returncode == 0
    assert (bundle.rootfs / "seen").read_text().split() == ["Seccomp:", "2"]


@pytest.mark.parametrize("user", [0, 1000])
def test_limit_of_one_process_leaves_room_for_the_program(runtime: Runtime, bundle: Bundle, user: int) -> None:
    """exec makes its process on the way in by one that is there already."""
    bundle.process["user"] = {"uid": user + 54321, "gid": 0}
    bundle.process["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": 2, "hard": 2}]
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        result = runtime.call("exec", container.id, "grep", "Max processes", "/proc/self/limits")
        assert result.stdout.split()[2:4] == ["2", "2"], result.stderr
