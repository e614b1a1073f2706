"""What the checks are made of: how a check is declared, how it calls podman, what it says when it fails."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

IMAGE = "localhost/runtime-checks:latest"
CALL_SECONDS = 120  # what takes longer hangs: emulated machines need some ten seconds at most
HOST_PROGRAMS = ["-v", "/usr:/usr:ro"]  # the image's /lib and /lib64 lead there: the host's dynamic programs run


class Failed(Exception):
    """The runtime did not do what the check wants; the text is for the reader of the report."""


class Skipped(Exception):
    """The check cannot be made here; the text is the reason."""


@dataclass(frozen=True)
class Result:
    """How one podman call ended: its exit status and its two output streams."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return (
            f"$ {shlex.join(self.words)}\nexit status {self.status}"
            f"\nstdout: {self.out[-600:].strip()}\nstderr: {self.err[-900:].strip()}"
        )


@dataclass(frozen=True)
class Check:
    """A named check; rootful_only and rootless_only are why it cannot be made the other way."""

    group: str
    name: str
    action: Callable[[Podman], None]
    rootful_only: str = ""
    rootless_only: str = ""


CHECKS: list[Check] = []


def check(
    group: str, name: str, *, rootful_only: str = "", rootless_only: str = ""
) -> Callable[[Callable[[Podman], None]], Callable[[Podman], None]]:
    """Declares the decorated function as a check: it returns if all is well, else it raises Failed."""

    def declare(action: Callable[[Podman], None]) -> Callable[[Podman], None]:
        CHECKS.append(Check(group, name, action, rootful_only, rootless_only))
        return action

    return declare


def output_checks(group: str, rows: Iterable[tuple[str, str, str, str]], *, rootful_only: str = "") -> None:
    """Declares checks of one form: with these podman options this shell script prints this (a regular expression)."""
    for name, options, script, pattern in rows:

        def action(podman: Podman, options: str = options, script: str = script, pattern: str = pattern) -> None:
            matches(podman.sh(shlex.split(options), script), pattern)

        CHECKS.append(Check(group, name, action, rootful_only))


def equal(actual: object, wanted: object, what: str = "result") -> None:
    if actual != wanted:
        raise Failed(f"{what}: wanted {wanted!r}, got {actual!r}")


