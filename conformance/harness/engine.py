"""Calling a container engine: what it answered, and what a check makes and leaves to be removed."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.harness.checks import CALL_SECONDS, Failed


@dataclass(frozen=True)
class Result:
    """How one call ended: its exit status and its two output streams."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return (
            f"$ {shlex.join(self.words)}\nexit status {self.status}"
            f"\nstdout: {self.out[-600:].strip()}\nstderr: {self.err[-900:].strip()}"
        )


class Engine:
    """A container engine with the runtime to check; what a check makes bears its prefix, and is removed after it."""

    def __init__(self, runtime: str, command: Sequence[str]) -> None:
        """command: the words that every call begins with."""
        self.runtime = runtime
        self.command = list(command)
        self.rootless = os.geteuid() != 0
        self.prefix = f"check-{os.getpid()}"
        self.serial = 0
        self.undo = contextlib.ExitStack()
        self.before: dict[str, set[str]] = {}

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(
        self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None, files: Sequence[Path] = ()
    ) -> Result:
        """Calls the engine; env is added to the environment, files are its descriptors from 3 on."""
        command = [*self.command, *words]
        if files:
            opened = [f"{number}<{shlex.quote(str(path))}" for number, path in enumerate(files, 3)]
            command = ["sh", "-c", f'exec "$@" {" ".join(opened)}', "sh", *command]
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CALL_SECONDS,
                env={**os.environ, **(env or {})},
                check=False,
            )
        except subprocess.TimeoutExpired as hung:
            raise Failed(f"$ {shlex.join(words)}\nhangs; so far: {hung.stdout!r} {hung.stderr!r}") from None
        return Result(words, done.returncode, done.stdout, done.stderr)

    def __call__(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Calls the engine, wants success, returns standard output without the white space around it."""
        result = self.call(*words, stdin=stdin, env=env)
        if result.status:
            raise Failed(str(result))
        return result.out.strip()

    def fails(self, status: int, *words: str) -> Result:
        """Calls the engine and wants this exit status."""
        result = self.call(*words)
        if result.status != status:
            raise Failed(f"wanted exit status {status}\n{result}")
        return result

    def run_words(self, options: Sequence[str], *command: str) -> list[str]:
        """The words that run a container of the test image in the foreground."""
        raise NotImplementedError

    def run(self, options: Sequence[str], *command: str, stdin: str = "") -> str:
        return self(*self.run_words(options, *command), stdin=stdin)

    def sh(self, options: Sequence[str], script: str) -> str:
        return self.run(options, "sh", "-c", script)

    # -- what a check may make -----------------------------------------------------------------------------------------

    def new_name(self, *remove: str) -> str:
        """A name of the checks' own; `remove NAME` is called after the check."""
        self.serial += 1
        name = f"{self.prefix}-{self.serial}"
        self.undo.callback(self, *remove, name)
        return name

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
