"""The runtime under test, called as its callers call it: by command line, with a deadline.

RUNTIME is the executable (default: this checkout's launcher), RUNTIME_FLAGS are global options for every call.
"""

import contextlib
import itertools
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tests.bundle import Bundle, Json
from tests.privatehost import CGROUP_ROOT, ID_PREFIX
from tests.waiting import exit_code

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULT_RUNTIME = CHECKOUT / "build/bin/pyrunc"
COMMAND_DEADLINE = 60.0  # seconds, against commands that hang
MESSAGE_LIMIT = 8192  # bytes of stderr; conmon reads no more, and does not read before the runtime has exited

# These leave parts of a container after a failed create; podman calls `delete --force` then. pyrunc leaves nothing.
LEAVE_HALF_A_CONTAINER = ("crun", "runc")
# The gate on error messages is pyrunc's promise; these say more than one line (runc: warnings, crun: causes).
SEVERAL_LINES = ("crun", "runc")

Result = subprocess.CompletedProcess[str]

_numbers = itertools.count(1)


def executable() -> Path:
    """Path of the runtime under test."""
    return Path(os.environ.get("RUNTIME") or DEFAULT_RUNTIME).absolute()


def runtime_name() -> str:
    """Name of the runtime under test as its executable says: pyrunc, crun, runc."""
    return executable().name


def new_id() -> str:
    """A container id that nobody else uses and that the leftovers check recognises."""
    return f"{ID_PREFIX}{next(_numbers)}"