def matches(text: str, pattern: str, what: str = "output") -> None:
    """The whole text matches the regular expression (a dot matches a newline as well)."""
    if not re.fullmatch(pattern, text, re.DOTALL):
        raise Failed(f"{what}: wanted the form {pattern!r}, got {text!r}")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits for what must happen sooner or later; the deadline only ends a check that would hang."""
    deadline = time.monotonic() + CALL_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"did not happen: {what}")
        time.sleep(0.1)


class Podman:
    """podman with the runtime to check; everything a check makes is named by it and removed after the check."""

    def __init__(self, runtime: str, flags: Sequence[str], manager: str | None) -> None:
        self.runtime = runtime
        self.rootless = os.geteuid() != 0
        self.command = ["podman", "--runtime", runtime, *(f"--runtime-flag={flag}" for flag in flags)]
        if manager:
            self.command.append(f"--cgroup-manager={manager}")
        self.prefix = f"check-{os.getpid()}"
        self.serial = 0
        self.undo = contextlib.ExitStack()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(
        self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> Result:
        """Calls podman; env is added to the environment."""
        try:
            done = subprocess.run(
                [*self.command, *words],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CALL_SECONDS,
                env={**os.environ, **(env or {})},
                pass_fds=pass_fds,
                check=False,
            )
        except subprocess.TimeoutExpired as hung:
            raise Failed(f"$ {shlex.join(words)}\nhangs; so far: {hung.stdout!r} {hung.stderr!r}") from None
        return Result(words, done.returncode, done.stdout, done.stderr)

    def __call__(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Calls podman, wants success, returns standard output without the white space around it."""
        result = self.call(*words, stdin=stdin, env=env)
        if result.status:
            raise Failed(str(result))
        return result.out.strip()

    def fails(self, status: int, *words: str) -> Result:
        """Calls podman and wants this exit status."""
        result = self.call(*words)
        if result.status != status:
            raise Failed(f"wanted exit status {status}\n{result}")
        return result

    def run_words(self, options: Sequence[str], *command: str) -> list[str]:
        """The words of a `podman run --rm`; without a network unless the options say which (it is the fastest)."""
        networked = any(option.startswith(("--network", "--pod", "-p")) for option in options)
        return ["run", "--rm", *([] if networked else ["--network", "none"]), *options, IMAGE, *command]

    def run(self, options: Sequence[str], *command: str, stdin: str = "") -> str:
        return self(*self.run_words(options, *command), stdin=stdin)

    def sh(self, options: Sequence[str], script: str) -> str:
        return self.run(options, "sh", "-c", script)

    def start(self, options: Sequence[str], *command: str) -> str:
        """Starts a container in the background; returns its name."""
        name = self.new_container()
        words = self.run_words(["--name", name, "-d", *options], *command)
        self(*(word for word in words if word != "--rm"))
        return name

    def create(self, options: Sequence[str], *command: str) -> str:
        """Makes a container without starting it; returns its name."""
        name = self.new_container()
        words = self.run_words(["--name", name, *options], *command)
        self("create", *(word for word in words[1:] if word != "--rm"))
        return name

    def inspect(self, name: str, template: str) -> str:
        """One value of a container, by a Go template such as .State.Status."""
        return self("container", "inspect", "--format", f"{{{{{template}}}}}", name)

    def logs_until(self, name: str, text: str) -> str:
        """Waits until the container has written this; returns its whole log."""
        wait_until(lambda: text in self("logs", name), f"{text!r} in the log of {name}")
        return self("logs", name)

    # -- what a check may make -----------------------------------------------------------------------------------------

    def new_name(self, *remove: str) -> str:
        self.serial += 1
        name = f"{self.prefix}-{self.serial}"
        self.undo.callback(self, *remove, name)
        return name

    def new_container(self) -> str:
        return self.new_name("rm", "--force", "--ignore", "--volumes", "--time", "0")

    def new_pod(self) -> str:
        return self.new_name("pod", "rm", "--force", "--ignore", "--time", "0")

    def new_volume(self) -> str:
        return self.new_name("volume", "rm", "--force")

    def new_network(self) -> str:
        return self.new_name("network", "rm", "--force")

    def new_folder(self) -> Path:
        """An empty folder of the host that every user may enter and write, gone after the check."""
        folder = Path(self.undo.enter_context(scratch_folder()))
        folder.chmod(0o777)
        return folder

    def new_file(self, text: str, mode: int = 0o644) -> Path:
        path = self.new_folder() / "file"
        path.write_text(text)
        path.chmod(mode)
        return path

    def host_mount(self, target: Path, *options: str) -> None:
        """Mounts a tmpfs on a folder of the host until the check ends (for root)."""
        subprocess.run(["mount", "-t", "tmpfs", *options, "none", str(target)], check=True)
        self.undo.callback(subprocess.run, ["umount", "--lazy", str(target)], check=False, capture_output=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A temporary folder; what containers left in it as other users is removed as they are, too."""
    folder = tempfile.mkdtemp(prefix="runtime-checks-")
    try:
        yield folder
    finally:
        remove = ["rm", "-rf", "--one-file-system", folder]
        if os.geteuid():
            remove = ["podman", "unshare", *remove]  # an ordinary user's container writes as one of his subordinate ids
        subprocess.run(remove, check=False, cwd="/")


def perform(podman: Podman, item: Check) -> tuple[str, str]:
    """Makes one check and clears up: ("ok" | "not ok" | "skip", the reason)."""
    reason = item.rootful_only if podman.rootless else item.rootless_only
    if reason:
        return "skip", reason
    outcome, text = "ok", ""
    podman.undo = contextlib.ExitStack()
    try:
        item.action(podman)
    except Skipped as skipped:
        outcome, text = "skip", str(skipped)
    except Failed as failed:
        outcome, text = "not ok", str(failed)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        outcome, text = "not ok", f"{type(error).__name__}: {error}"
    try:
        podman.undo.close()
    except (Failed, OSError, subprocess.SubprocessError) as error:
        return "not ok", f"{text}\nclearing up:\n{type(error).__name__}: {error}".strip()
    return outcome, text
