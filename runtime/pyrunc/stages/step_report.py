"""What pyrunc-init reports of a step that failed, as the error that it is; `step_list` has what it carries out.

    failure       number of the step, kind of the step, errno, detail (4 ints), label, NUL, output of a hook
"""

from _signal import SIGILL, SIGSYS, SIGTRAP
from _struct import unpack_from
from errno import EACCES, ECANCELED, EISDIR, ENOENT, ENOEXEC, EPERM, ETIMEDOUT

from pyrunc.errors import PyruncError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.spec.process import Process

CALL, FIND, CHECK_CWD, HOOK, REPORT_TO, EXEC, SPLIT, WRITE, END_BY, LISTEN = range(10)  # kinds of steps
POINTER = "\x1f"  # in a label, before the JSON pointer of the value that a step is about
NAME = b"pyrunc-init"  # of its process (PR_SET_NAME), until the exec
_SPELT = (EPERM, ENOENT, ENOEXEC, EACCES)  # what execve(2) says of a file
_NOT_EXECUTED = 127  # pyrunc-init's status for it, and the shell's
_INTS = 16  # bytes


class NotExecuted(PyruncError):
    """The program cannot be executed. kernel: the errno; found: the file is there, and execve(2) has refused it."""

    kernel, found = 0, False

    def explain(self, root: str, config: "Callable[[], bytes]", process: "Process | None" = None) -> None:
        """Put into the hint what the file itself tells (`wings.explain.program.why`). config: reads config.json."""
        try:
            from pyrunc.wings.explain import program

            self.hint = program.why(self, root, config(), process) or self.hint
        except (ImportError, OSError, MemoryError, PyruncError):  # the error says more than that it is not explained
            return


def error_of(failure: bytes) -> PyruncError:
    """The error that pyrunc-init tells of, as above."""
    if len(failure) < _INTS:
        return PyruncError("unexpected message from the container's process")
    _, kind, errno, detail = unpack_from("@4i", failure)
    label, _, output = failure[_INTS:].partition(b"\0")
    text = label.decode("utf-8", "replace")
    if kind == FIND:
        return _not_executable(text, errno)
    if kind == HOOK:
        return _hook_failed(text, errno, detail, output.decode("utf-8", "replace").strip())
    if kind == CHECK_CWD:
        what = f"the working directory `{text}` is outside the container's root"
        return PyruncError(what, errno=errno, pointer="/process/cwd")
    if kind == EXEC:
        return _as_go_spells(text, errno, found=True)
    text, _, pointer = text.partition(POINTER)
    return PyruncError(text, errno=errno, pointer=pointer)


def early_end(who: str, status: int) -> PyruncError:
    """The error for a pyrunc-init that has ended before its exec and has reported nothing.

    status: as wait(2) gives it, 0 if nobody knows. A seccomp profile can forbid every system call that is left by then:
    execve(2), write(2) for the report, those that exit; what pyrunc-init does last of all is an undefined instruction.
    """
    if not status:
        return PyruncError(f"{who} was killed before it ran its program")
    signal, place = status & 0x7F, "/linux/seccomp"
    if signal == SIGSYS:
        text = "was killed by SIGSYS: the seccomp profile forbids a system call that is needed to start the program"
        return PyruncError(f"{who} {text}", pointer=place)
    if signal in (0, SIGILL, SIGTRAP):
        text = "could neither run its program nor report why: the seccomp profile forbids both"
        return PyruncError(f"{who} {text}", pointer=place)
    from pyrunc.kernel.process import signals

    return PyruncError(f"{who} was killed by {signals.name(signal)} before it ran its program")


def _not_executable(name: str, errno: int) -> NotExecuted:
    if errno == EISDIR:
        error = _as_go_spells(f"exec `{name}`", EACCES)
        error.hint, error.kernel = "it is not a regular file", EISDIR
        return error
    if errno == ENOENT and "/" not in name:
        return _as_go_spells(f"executable file `{name}` not found in $PATH", errno)
    return _as_go_spells(f"open executable `{name}`", errno)


def _as_go_spells(text: str, errno: int, *, found: bool = False) -> NotExecuted:
    """docker chooses its exit status by words of the kernel in Go's letters, which are small."""
    if errno in _SPELT:
        words = strerror(errno)
        error = NotExecuted(f"{text}: {words[0].lower()}{words[1:]}")
    else:
        error = NotExecuted(text, errno=errno)
    error.kernel, error.found = errno, found
    return error


def _hook_failed(name: str, errno: int, status: int, output: str) -> PyruncError:
    if errno == ETIMEDOUT:
        return PyruncError(f"error running {name}: it timed out")
    if errno != ECANCELED:
        return PyruncError(f"error running {name}", errno=errno)
    how = f"signal {status & 0x7F}" if status & 0x7F else f"exit status {status >> 8}"
    if status >> 8 == _NOT_EXECUTED and not output:
        how += ", as for a path that is not a program in the container"
    return PyruncError(f"error running {name}: {how}" + (f", stderr: {output}" if output else ""))
