"""An ordinary user of the session's private host, with lines of its own in /etc/passwd, /etc/subuid and /etc/subgid.

The files are copies, bound over the host's in the tests' mount namespace: newuidmap reads them like any process there.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, mount, umount
from tests.runtime import executable

_FILES = ("passwd", "group", "subuid", "subgid")
DELEGATED = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")  # with a cgroup's directory
GRANTED = (100000, 65536)  # first and count of the subordinate ids


class OrdinaryUser:
    """A user: id is its uid and gid; home and runtime_dir (XDG_RUNTIME_DIR) are its own."""

    def __init__(self, user_id: int, name: str, directory: Path) -> None:
        """Make the directories and the files that a line for the user goes to; nothing is bound yet."""
        self.id, self.name, self._etc = user_id, name, directory / "etc"
        self._etc.mkdir(parents=True)
        self.home, self.runtime_dir = directory / "home", directory / "runtime"
        for own in (self.home, self.runtime_dir):
            own.mkdir(mode=0o700)
            os.chown(own, user_id, user_id)
        for file in _FILES:
            shutil.copy(f"/etc/{file}", self._etc / file)
        with (self._etc / "passwd").open("a") as passwd:
            passwd.write(f"{name}:x:{user_id}:{user_id}::{self.home}:/bin/sh\n")
        with (self._etc / "group").open("a") as group:
            group.write(f"{name}:x:{user_id}:\n")

    def grant(self, *lines: str) -> None:
        """Let these be the lines of /etc/subuid and /etc/subgid."""
        for file in ("subuid", "subgid"):
            (self._etc / file).write_text("".join(f"{line}\n" for line in lines))

    def own(self, bundle: Bundle) -> Bundle:
        """Give the bundle to the user, with no place for its cgroup that only root can make."""
        bundle.names_cgroup = False
        for directory, _, names in os.walk(bundle.path):
            for name in ("", *names):
                os.lchown(os.path.join(directory, name), self.id, self.id)
        return bundle

    def caller(self, **environment: str) -> dict[str, Any]:
        """Options for Popen to call a command as this user."""
        variables = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self.runtime_dir), "HOME": str(self.home)}
        return {"user": self.id, "group": self.id, "extra_groups": [], "env": variables | environment}

    @contextlib.contextmanager
    def known(self) -> Iterator["OrdinaryUser"]:
        """Bind the files over those of /etc."""
        for file in _FILES:
            mount(str(self._etc / file), f"/etc/{file}", "", MS_BIND)
        try:
            yield self
        finally:
            for file in _FILES:
                umount(f"/etc/{file}")


def make(area: Path, user_id: int = 4321, name: str = "ordinary") -> OrdinaryUser:
    """A user with GRANTED subordinate ids."""
    user = OrdinaryUser(user_id, name, area / name)
    user.grant(f"{name}:{GRANTED[0]}:{GRANTED[1]}")
    return user


def impossible() -> str:
    """Why there can be none here that could call the runtime, "" if there can."""
    for program in ("newuidmap", "newgidmap"):
        if shutil.which(program) is None:
            return f"needs {program} (Debian: uidmap)"
    for file in _FILES:
        if not Path(f"/etc/{file}").exists():
            return f"needs /etc/{file}"
    return unreachable(executable())


def unreachable(path: Path) -> str:
    """Why an ordinary user cannot use the program or folder, "" if he can."""
    walk = subprocess.run(["test", "-x", path], check=False, cwd="/", user=4321)
    return f"other users than root cannot walk to {path}" if walk.returncode else ""


@contextlib.contextmanager
def replaced(program: str, directory: Path) -> Iterator[None]:
    """Let the program be a file that nobody can execute."""
    path = shutil.which(program)
    assert path is not None
    empty = directory / program
    empty.touch(0o644)
    mount(str(empty), path, "", MS_BIND)
    try:
        yield
    finally:
        umount(path)
        empty.unlink()
