"""What options of checkpoint and restore do, each with a container that criu refuses without it, or that it changes.

Those for memory are in test_checkpoint_memory.py.
"""

import contextlib
import fcntl
import os
import pty
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyrunc.kernel.process import lsm
from pyrunc.wings.criu import rpc

from tests import consoles
from tests.bundle import Bundle
from tests.checkpoints import COUNT, checkpoint, counts_on, restore, succeeded
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Container, Runtime, error_text, runtime_name
from tests.waiting import DEADLINE, eventually

pytestmark = [pytest.mark.usefixtures("criu"), differs(crun="Debian's crun 1.8.1 is built without CRIU")]
Pipe = tuple[int, int]
STAY = "while :; do sleep 0.1; done"  # not one sleep: CRIU 4.1 lets a system call fail that was interrupted


def again(container: Container, images: Path, pipe: Pipe, before: list[str], after: list[str]) -> None:
    """Checkpoint and restore."""
    succeeded(checkpoint(container, images, *before), container)
    restored = restore(container, images, "--detach", *after, stdout=pipe[1], stderr=pipe[1])
    assert restored.returncode == 0, os.read(pipe[0], 4096)


def refused(container: Container, images: Path, option: str) -> None:
    """Without the option criu refuses, and names it: in our message, with runc in the log that it names."""
    message = error_text(checkpoint(container, images, "--leave-running"), "dump.log")
    assert option in (message if runtime_name() == "pyrunc" else (images / "dump.log").read_text())
    assert container.status == "running"


def shell(container: Container, script: str) -> str:
    result = container.runtime.call("exec", container.id, "sh", "-c", script)
    return result.stdout + result.stderr


@differs(runc="1.1.5 has no --link-remap")
def test_link_remap(runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe) -> None:
    """An open file whose name is gone, though it has another one."""
    bundle.shell("exec 3>/tmp/one; ln /tmp/one /tmp/two; rm /tmp/one; while :; do echo more >&3; sleep 0.05; done")
    written = bundle.rootfs / "tmp/two"
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: written.exists() and written.stat().st_size, "output")
        refused(container, images, "link-remap")
        again(container, images, pipe, ["--link-remap"], [])
        size = written.stat().st_size
        eventually(lambda: written.stat().st_size > size, "output after the restore")
        assert not list((bundle.rootfs / "tmp").glob("link_remap*"))


