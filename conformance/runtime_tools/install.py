"""Installs the validation programs through the Go module proxy and makes the root filesystem that they unpack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from conformance.rootfs import apt_install, go_architecture, make_rootfs

MODULE = "github.com/opencontainers/runtime-tools"
# The last commit that Go 1.19 (Debian 12's) compiles.  Later ones, up to November 2025, differ in the programs' style
# and in the version of the spec that they write into config.json (1.3.0), not in what the programs check.
VERSION = "v0.9.1-0.20241108202711-f7e3563b0271"
PACKAGES = (f"{MODULE}/validation/...@{VERSION}", f"{MODULE}/cmd/runtimetest@{VERSION}")
# The init of most containers that the programs make; it checks the container from inside.
INIT = "runtimetest"


def rootfs_archive() -> str:
    """The name under which the programs look for the root filesystem."""
    return f"rootfs-{go_architecture()}.tar.gz"


def install(folder: Path) -> list[str]:
    """Puts programs, runtimetest and the root filesystem into folder; returns the programs' names, sorted.

    A stamp with the module's version and what is in the root makes later calls cheap. misc_props leaves the default
    program, /runtimetest, in its config, but does not put it into the root: so it is in the root that all programs get.
    """
    stamp, wanted = folder / "installed-version", f"{VERSION} with {INIT} in the root"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        go_install(folder)
        with tempfile.TemporaryDirectory() as rootfs:
            make_rootfs(Path(rootfs))
            shutil.copy(folder / INIT, rootfs)
            with tarfile.open(folder / rootfs_archive(), "w:gz") as archive:
                archive.add(rootfs, arcname=".", filter=owned_by_root)
        stamp.write_text(wanted)
    programs = (path.name for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
    return sorted(set(programs) - {INIT})


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    if entry.name == ".":
        entry.mode = 0o755  # the temporary folder's is 0700; a container's user must be able to enter its root
    return entry


def go_install(folder: Path) -> None:
    """Static programs (runtimetest runs in a root without libraries), whatever flags the caller's Go has set."""
    if not shutil.which("go"):
        apt_install("golang-go", "the Go compiler")
    environment = os.environ | {"GOBIN": str(folder.resolve()), "GOFLAGS": "", "CGO_ENABLED": "0"}
    command = ["go", "install", "-trimpath", "-ldflags=-s -w", *PACKAGES]
    print(f"installing {MODULE} {VERSION} through the Go module proxy", file=sys.stderr)
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        sys.exit(f"failed: {' '.join(command)}")
