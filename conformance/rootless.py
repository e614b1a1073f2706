"""Runs every bundle of bundles/ as an ordinary user, with and without newuidmap, with and without delegated cgroups.

    python3 -m conformance rootless --runtime build/bin/pyrunc    with a user that is made up
    conformance/vm/vm run -- python3 -B -m conformance rootless --user tester

As root, who alone can take newuidmap away: in a private mount namespace, so that the host keeps it. A user that is made
up has lines in copies of /etc/passwd, /etc/subuid and the like. The module is its own plug-in of pytest (__main__.py).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.checks import Failed, check
from conformance.private_mounts import enter_private_mounts
from tests import ordinaryuser
from tests.kernelcalls import mount
from tests.removal import remove_tree

CHECKOUT = Path(__file__).resolve().parent.parent
BUNDLES = CHECKOUT / "bundles"
DEADLINE = 120  # seconds, against a container that hangs
CGROUPS = Path("/sys/fs/cgroup")
PARENT = CGROUPS / f"pyrunc-rootless-{os.getpid()}"
HELPERS, PLACES = ("newuidmap", "no newuidmap"), ("none", "delegated", "user manager")

# What each bundle prints when all is well. `userns` asks for ids that take newuidmap; the others take what there is.
PRINTS = {
    "hello": "hostname   hello",
    "hooks": '"id":"hooks-',
    "readonly": "/tmp/file: written",
    "shell": "printed 42",
    "userns": "0     100000      65536",
}
LIMITED = "hello with a limit"  # of processes, which it prints; where there is no delegation it is refused
LIMIT = 53


@dataclass
class Case:
    """A bundle with one of HELPERS and one of PLACES."""

    bundle: str
    helper: str
    place: str

    def __str__(self) -> str:
        return f"{self.bundle}, {self.helper}, cgroup: {self.place}"


BUNDLE_NAMES = (*sorted(path.parent.name for path in BUNDLES.glob("*/config.json")), LIMITED)
CASES = [Case(*one) for one in itertools.product(BUNDLE_NAMES, HELPERS, PLACES)]


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    add("--user", default="", metavar="NAME", help="an existing user with subordinate ids from 100000")


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A folder that every user can walk through, in mounts of our own."""
    if os.geteuid() != 0:
        raise Failed("call this as root: it becomes the user itself")
    enter_private_mounts()
    folder = Path(tempfile.mkdtemp(prefix="pyrunc-rootless-"))
    mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
    (folder / "limited").write_text(json.dumps(limited()))
    yield folder
    remove_tree(folder)


def words(case: Case, base: Path) -> list[str]:
    """The command line of the case, behind the program."""
    options = ["--systemd-cgroup"] if case.place == PLACES[2] else []
    if case.bundle == LIMITED:
        return [*options, "run", "--bundle", str(BUNDLES / "hello"), "--config", str(base / "limited"), "limited"]
    return options


def expected(case: Case) -> tuple[int, tuple[str, ...]]:
    """(exit status, what standard output or error have)."""
    if case.bundle == LIMITED:
        refusal = ("controller `pids`", "/linux/resources/pids/limit")
        if "pids" not in (CGROUPS / "cgroup.controllers").read_text().split():  # it belongs to cgroup v1
            return 1, refusal
        if case.place == PLACES[0]:
            return 1, (*refusal, "is not delegated to this user")
        return 0, (f"pids.max is {LIMIT}",)
    if case.bundle == "userns" and case.helper == HELPERS[1]:
        return 1, ("newuidmap is needed", "/linux/uidMappings")
    return 0, (PRINTS[case.bundle],)


