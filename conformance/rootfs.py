"""A root filesystem made from the machine's static busybox, so that nothing is downloaded."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "run", "var")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\n",
}
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
CANDIDATES = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static")


def go_architecture() -> str:
    """Go's name of this machine's architecture, which runtime-tools and seccomp profiles use."""
    return GO_ARCHITECTURES.get(platform.machine(), platform.machine())


def is_static(program: Path) -> bool:
    """A dynamically linked ELF file names its interpreter (elf(5), PT_INTERP) in the first page."""
    with program.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"\x7fELF") and b"/ld-linux" not in head and b"/ld-musl" not in head


def apt_install(package: str, for_what: str) -> None:
    """Installs one Debian package when root, else ends with the command that the person has to type."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"{for_what} is missing: sudo {' '.join(command)}")
    if subprocess.run(command, check=False).returncode == 0:
        return
    # A fresh machine has no package lists yet.
    subprocess.run(["apt-get", "update"], check=True)
    subprocess.run(command, check=True)


def static_busybox() -> Path:
    """The static busybox of this machine; installs Debian's busybox-static where there is none."""
    for attempt in ("look", "install"):
        if attempt == "install":
            apt_install("busybox-static", "a static busybox")
        for candidate in map(Path, CANDIDATES):
            if candidate.exists() and is_static(candidate):
                return candidate
    sys.exit(f"busybox-static is installed, but none of {', '.join(CANDIDATES)} is a static program")


def make_rootfs(folder: Path) -> None:
    """Fills folder (made if missing) with busybox, a link for each of its applets, users and mount points."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    busybox = static_busybox()
    shutil.copy(busybox, folder / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        link = folder / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
