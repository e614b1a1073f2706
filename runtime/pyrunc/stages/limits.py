"""What the command sets of a process that it has made, because the process itself may not or must not yet."""

from errno import EACCES, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import files, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.process import Process


def set_oom_score(process: "Process", pid: int) -> None:
    """From outside: with a user namespace the container itself may not lower it."""
    if process.oom_score_adj is None:
        return
    value = process.oom_score_adj
    try:
        files.write(f"/proc/{pid}/oom_score_adj", str(value).encode())
    except OSError as error:
        # Not left out: who gives it relies on it. runc and crun refuse as well.
        hint = "lowering it needs CAP_SYS_RESOURCE on the host" if error.errno == EACCES else ""
        what = f"set oom_score_adj to {value}"
        raise PyruncError.from_os(what, error, pointer="/process/oomScoreAdj", hint=hint) from None


def set_rlimits(process: "Process", pid: int, *, splits: bool) -> None:
    """`process.rlimits`, above the present hard limits, too. splits: the process will clone itself once more as the
    user, and set RLIMIT_NPROC then (`last_steps.split`); it is only raised here."""
    for i, limit in enumerate(process.rlimits):
        soft = limit.soft
        try:
            if splits and limit.type == "RLIMIT_NPROC":
                if limit.hard <= syscalls.hard_limit(limit.type):
                    continue
                soft = limit.hard
            syscalls.set_limit(pid, limit.type, soft, limit.hard)
        except OSError as error:
            what = f"set {limit.type} to {limit.soft}:{limit.hard}"
            hint = "raising a hard limit needs CAP_SYS_RESOURCE on the host" if error.errno == EPERM else ""
            raise PyruncError.from_os(what, error, pointer=f"/process/rlimits/{i}", hint=hint) from None
