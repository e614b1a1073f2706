"""A runtime that lies where only root may read: the root of a container's user namespace is nobody there."""

import os
import shutil
from pathlib import Path

from tests.bundle import Bundle
from tests.consoles import console_socket, read_until, receive_ptmx
from tests.peers import only_pyrunc
from tests.runtime import CHECKOUT, DEFAULT_RUNTIME, Runtime


def installed(folder: Path) -> Path:
    """A copy of the checkout's package and program below a directory of mode 0700."""
    folder.mkdir(mode=0o700)
    package = folder / "runtime/pyrunc"
    shutil.copytree(CHECKOUT / "runtime/pyrunc", package, ignore=shutil.ignore_patterns("__pycache__"))
    program = folder / "pyrunc"
    program.write_text(DEFAULT_RUNTIME.read_text().replace(str(CHECKOUT / "runtime"), str(folder / "runtime")))
    program.chmod(0o755)
    return program


@only_pyrunc("is one file, which is open from the start")
def test_all_that_init_needs_is_loaded_before_the_user_namespace(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    runtime.path = installed(area / "private")
    (bundle.rootfs / "var/file").touch()
    bundle.user_namespace().mount("/var", "tmpfs", "tmpcopyup", fstype="tmpfs").hook("createContainer", "true")
    bundle.hook("startContainer", "echo hook > /var/hook")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    bundle.shell("ls /var; cat /proc/sys/net/ipv4/ip_forward; tty").process["terminal"] = True
    path = area / "console"
    with console_socket(path) as listener, runtime.created(bundle, "--console-socket", path) as container:
        ptmx, _ = receive_ptmx(listener)
        container.start()
        text = read_until(ptmx)
        os.close(ptmx)
    assert text.split() == [b"file", b"hook", b"1", b"/dev/pts/0"]