def examine(case: Case, runtime: Path, user: dict[str, Any], base: Path) -> None:
    """Raises Failed if something goes otherwise than expected."""
    program = [str(runtime)] if case.bundle == LIMITED else [str(BUNDLES / "run"), case.bundle]
    line, typed = [*program, *words(case, base)], b""
    if case.bundle == "shell":  # on a terminal, as a person has it
        line, typed = ["script", "-qec", " ".join(line), "/dev/null"], b"echo printed $((6 * 7)); exit\n"
    user = user | {"env": user["env"] | {"PYRUNC": str(runtime)}}
    try:
        result = subprocess.run(line, input=typed, capture_output=True, check=False, timeout=DEADLINE, cwd="/", **user)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {DEADLINE} s") from None
    status, texts = expected(case)
    output = (result.stdout + result.stderr).decode(errors="replace")
    if result.returncode != status or not all(text in output for text in texts):
        raise Failed(f"status {result.returncode} where {status} and {', '.join(texts)} are expected: {output}")
    left = subprocess.run([runtime, "list", "-q"], capture_output=True, check=False, text=True, cwd="/", **user)
    if left.stdout or left.returncode:
        raise Failed(f"left behind: {left.stdout}{left.stderr}")


def limited() -> dict[str, Any]:
    """The config of `hello` with a limit, which its program prints as its own cgroup has it."""
    config: dict[str, Any] = json.loads((BUNDLES / "hello/config.json").read_text())
    config["linux"]["resources"] = {"pids": {"limit": LIMIT}}
    namespaces = [entry for entry in config["linux"]["namespaces"] if entry["type"] != "cgroup"]
    config["linux"]["namespaces"] = [*namespaces, {"type": "cgroup"}]
    config["mounts"].append({"destination": "/tmp/cgroup", "type": "cgroup2", "source": "none", "options": ["ro"]})
    config["process"]["args"] = ["sh", "-c", "echo pids.max is $(cat /tmp/cgroup/pids.max)"]
    return config


# -- the user ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def user(base: Path, pytestconfig: pytest.Config) -> Iterator[dict[str, Any]]:
    """Options for Popen, of an existing user or, without --user, of one that is made up."""
    name = pytestconfig.option.user
    if not name:
        with ordinaryuser.make(base).known() as made:
            yield made.caller()
        return
    entry = pwd.getpwnam(name)
    environment = {"PATH": "/usr/bin:/bin", "HOME": entry.pw_dir, "XDG_RUNTIME_DIR": f"/run/user/{entry.pw_uid}"}
    yield {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "env": environment}


@contextlib.contextmanager
def helper(kind: str, base: Path) -> Iterator[None]:
    """Take newuidmap and newgidmap away, or leave them."""
    with contextlib.ExitStack() as stack:
        if kind == HELPERS[1]:
            for program in ("newuidmap", "newgidmap"):
                stack.enter_context(ordinaryuser.replaced(program, base))
        yield


# -- the cgroup -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def place(kind: str, uid: int) -> Iterator[None]:
    """Be in a cgroup of root's or, delegated, in a child of one of the user's; what is called begins there."""
    own = PARENT / "own"
    (own / "caller").mkdir(parents=True)
    for folder in (CGROUPS, PARENT):
        there = (folder / "cgroup.controllers").read_text().split()
        if "pids" in there:
            (folder / "cgroup.subtree_control").write_text("+pids")
    if kind != PLACES[0]:
        for folder, name in itertools.product((own, own / "caller"), ("", *ordinaryuser.DELEGATED)):
            os.chown(folder / name, uid, uid)
    before = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    (own / "caller/cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (CGROUPS / before.strip("/") / "cgroup.procs").write_text(str(os.getpid()))
        for folder in (own / "caller", own, PARENT):  # not empty: a container was left
            folder.rmdir()


@check("rootless", "{case}")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bundle(case: Case, base: Path, user: dict[str, Any], pytestconfig: pytest.Config) -> None:
    if case.place == PLACES[2] and not Path(user["env"]["XDG_RUNTIME_DIR"], "bus").exists():
        pytest.skip("this user has no user manager")
    with helper(case.helper, base), place(case.place, user["user"]):
        examine(case, Path(pytestconfig.option.runtime).absolute(), user, base)
