"""Run OCI hooks (config.md, "POSIX-platform Hooks"): one after the other, with the container's state on stdin.

A hook stands in the bundle (never in the image, from where an interpreter would load modules) and gets a session of its
own, default signals, no descriptor but 0, 1 and 2, and its environment or that of the
runtime's caller. What it says goes into a memory file rather than a pipe: nobody has to read it meanwhile, and a daemon
that the hook leaves behind neither blocks us nor is killed by SIGPIPE.
"""

import _signal
import fcntl
import posix
import select
import time
from _signal import SIGKILL

import _prctl

from pyrunc.kernel import syscalls
from pyrunc.kernel.process import credentials, sealed, signals

from . import jsontext
from .errors import PyruncError, printable
from .kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    class Hook(Protocol):
        """What a hook has: of the config, or of a saved state."""

        @property
        def path(self) -> str: ...
        @property
        def args(self) -> "Sequence[str]": ...  # argv; empty: the path alone
        @property
        def env(self) -> "Sequence[str] | None": ...  # None: the environment of the runtime's caller
        @property
        def timeout(self) -> "int | None": ...  # seconds


_ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)  # as in `ending`
_OUTPUT_LIMIT = 3584  # characters; with the words before them they fit into errors.MESSAGE_LIMIT
_LONGEST_POLL = 1 << 30  # milliseconds; poll(2) takes an int


def open_streams(paths: "tuple[str, str]") -> "tuple[int, int]":
    """Descriptors of the files that hooks' standard output and standard error are added to, -1 where the path is ""."""
    streams = []
    for path, name in zip(paths, ("stdout", "stderr"), strict=True):
        try:
            flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOCTTY | posix.O_CLOEXEC
            # A fifo that nobody reads is an error; the container would be locked for as long as we waited.
            streams.append(posix.open(path, flags | posix.O_NONBLOCK, 0o600) if path else -1)
            if path:
                fcntl.fcntl(streams[-1], fcntl.F_SETFL, posix.O_APPEND)
        except OSError as error:
            what, pointer = f"open `{path}` for the output of hooks", f"/annotations/run.oci.hooks.{name}"
            raise PyruncError.from_os(what, error, pointer=pointer) from None
    return streams[0], streams[1]


def run(
    name: str, hooks: "Iterable[Hook]", state: "dict[str, object]", *, environ: "Mapping[bytes, bytes]",
    streams: "tuple[int, int]" = (-1, -1),
) -> None:  # fmt: skip
    """Run the hooks of the list `name` ("createRuntime"); the first that fails raises and ends it.

    `state` is the state of runtime.md; `environ` is the environment that the runtime was called with; `streams`: see
    `open_streams`.
    """
    for number, hook in enumerate(hooks):
        _run(f"error running {name} hook #{number}", hook, state, environ, streams)


def run_all(
    name: str, hooks: "Iterable[Hook]", state: "dict[str, object]", *, environ: "Mapping[bytes, bytes]",
    streams: "tuple[int, int]" = (-1, -1),
) -> "list[str]":  # fmt: skip
    """Run all hooks whatever becomes of them; a warning for each that failed (poststop: runtime.md, "Lifecycle")."""
    warnings = []
    for number, hook in enumerate(hooks):
        try:
            _run(f"error running {name} hook #{number}", hook, state, environ, streams)
        except PyruncError as error:
            warnings.append(str(error))
    return warnings


def _run(
    what: str, hook: "Hook", state: "dict[str, object]", environ: "Mapping[bytes, bytes]", streams: "tuple[int, int]"
) -> None:
    # A memory file cannot give EPIPE when the hook does not read it. One for each hook: they share no read position.
    stdin = output = -1
    # Between the fork and the wait nobody would kill the hook's children for a signal that ends us.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ENDING)
    try:
        stdin = sealed.data("state", jsontext.dump_bytes(state))
        posix.lseek(stdin, 0, 0)  # SEEK_SET
        output = posix.memfd_create("hook-output", posix.MFD_CLOEXEC)
        # A hook that opens /dev/stderr truncates the file: what comes later goes to its end and leaves no hole.
        fcntl.fcntl(output, fcntl.F_SETFL, posix.O_APPEND)
        stdout, stderr = (output if stream < 0 else stream for stream in streams)
        problem = _wait(what, hook, _start(what, hook, (stdin, stdout, stderr), environ, state), mask)
        if problem:
            said = _tail(output)
            raise PyruncError(f"{what}: {problem}" + (f", stderr: {said}" if said else ""))
    except OSError as error:
        raise PyruncError.from_os(what, error) from None
    finally:
        for fd in (stdin, output):
            if fd >= 0:
                posix.close(fd)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def _start(
    what: str, hook: "Hook", streams: "tuple[int, int, int]", environ: "Mapping[bytes, bytes]",
    state: "dict[str, object]",
) -> int:  # fmt: skip
    """Fork and execute; the child's pid. Raises what execve(2) said, which comes through a close-on-exec pipe."""
    report, told = posix.pipe2(posix.O_CLOEXEC)
    pid = posix.fork()
    if pid == 0:
        _become(hook, streams, told, environ, str(state.get("bundle", "")))
    posix.close(told)
    with opened(report):
        answer = posix.read(report, 16)
    if answer:
        posix.waitpid(pid, 0)
        raise PyruncError(f"{what}: execute `{hook.path}`", errno=int(answer))
    return pid