def caller_environment(**changes: str) -> dict[str, str]:
    """Our environment without what a service manager or a login session adds, with changes."""
    dropped = ("XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    return {name: value for name, value in os.environ.items() if name not in dropped} | changes


def error_text(result: Result, *fragments: str) -> str:
    """Check that a command failed as commands must fail, and return its message.

    The gate: exit status not 0, one line on stderr of at most MESSAGE_LIMIT bytes, no traceback, no Python idiom, not
    an error that nobody has foreseen, and each fragment (any letter case) in it.
    """
    assert result.returncode != 0, f"{result.args} succeeded: {result.stdout}"
    assert result.returncode > 0, f"{result.args} was killed by signal {-result.returncode}"
    message = result.stderr.strip()
    assert message, f"{result.args} failed without a message"
    assert len(result.stderr.encode(errors="surrogateescape")) <= MESSAGE_LIMIT
    assert runtime_name() in SEVERAL_LINES or len(message.splitlines()) == 1, f"more than one line: {message}"
    for idiom in ("Traceback", "[Errno", "NoneType", "object at 0x", "internal error"):
        assert idiom not in message, message
    for fragment in fragments:
        assert fragment.lower() in message.lower(), f"{fragment!r} is not in: {message}"
    return message


class Runtime:
    """Commands of the runtime, all on one --root directory."""

    def __init__(self, root: Path, path: Path | None = None) -> None:
        """Use the runtime under test (or the one at path) with the state directory root."""
        self.root = root
        self.prefix: tuple[str, ...] = ()  # words of a program that calls the runtime, as nsenter
        self.options: dict[str, Any] = {}  # for Popen, of every call
        self.path = path or executable()
        self.flags = shlex.split(os.environ.get("RUNTIME_FLAGS", ""))

    def behind(self, *words: str) -> "Runtime":
        """The same, called with these words before it."""
        other = Runtime(self.root, self.path)
        other.prefix, other.options = words, self.options
        return other

    def argv(self, *arguments: str | Path) -> list[str]:
        """The command line for these arguments."""
        return [*self.prefix, str(self.path), "--root", str(self.root), *self.flags, *map(str, arguments)]

    def popen(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command; its standard streams are /dev/null unless options say otherwise."""
        options = self.options | options
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.DEVNULL)
        options.setdefault("env", caller_environment())
        return subprocess.Popen(self.argv(*arguments), **options)

    def call(self, *arguments: str | Path, timeout: float = COMMAND_DEADLINE, **options: Any) -> Result:
        """Run a command to its end; output goes through files, so that a container may keep the streams open."""
        with contextlib.ExitStack() as stack:
            streams: dict[str, IO[bytes] | None] = {"stdout": None, "stderr": None}
            for name in streams:
                if name not in options:
                    streams[name] = options[name] = stack.enter_context(tempfile.TemporaryFile())
            process = self.popen(*arguments, **options)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                process.wait()
                raise AssertionError(f"{process.args!r} hangs") from error
            return subprocess.CompletedProcess(
                process.args, code, _content(streams["stdout"]), _content(streams["stderr"])
            )

    def create(self, bundle: Bundle, container_id: str, *options: str | Path, **popen: Any) -> Result:
        """`create` with the bundle's config saved first."""
        bundle.save(container_id)
        return self.call("create", "--bundle", bundle.path, *options, container_id, **popen)

    def create_fails(self, bundle: Bundle, *fragments: str, options: tuple[str | Path, ...] = (), **popen: Any) -> str:
        """Check that create fails, with these fragments in its message, and that the container does not exist."""
        container_id = new_id()
        message = error_text(self.create(bundle, container_id, *options, **popen), *fragments)
        if runtime_name() in LEAVE_HALF_A_CONTAINER:
            self.delete(container_id, "--force")
            with contextlib.suppress(OSError):  # gone, or in use: then the leftovers check says so
                (CGROUP_ROOT / bundle.linux.get("cgroupsPath", container_id).lstrip("/")).rmdir()
        error_text(self.state(container_id))
        return message

    def run(self, bundle: Bundle, *options: str | Path, container_id: str = "", **popen: Any) -> Result:
        """`run`, by default in the foreground and without a terminal."""
        container_id = container_id or new_id()
        bundle.save(container_id)
        return self.call("run", "--bundle", bundle.path, *options, container_id, **popen)

    def output(self, bundle: Bundle, script: str) -> str:
        """Standard output of a shell script run in a container from the bundle; both must succeed."""
        result = self.run(bundle.shell(script))
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout

    def start(self, container_id: str) -> Result:
        """`start`."""
        return self.call("start", container_id)

    def state(self, container_id: str) -> Result:
        """`state`."""
        return self.call("state", container_id)

    def kill(self, container_id: str, *signal: str) -> Result:
        """`kill`, with the signal if given."""
        return self.call("kill", container_id, *signal)

    def delete(self, container_id: str, *options: str) -> Result:
        """`delete`."""
        return self.call("delete", *options, container_id)

    def list_json(self) -> list[Json]:
        """The containers as `list` knows them."""
        result = self.call("list", "--format", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) or []  # runc prints null when there are none

    @contextlib.contextmanager
    def created(self, bundle: Bundle, *options: str | Path, **popen: Any) -> Iterator["Container"]:
        """A created container; deleted by force at the end. Its output goes to files in the bundle."""
        container = Container(self, new_id(), bundle)
        with open(container.stdout, "wb") as stdout, open(container.stderr, "wb") as stderr:
            result = self.create(bundle, container.id, *options, **{"stdout": stdout, "stderr": stderr} | popen)
        assert result.returncode == 0, container.stderr.read_text(errors="surrogateescape")
        try:
            yield container
        finally:
            deleted = self.delete(container.id, "--force")
        assert deleted.returncode == 0, deleted.stderr

    @contextlib.contextmanager
    def running(self, bundle: Bundle, *options: str | Path, **popen: Any) -> Iterator["Container"]:
        """A started container; deleted by force at the end."""
        with self.created(bundle, *options, **popen) as container:
            container.start()
            yield container


class Container:
    """A container that was created."""

    def __init__(self, runtime: Runtime, container_id: str, bundle: Bundle) -> None:
        """Name a container; nothing is called."""
        self.runtime = runtime
        self.id = container_id
        self.bundle = bundle
        self.stdout = bundle.path / f"{container_id}.stdout"
        self.stderr = bundle.path / f"{container_id}.stderr"

    def state(self) -> Json:
        """The state document."""
        result = self.runtime.state(self.id)
        assert result.returncode == 0, result.stderr
        state: Json = json.loads(result.stdout)
        return state

    @property
    def status(self) -> str:
        """The status word."""
        return str(self.state()["status"])

    @property
    def pid(self) -> int:
        """Host pid of the container's first process."""
        return int(self.state()["pid"])

    def start(self) -> None:
        """`start`, which must succeed."""
        result = self.runtime.start(self.id)
        assert result.returncode == 0, result.stderr

    def kill(self, signal: str = "KILL") -> None:
        """`kill`, which must succeed."""
        result = self.runtime.kill(self.id, signal)
        assert result.returncode == 0, result.stderr

    def finish(self) -> str:
        """Start the container, wait for its successful end and return its output."""
        pid = self.pid
        self.start()
        code = exit_code(pid)
        assert code == 0, f"exit code {code}: {self.stderr.read_text()}{self.output()}"
        return self.output()

    def output(self) -> str:
        """What the container has written to its standard output so far."""
        return self.stdout.read_text(errors="surrogateescape")


def _content(stream: IO[bytes] | None) -> str:
    if stream is None:
        return ""
    stream.seek(0)
    return stream.read().decode(errors="surrogateescape")