def test_file_locks(runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe) -> None:
    for name in ("lib", "lib64"):
        (bundle.rootfs / name).symlink_to(f"usr/{name}")
    bundle.mount("/usr", "/usr", "bind", "ro")  # busybox has no flock
    bundle.shell(f"exec flock /tmp/lock sh -c '{COUNT}'")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        assert counts_on(bundle)
        refused(container, images, "file-locks")
        again(container, images, pipe, ["--file-locks"], ["--file-locks"])
        assert counts_on(bundle)
        with open(bundle.rootfs / "tmp/lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sockets(container: Container) -> str:
    """The TCP sockets of the container's network namespace (proc(5))."""
    return "".join(Path(f"/proc/{container.pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))


def connections(container: Container) -> int:
    """How many ends of established connections are among them."""
    return sockets(container).count(" 01 ")


@pytest.fixture
def connected(runtime: Runtime, bundle: Bundle, pipe: Pipe):
    """A container that is connected with itself."""
    bundle.shell(f"nc -l -p 99 -e cat & sleep 0.2; {STAY} | nc 127.0.0.1 99 & {COUNT}")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: connections(container) == 2, "a connection")
        yield container


@differs(runc="1.1.5 has no --tcp-close")
def test_tcp_close(connected: Container, images: Path, pipe: Pipe) -> None:
    """The connections are there at the checkpoint, and gone at the restore."""
    again(connected, images, pipe, ["--tcp-established"], ["--tcp-close"])
    assert counts_on(connected.bundle)
    assert connections(connected) == 0


@differs(runc="it has no --network-lock")
@pytest.mark.parametrize(("method", "number"), [("iptables", 0), ("nftables", 1), ("skip", 2)])
def test_network_lock(connected: Container, images: Path, pipe: Pipe, method: str, number: int) -> None:
    """The image says how the network was locked (images/inventory.proto: network_lock_method)."""
    options = ["--tcp-established", "--network-lock", method]
    again(connected, images, pipe, options, options)
    assert connections(connected) == 2
    image = (images / "inventory.img").read_bytes()
    size = int.from_bytes(image[8:12], "little")  # after two magic numbers
    assert rpc.decode(image[12 : 12 + size])[11] == number


@differs(runc="1.1.5 has no --tcp-skip-in-flight")
def test_tcp_skip_in_flight(runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe) -> None:
    """A connection that waits to be accepted; its server is stopped."""
    bundle.shell(f"nc -l -p 99 & echo $! > /tmp/server; {COUNT}")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: ":0063 " in sockets(container), "a server")
        shell(container, "kill -STOP $(cat /tmp/server)")
        client = ["nsenter", f"--net=/proc/{container.pid}/ns/net", "busybox", "nc", "127.0.0.1", "99"]
        with subprocess.Popen(client, stdin=subprocess.PIPE) as waiting:
            try:
                eventually(lambda: connections(container) == 2, "a connection")
                refused(container, images, "in-flight")
                again(container, images, pipe, ["--tcp-skip-in-flight"], [])
            finally:
                waiting.kill()
        assert counts_on(bundle)
        assert connections(container) == 0
        shell(container, "kill -CONT $(cat /tmp/server); echo hello | nc 127.0.0.1 99")


def test_empty_network_namespace(counting: Container, images: Path, pipe: Pipe) -> None:
    """What was in it is left to others: here to a hook, as an engine's network plug-in."""
    assert "127.0.0.1" in shell(counting, "ip -o addr show")
    options = ["--empty-ns", "network"]
    again(counting, images, pipe, options, options)
    assert counts_on(counting.bundle)
    assert "127.0.0.1" not in shell(counting, "ip -o addr show")


def has_cgroup_v1() -> bool:
    """Whether a controller is with cgroup v1, or a hierarchy of it has a name (cgroups(7))."""
    return any(not line.startswith("0::") for line in Path("/proc/self/cgroup").read_text().splitlines())


@pytest.mark.parametrize(("mode", "below"), [("soft", True), ("full", True), ("strict", True), ("ignore", False)])
def test_manage_cgroups(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe, mode: str, below: bool
) -> None:
    """A cgroup that the container has made is made again, with its properties and its process, or is not."""
    if mode == "ignore" and runtime_name() == "runc":
        pytest.skip("runc 1.1.5 has no such mode")
    if mode in {"full", "strict"} and has_cgroup_v1():
        pytest.skip("criu would write properties of the host's cgroups of version 1, too")
    bundle.config["mounts"][-1]["options"].remove("ro")
    there = "/sys/fs/cgroup/sub"
    bundle.shell(f"mkdir {there}; sh -c 'echo $$ > {there}/cgroup.procs; {STAY}' & {COUNT}")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        cgroup = CGROUP_ROOT / bundle.linux["cgroupsPath"].strip("/") / "sub"
        eventually(lambda: (cgroup / "cgroup.procs").exists() and processes(cgroup), "a process")
        (cgroup / "cgroup.max.depth").write_text("7")
        options = ["--manage-cgroups-mode", mode]
        again(container, images, pipe, options, options)
        assert counts_on(bundle)
        assert cgroup.exists() == below
        if below:
            assert processes(cgroup)
            assert (cgroup / "cgroup.max.depth").read_text() == "7\n"


def processes(cgroup: Path) -> str:
    return (cgroup / "cgroup.procs").read_text()


@only_pyrunc("1.1.5 restores as with soft")
def test_strict_management_refuses_a_cgroup_that_exists(counting: Container, images: Path) -> None:
    cgroup = CGROUP_ROOT / counting.bundle.linux["cgroupsPath"].strip("/")
    succeeded(checkpoint(counting, images), counting)
    cgroup.mkdir()
    error_text(restore(counting, images, "--manage-cgroups-mode", "strict"), f"{cgroup.name}` already exists", "strict")
    cgroup.rmdir()
    error_text(counting.runtime.state(counting.id), "does not exist")


def test_unix_socket_of_the_host(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe, area: Path
) -> None:
    """A datagram socket that is connected to a server outside, as that of a logger; it is connected anew by name."""
    path = area / "outside/log"
    path.parent.mkdir()
    bundle.mount(str(path.parent), path.parent, "bind")
    bundle.share("network")  # criu looks for the socket in the namespaces that it dumps
    bundle.shell("while :; do echo more; sleep 0.05; done")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(DEADLINE)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        client.connect(str(path))
        with runtime.running(bundle, stdout=client, stderr=pipe[1]) as container:
            client.close()
            assert server.recv(100) == b"more\n"
            refused(container, images, "ext-unix-sk")
            again(container, images, pipe, ["--ext-unix-sk"], ["--ext-unix-sk"])
            server.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while server.recv(100):
                    continue
            server.settimeout(DEADLINE)
            assert server.recv(100) == b"more\n"


@pytest.mark.parametrize("options", [[], ["--shell-job"]])
@differs(runc="1.1.5 ends with `bad file descriptor`")
def test_terminal_of_a_shell(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: Pipe, options: list[str]
) -> None:
    """A container on a terminal of the host goes on on another one. criu's option does no harm, and is not needed: the
    terminal is named as external."""
    bundle.shell("while read word; do echo got-$word; done")
    with (
        terminal() as (ours, theirs),
        terminal() as (other, others),
        runtime.running(bundle, stdin=theirs, stdout=theirs, stderr=pipe[1]) as container,
    ):
        os.write(ours, b"one\n")
        consoles.read_until(ours, b"got-one")
        succeeded(checkpoint(container, images, *options), container)
        streams = {"stdin": others, "stdout": others, "stderr": pipe[1]}
        restored = restore(container, images, "--detach", *options, **streams)
        assert restored.returncode == 0, os.read(pipe[0], 4096)
        os.write(other, b"two\n")
        consoles.read_until(other, b"got-two")


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a new one."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


@only_pyrunc("the words are in the log alone")
@pytest.mark.parametrize(("label", "enabled"), [
    ("apparmor:container-default", lsm.apparmor_enabled),
    ("selinux:container_t", lsm.selinux_enabled),
])  # fmt: skip
def test_label_of_a_security_module_that_the_kernel_lacks(
    counting: Container, images: Path, label: str, enabled: Callable[[], bool]
) -> None:
    name = label.partition(":")[0]
    if enabled():
        pytest.skip(f"about hosts without {name}")
    succeeded(checkpoint(counting, images), counting)
    error_text(restore(counting, images, "--lsm-profile", label), f"{name} not supported by kernel")
    error_text(counting.runtime.state(counting.id), "does not exist")
