"""The kinds of containers that are made while something fails."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import consoles, fakecriu, ordinaryuser
from tests.bundle import Bundle
from tests.faults import ownsystemd
from tests.faults.calls import FAKE_CRIU
from tests.faults.orphans import Watched
from tests.kernelcalls import CLONE_NEWNET, setns, unshare
from tests.privatehost import CGROUP_PARENT
from tests.runtime import Runtime, caller_environment
from tests.waiting import eventually

# What a container is, as its own program sees it; its last line says that it has come so far.
LOOK = """
exec 2>&1
cat /proc/$$/status /proc/$$/mountinfo /proc/$$/limits /proc/$$/cgroup /proc/$$/oom_score_adj /proc/$$/uid_map
ls /sys/class/net; cat /sys/class/net/*/flags; ip -o address show | grep -o '192[.0-9/]*'
hostname; pwd; umask; env | sort; ls /proc/$$/fd
find /dev -type c -o -type d -o -type l | sort | xargs stat -c '%n %a %u %g %t %T %F'
echo complete
"""
SCRIPTS = {"stays": f"{LOOK}\nexec sleep 1000", "ends": LOOK}


class Kind:
    """A kind of container: `bundles` has one for a program that stays and one for a program that ends.

    options: of create. as_user: words before the runtime, for another caller than root. images: the directory for those
    of a checkpoint. prepare: called before each create. kept: what of the host's the container has kept.
    """

    def __init__(self, runtime: Runtime, bundles: "dict[str, Bundle]") -> None:
        """Take what was made."""
        self.runtime, self.bundles = runtime, bundles
        self.options: list[str] = []
        self.as_user: tuple[str, ...] = ()
        self.output = Path()  # where the terminal's output goes, as that of other containers
        self.images = Path()
        self.prepare: Callable[[], None] = lambda: None
        self.kept: Callable[[], list[str]] = list


DEVICE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}


def _plain(bundle: Bundle, area: Path) -> None:
    """As podman would make it, without mounts of its own."""


def _rich(bundle: Bundle, area: Path) -> None:
    for name in ("one", "two"):
        (area / name).mkdir(exist_ok=True)
    bundle.user_namespace(host_id=0)
    bundle.mount("/mnt/a", area / "one", "rbind").mount("/mnt/b", area / "two", "bind", "ro")
    bundle.mount("/tmp", "tmpfs", "tmpcopyup", "size=1m", fstype="tmpfs")
    for place in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
        bundle.hook(place, "true")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}
    bundle.linux["devices"] = [DEVICE]
    rule = {"names": ["kexec_load", "swapon"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def _joined_pid(bundle: Bundle, area: Path) -> None:
    bundle.namespace("pid", f"/proc/{_other('--pid', '--fork', '--kill-child')}/ns/pid")


def _joined_network(bundle: Bundle, area: Path) -> None:
    bundle.user_namespace(host_id=0).namespace("network", f"/proc/{_other('--net')}/ns/net")


def _joined_user(bundle: Bundle, area: Path) -> None:
    other = _other("--user", "--net")
    for name in ("uid_map", "gid_map"):
        if not Path(f"/proc/{other}/{name}").read_text():
            Path(f"/proc/{other}/{name}").write_text("0 0 65536")
    bundle.namespace("user", f"/proc/{other}/ns/user").namespace("network", f"/proc/{other}/ns/net")
    bundle.linux["devices"] = [DEVICE]


def _pod(bundle: Bundle, area: Path) -> None:
    """As an engine makes those of a pod beside the first."""
    other = _other("--net", "--ipc", "--uts")
    for kind, name in (("network", "net"), ("ipc", "ipc"), ("uts", "uts")):
        bundle.namespace(kind, f"/proc/{other}/ns/{name}")
    bundle.config.pop("hostname", None)


def _interface(bundle: Bundle, area: Path) -> None:
    bundle.linux["netDevices"] = {INTERFACE: {"name": "moved"}}


def _systemd(bundle: Bundle, area: Path) -> None:
    bundle.linux["cgroupsPath"] = f"{ownsystemd.SLICE}:faults:{area.name}"


def _bare(bundle: Bundle, area: Path) -> None:
    bundle.share("mount", "pid", "cgroup").drop_mounts("/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]


def _terminal(bundle: Bundle, area: Path) -> None:
    bundle.process["terminal"] = True


KINDS: "dict[str, Callable[[Bundle, Path], None]]" = {
    "plain": _plain,
    "rich": _rich,
    "joined-pid": _joined_pid,
    "joined-network": _joined_network,
    "joined-user": _joined_user,
    "pod": _pod,
    "bare": _bare,
    "interface": _interface,
    "terminal": _terminal,
    "systemd": _systemd,
    "rootless": _plain,
    "checkpointed": _plain,
}
OF_CRIU = ("checkpoint", "restore")
# An ordinary user's have no cgroup here, and these cannot be done without.
_NOT_AS_USER = ("pause", "resume", "update")
INTERFACE, ADDRESS = "faults0", "192.0.2.1/24"
_others: "dict[tuple[str, ...], subprocess.Popen[bytes]]" = {}


def commands(kind: str, of: "list[str]") -> "list[str]":
    """Those of these commands that make sense with a kind."""
    if kind == "checkpointed":
        return [command for command in of if command in OF_CRIU]
    without = (*OF_CRIU, *(_NOT_AS_USER if kind == "rootless" else ()))
    return [command for command in of if command not in without]


def impossible(kind: str) -> str:
    """Why this kind cannot be made here, "" if it can."""
    if kind == "rootless":
        return ordinaryuser.impossible()
    if kind == "systemd":
        return ownsystemd.impossible()
    if kind == "interface" and not shutil.which("ip"):
        return "needs ip (Debian: iproute2)"
    return ""


def _other(*flags: str) -> int:
    """The pid of a process in new namespaces (options of unshare), which lives until we end."""
    if flags not in _others:
        # The init of a pid namespace reaps the orphans of a container that was killed: a shell that waits does.
        program = "echo; sleep 100000; :" if "--fork" in flags else "echo; exec sleep 100000"
        _others[flags] = subprocess.Popen(["unshare", *flags, "sh", "-c", program], stdout=-1)
        stdout = _others[flags].stdout
        assert stdout is not None
        stdout.readline()
    pid = _others[flags].pid
    if "--fork" not in flags:
        return pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _show_terminals(kind: "Kind", listener: socket.socket) -> None:
    """Take each terminal that comes, and write what it shows to the output of the moment."""
    while True:
        try:
            terminal, _ = consoles.receive_ptmx(listener)
        except (AssertionError, ConnectionError):
            continue  # who connected was struck
        except OSError:  # the listener is closed
            return
        output = kind.output
        try:
            while text := os.read(terminal, 4096):
                with output.open("ab") as file:
                    file.write(text.replace(b"\r\n", b"\n"))
        except OSError:  # its other side is closed
            os.close(terminal)


def end_others() -> None:
    """End the processes whose namespaces were joined."""
    while _others:
        _, process = _others.popitem()
        assert process.stdout is not None
        process.stdout.close()
        process.kill()
        process.wait()


@contextlib.contextmanager
def made(name: str, area: Path, template: Path) -> "Iterator[Kind]":
    """A kind of containers, with its bundles in `area`, which is removed at the end."""
    area.mkdir(mode=0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, area)
        bundles = {}
        for when, script in SCRIPTS.items():
            bundles[when] = Bundle(area / when, template).shell(script)
            bundles[when].linux["cgroupsPath"] = f"{CGROUP_PARENT}/{name}"  # of each the same, as it sees it itself
            KINDS[name](bundles[when], area)
        kind = Kind(Watched(area / "state"), bundles)
        if name in _SURROUNDINGS:
            _SURROUNDINGS[name](kind, area, stack)
        kind.runtime.prefix = kind.as_user
        yield kind


def _as_user(kind: Kind, area: Path, stack: contextlib.ExitStack) -> None:
    user = ordinaryuser.make(area)
    stack.enter_context(user.known())
    for bundle in kind.bundles.values():
        del bundle.linux["cgroupsPath"]
        user.own(bundle).drop_mounts("/sys/fs/cgroup")
    kind.runtime.root = user.home / "state"
    kind.as_user = ("setpriv", f"--reuid={user.id}", f"--regid={user.id}", "--clear-groups")
    kind.runtime.options = {"env": user.caller()["env"]}


def _with_terminal(kind: Kind, area: Path, stack: contextlib.ExitStack) -> None:
    listener = stack.enter_context(consoles.console_socket(area / "console"))
    listener.settimeout(None)
    threading.Thread(target=_show_terminals, args=(kind, listener), daemon=True).start()
    kind.options = ["--console-socket", str(area / "console")]


def _with_systemd(kind: Kind, area: Path, stack: contextlib.ExitStack) -> None:
    stack.enter_context(ownsystemd.running(area))
    kind.runtime.flags.append("--systemd-cgroup")


def _with_criu(kind: Kind, area: Path, stack: contextlib.ExitStack) -> None:
    place = Path(FAKE_CRIU).parent
    stack.callback(shutil.rmtree, place)
    kind.runtime.options = {"env": caller_environment(**fakecriu.install(place))}
    (place / "restores").touch()
    kind.images = area / "images"


def _with_interface(kind: Kind, area: Path, stack: contextlib.ExitStack) -> None:
    """In a network namespace of our own, a cable one end of which moves into the container."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    stack.callback(os.close, before)
    unshare(CLONE_NEWNET)
    stack.callback(setns, before, CLONE_NEWNET)

    def ip(*words: str) -> str:
        return subprocess.run(["ip", *words], check=False, capture_output=True, text=True).stdout

    def there() -> bool:
        return ADDRESS in ip("-oneline", "address", "show")

    def prepare() -> None:
        if not there():  # it went with a container
            # The kernel removes the other end some time after the namespace.
            eventually(lambda: "other" not in ip("-oneline", "link", "show"), "the end of the last cable")
            ip("link", "add", INTERFACE, "type", "veth", "peer", "name", "other")
            ip("address", "add", ADDRESS, "dev", INTERFACE)
            ip("link", "set", INTERFACE, "up")

    kind.prepare = prepare
    kind.kept = lambda: [] if there() else [f"interface: {INTERFACE} is not back"]


_SURROUNDINGS: "dict[str, Callable[[Kind, Path, contextlib.ExitStack], None]]" = {
    "rootless": _as_user,
    "terminal": _with_terminal,
    "systemd": _with_systemd,
    "checkpointed": _with_criu,
    "interface": _with_interface,
}
