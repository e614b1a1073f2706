"""A program that cannot be executed: the one line of the error says what is wrong with it, wherever it is found out."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import Runtime, error_text
from tests.unit.test_explain_program import GLIBC, MUSL, elf

pytestmark = only_pyrunc("repeats the kernel's words")


def place(path: Path, content: bytes | str, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)


FOREIGN = 183 if os.uname().machine == "x86_64" else 62
NATIVE = 62 if os.uname().machine == "x86_64" else 183

# what is made in the image (or nothing), the program, what the error says besides
CASES: "dict[str, tuple[Callable[[Path], object], str, str]]" = {
    "missing": (lambda _: None, "/opt/tool/run", "there is no `/opt` in the container"),
    "not in PATH": (lambda _: None, "nonsense", "PATH is `"),
    "directory": (lambda root: (root / "d").mkdir(), "/d", "it is a directory"),
    "no interpreter": (
        lambda root: place(root / "run", "#!/bin/bash\n"), "/run", "for `/bin/bash`, but there is no `/bin/bash`",
    ),
    "Windows": (lambda root: place(root / "run", "#!/bin/sh\r\n"), "/run", r"would be `/bin/sh\r`"),
    "no #!": (lambda root: place(root / "run", "echo hello\n"), "/run", "a script without a `#!` line"),
    "empty": (lambda root: place(root / "run", ""), "/run", "the file is empty"),
    "other machine": (lambda root: place(root / "run", elf(FOREIGN)), "/run", "and this machine is"),
    "no glibc": (lambda root: place(root / "run", runnable(GLIBC)), "/run", f"it needs the loader `{GLIBC}` of glibc"),
    "no musl": (lambda root: place(root / "run", runnable(MUSL)), "/run", f"it needs the loader `{MUSL}` of musl"),
    "mode": (lambda root: place(root / "run", "#!/bin/sh\n", 0o644), "/run", "it is not executable (mode 0644)"),
    "dangling": (lambda root: (root / "run").symlink_to("/x/y"), "/run", "a symlink to `/x/y`, which does not exist"),
    "interpreter's mode": (
        lambda root: (place(root / "run", "#!/i\n"), place(root / "i", "x", 0o600)), "/run",
        "a script for `/i`: it is not executable (mode 0600)",
    ),
    "file on the way": (lambda root: place(root / "etc/x", ""), "/etc/x/run", "`/etc/x` is not a directory"),
}  # fmt: skip


def runnable(loader: str) -> bytes:
    """A program as far as the kernel looks before it looks for the loader: it needs a segment to load."""
    return elf(NATIVE, loader)


def message_of(runtime: Runtime, bundle: Bundle, program: str, how: str = "run") -> str:
    """What `run` says of a bundle with this program, or `exec` of the program in a running container."""
    if how == "exec":
        with runtime.running(bundle.shell("exec sleep 1000")) as container:
            return error_text(runtime.call("exec", container.id, program))
    bundle.process["args"] = [program]
    return error_text(runtime.run(bundle))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["run", "exec"])
def test_each(runtime: Runtime, bundle: Bundle, name: str, how: str) -> None:
    """exec: among the mounts of the running container."""
    make, program, text = CASES[name]
    make(bundle.rootfs)
    message = message_of(runtime, bundle, program, how)
    assert text in message
    assert program in message


@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_script_that_is_a_volume(runtime: Runtime, bundle: Bundle, area: Path, how: str) -> None:
    script = area / "script.sh"
    place(script, "#!/bin/nothing\n")
    bundle.mount("/script.sh", script, "bind")
    message = message_of(runtime, bundle, "/script.sh", how)
    assert "a script for `/bin/nothing`, but there is no `/bin/nothing`" in message


@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_volume_without_exec(runtime: Runtime, bundle: Bundle, area: Path, how: str) -> None:
    (area / "volume").mkdir()
    place(area / "volume/run", "#!/bin/sh\n")
    bundle.mount("/volume", area / "volume", "bind", "noexec")
    assert "option `noexec`" in message_of(runtime, bundle, "/volume/run", how)


@pytest.mark.parametrize("owner", [0, 100000])
def test_a_user_who_may_not(runtime: Runtime, bundle: Bundle, owner: int) -> None:
    if owner:
        bundle.user_namespace(owner)
    place(bundle.rootfs / "run", "#!/bin/sh\n", 0o700)
    os.chown(bundle.rootfs / "run", owner, owner)
    bundle.process["user"] = {"uid": 7, "gid": 7}
    message = message_of(runtime, bundle, "/run")
    assert f"user 7 of the container may not execute it (mode 0700, owned by {owner}:{owner} of the host)" in message


def test_a_file_that_is_being_written(runtime: Runtime, bundle: Bundle) -> None:
    program = bundle.rootfs / "run"
    subprocess.run(["cp", bundle.rootfs / "bin/busybox", program], check=True)
    with runtime.running(bundle.shell("exec sleep 1000")) as container, program.open("ab"):
        message = error_text(runtime.call("exec", container.id, "/run"))
    assert "it is open for writing" in message
