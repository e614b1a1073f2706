"""The kinds of containers that are made while something fails."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import consoles, ordinaryuser
from tests.bundle import Bundle
from tests.faults.orphans import Watched
from tests.runtime import Runtime

# What a container is, as its own program sees it; its last line says that it has come so far.
LOOK = """
exec 2>&1
cat /proc/$$/status /proc/$$/mountinfo /proc/$$/limits /proc/$$/cgroup /proc/$$/oom_score_adj /proc/$$/uid_map
cat /sys/class/net/lo/flags
hostname; pwd; umask; env | sort; ls /proc/$$/fd
find /dev -type c -o -type d -o -type l | sort | xargs stat -c '%n %a %u %g %t %T %F'
echo complete
"""
SCRIPTS = {"stays": f"{LOOK}\nexec sleep 1000", "ends": LOOK}


class Kind:
    """A kind of container: `bundles` has one for a program that stays and one for a program that ends.

    options: of create and run. as_user: words before the runtime, for another caller than root.
    """

    def __init__(self, runtime: Runtime, bundles: "dict[str, Bundle]") -> None:
        """Take what was made."""
        self.runtime, self.bundles = runtime, bundles
        self.options: list[str] = []
        self.as_user: tuple[str, ...] = ()
        self.output = Path()  # where the terminal's output goes, as that of other containers


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
    bundle.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]
    rule = {"names": ["kexec_load", "swapon"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def _joined(kind: str) -> "Callable[[Bundle, Path], None]":
    def join(bundle: Bundle, area: Path) -> None:
        if kind == "network":
            bundle.user_namespace(host_id=0)
        bundle.namespace(kind, f"/proc/{_other(kind)}/ns/{'net' if kind == 'network' else kind}")

    return join


def _bare(bundle: Bundle, area: Path) -> None:
    bundle.share("mount", "pid", "cgroup").drop_mounts("/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup")
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]


def _terminal(bundle: Bundle, area: Path) -> None:
    bundle.process["terminal"] = True


KINDS: "dict[str, Callable[[Bundle, Path], None]]" = {
    "plain": _plain,
    "rich": _rich,
    "joined-pid": _joined("pid"),
    "joined-network": _joined("network"),
    "bare": _bare,
    "rootless": _plain,
    "terminal": _terminal,
}
# An ordinary user's have no cgroup here, and these cannot be done without.
NOT_WITH = {"rootless": ("pause", "resume", "update")}
_others: "dict[str, subprocess.Popen[bytes]]" = {}


def _other(kind: str) -> int:
    """The pid of a process in a new namespace of this kind, which lives until we end."""
    if kind not in _others:
        flags = ["--pid", "--fork", "--kill-child"] if kind == "pid" else ["--net"]
        _others[kind] = subprocess.Popen(["unshare", *flags, "sh", "-c", "echo; exec sleep 100000"], stdout=-1)
        stdout = _others[kind].stdout
        assert stdout is not None
        stdout.readline()
    pid = _others[kind].pid
    if kind != "pid":
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
    for process in _others.values():
        process.kill()
        process.wait()


@contextlib.contextmanager
def made(name: str, area: Path, template: Path) -> "Iterator[Kind]":
    """A kind of containers, with its bundles in `area`, which is removed at the end."""
    area.mkdir(mode=0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, area)
        user = None
        if name == "rootless":
            user = ordinaryuser.make(area)
            stack.enter_context(user.known())
        bundles = {}
        for when, script in SCRIPTS.items():
            bundles[when] = Bundle(area / when, template).shell(script)
            KINDS[name](bundles[when], area)
            if user:
                user.own(bundles[when]).drop_mounts("/sys/fs/cgroup")
        kind = Kind(Watched(user.home / "state" if user else area / "state"), bundles)
        if user:
            kind.as_user = ("setpriv", f"--reuid={user.id}", f"--regid={user.id}", "--clear-groups")
            kind.runtime.options = {"env": user.caller()["env"]}
            os.chmod(area, 0o711)
        if name == "terminal":
            listener = stack.enter_context(consoles.console_socket(area / "console"))
            listener.settimeout(None)
            threading.Thread(target=_show_terminals, args=(kind, listener), daemon=True).start()
            kind.options = ["--console-socket", str(area / "console")]
        kind.runtime.prefix = kind.as_user
        yield kind