def _become(
    hook: "Hook", streams: "tuple[int, int, int]", told: int, environ: "Mapping[bytes, bytes]", bundle: str
) -> None:
    """In the child: become the hook, or tell why not; never returns."""
    number = 0
    try:
        try:  # noqa: SIM105  (contextlib costs a millisecond of start-up)
            posix.chdir(bundle)
        except OSError:
            pass  # root of a user namespace may not search it; at poststop it may be gone. It stays where the caller is
        posix.setsid()  # a process group to kill, and no controlling terminal
        _prctl.prctl(_prctl.PR_SET_PDEATHSIG, SIGKILL)  # a runtime that is killed leaves no hook running
        entries = hook.env
        if entries is None:
            entries = [(key + b"=" + value).decode("utf-8", "surrogateescape") for key, value in environ.items()]
        *moved, told = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (*streams, told))
        for target, fd in enumerate(moved):
            posix.dup2(fd, target)
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        credentials.default_signals()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        syscalls.execveat(syscalls.AT_FDCWD, hook.path, list(hook.args or [hook.path]), list(entries))
    except OSError as error:
        number = error.errno or 0
    finally:  # also for an exception that nobody thought of: this process must not go on as the runtime
        posix.write(told, str(number or 5).encode())  # EIO
        posix._exit(127)  # noqa: SLF001


def _wait(what: str, hook: "Hook", pid: int, mask: "Iterable[int]") -> str:
    """Wait for the hook, not longer than its timeout, with the signal mask `mask`; what went wrong, "" if nothing."""
    try:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if not _ends_in_time(pid, hook.timeout):
            _kill(pid)
            return f"still running after its timeout of {hook.timeout} s, killed"
        _, status = posix.waitpid(pid, 0)
    except ChildProcessError:  # the caller ignores SIGCHLD, so the kernel keeps no status
        raise PyruncError(f"{what}: its exit status is lost because SIGCHLD is ignored") from None
    except BaseException:  # an interrupt from the keyboard does not reach the hook's own session
        _kill(pid)
        raise
    if posix.WIFSIGNALED(status):
        return f"killed by {signals.name(posix.WTERMSIG(status))}"
    code = posix.WEXITSTATUS(status)
    return f"exit status {code}" if code else ""


def _ends_in_time(pid: int, timeout: "int | None") -> bool:
    """Whether the process ends within so many seconds of CLOCK_MONOTONIC; its descendants do not count."""
    if timeout is None:
        return True  # waitpid will wait
    deadline = time.monotonic() + timeout
    with opened(syscalls.pidfd_open(pid)) as pidfd:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(min(left * 1000, _LONGEST_POLL)):
                return True
        return bool(poll.poll(0))


def _kill(pid: int) -> None:
    """Kill the hook's process group and reap the hook. Not reaped yet, so both ids are its own."""
    for send in (posix.killpg, posix.kill):  # the group may not be there yet: setsid is the child's first act
        try:
            send(pid, SIGKILL)
        except ProcessLookupError:
            continue
    try:
        posix.waitpid(pid, 0)
    except ChildProcessError:
        return


def _tail(output: int) -> str:
    """The last words of the output, on one line."""
    size = posix.fstat(output).st_size
    text = posix.pread(output, _OUTPUT_LIMIT, max(0, size - _OUTPUT_LIMIT)).decode("utf-8", "replace")
    return printable(text.strip())[-_OUTPUT_LIMIT:]
