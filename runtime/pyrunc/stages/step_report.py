"""What pyrunc-init reports: how the list of its steps (`step_list`) went, as the command that waits for it reads it.

    record        magic, number of the step, kind of the step, errno, detail (5 ints), label, NUL, output of a hook
"""

from _signal import SIGILL, SIGSYS, SIGTRAP
from _struct import unpack_from
from errno import EACCES, ECANCELED, EISDIR, ENOENT, ENOEXEC, EPERM, ETIMEDOUT

from pyrunc.errors import PyruncError, strerror

MAGIC = 0x70797275
CALL, FIND, CHECK_CWD, HOOK, REPORT_TO, EXEC, SPLIT, WRITE, END_BY = range(9)  # kinds of steps
POINTER = "\x1f"  # in a label, before the JSON pointer of the value that a step is about
STARTED = b"started"  # every step but labels, filter and exec has been done
NAME = b"pyrunc-init"  # of its process (PR_SET_NAME), until the exec
_SPELT = (EPERM, ENOENT, ENOEXEC, EACCES)  # what execve(2) says of a file
_NOT_EXECUTED = 127  # pyrunc-init's status for it, and the shell's


def is_record(message: bytes) -> bool:
    """Whether a message is pyrunc-init's report of a failed step."""
    return len(message) >= 20 and unpack_from("@i", message)[0] == MAGIC


def error_of(record: bytes) -> PyruncError:
    """The error that a failed step's record tells of."""
    _, _, kind, errno, detail = unpack_from("@5i", record)
    label, _, output = record[20:].partition(b"\0")
    text = label.decode("utf-8", "replace")
    if kind == FIND:
        return _not_executable(text, errno)
    if kind == HOOK:
        return _hook_failed(text, errno, detail, output.decode("utf-8", "replace").strip())
    if kind == CHECK_CWD:
        what = f"the working directory `{text}` is outside the container's root"
        return PyruncError(what, errno=errno, pointer="/process/cwd")
    if kind == EXEC:
        return _as_go_spells(text, errno)
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


def _not_executable(name: str, errno: int) -> PyruncError:
    if errno == EISDIR:
        error = _as_go_spells(f"exec `{name}`", EACCES)
        error.hint = "it is not a regular file"
        return error
    if errno == ENOENT and "/" not in name:
        return _as_go_spells(f"executable file `{name}` not found in $PATH", errno)
    return _as_go_spells(f"open executable `{name}`", errno)


def _as_go_spells(text: str, errno: int) -> PyruncError:
    """docker chooses its exit status by words of the kernel in Go's letters, which are small."""
    if errno not in _SPELT:
        return PyruncError(text, errno=errno)
    words = strerror(errno)
    return PyruncError(f"{text}: {words[0].lower()}{words[1:]}")


def _hook_failed(name: str, errno: int, status: int, output: str) -> PyruncError:
    if errno == ETIMEDOUT:
        return PyruncError(f"error running {name}: it timed out")
    if errno != ECANCELED:
        return PyruncError(f"error running {name}", errno=errno)
    how = f"signal {status & 0x7F}" if status & 0x7F else f"exit status {status >> 8}"
    if status >> 8 == _NOT_EXECUTED and not output:
        how += ", as for a path that is not a program in the container"
    return PyruncError(f"error running {name}: {how}" + (f", stderr: {output}" if output else ""))
