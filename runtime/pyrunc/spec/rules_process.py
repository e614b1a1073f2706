"""Rules across the fields of `process` (config.md, "Process"): one function per rule, each yields its violations."""

from pyrunc.errors import ConfigError
from pyrunc.words import CAPABILITIES

from .process import Process
from .reader import INT64_MAX, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

REALTIME_PRIORITY_MAX = 99  # sched(7)
_RUNTIME_MIN = 1 << 10  # kernel/sched/deadline.c, __checkparam_dl
_DIGITS = 10
MOST_MEMBERS = LONGEST_LIST = 1 << 16  # CPUs, characters: x86 has 8192 at most, which take 40 000 one by one


def process_problems(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """Every violation in the process that stands at `pointer`."""
    for rule in RULES:
        yield from rule(process, pointer)


def _cwd_is_absolute(process: Process, pointer: str) -> "Iterator[ConfigError]":
    if not process.cwd.startswith("/"):
        yield ConfigError(f"cwd {shown(process.cwd)} is not an absolute path", pointer=f"{pointer}/cwd")


def _env_entries_are_assignments(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """environ(7): NAME=value with a name."""
    for i, entry in enumerate(process.env):
        if entry.find("=") < 1:
            yield ConfigError(f"{shown(entry)} is not of the form NAME=value", pointer=f"{pointer}/env/{i}")


def _rlimit_types_are_unique(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """config.md, `rlimits`: duplicated entries with the same type MUST be an error."""
    seen = set()
    for i, rlimit in enumerate(process.rlimits):
        if rlimit.type in seen:
            yield ConfigError(f"duplicate rlimit {rlimit.type}", pointer=f"{pointer}/rlimits/{i}/type")
        seen.add(rlimit.type)


def _soft_limits_fit_under_hard_ones(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """setrlimit(2) answers EINVAL otherwise."""
    for i, rlimit in enumerate(process.rlimits):
        if rlimit.soft > rlimit.hard:
            yield ConfigError(
                f"{rlimit.type}: the soft limit {rlimit.soft} is above the hard limit {rlimit.hard}",
                pointer=f"{pointer}/rlimits/{i}/soft",
            )


def _scheduler_fields_fit_the_policy(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """sched_setattr(2): nice, priority and the deadline's three times belong to different policies."""
    scheduler = process.scheduler
    if scheduler is None:
        return
    at = f"{pointer}/scheduler"
    priority = scheduler.priority or 0
    if scheduler.policy in ("SCHED_FIFO", "SCHED_RR"):
        if not 1 <= priority <= REALTIME_PRIORITY_MAX:
            yield ConfigError(
                f"{scheduler.policy} needs a priority from 1 to {REALTIME_PRIORITY_MAX}, got {priority}",
                pointer=f"{at}/priority",
            )
    elif priority != 0:
        yield ConfigError(
            f"priority {priority} needs the policy `SCHED_FIFO` or `SCHED_RR`, got `{scheduler.policy}`",
            pointer=f"{at}/priority",
        )
    times = (("runtime", scheduler.runtime), ("deadline", scheduler.deadline), ("period", scheduler.period))
    if scheduler.policy != "SCHED_DEADLINE":
        for key, value in times:
            if value:
                yield ConfigError(
                    f"{key} {value} needs the policy `SCHED_DEADLINE`, got `{scheduler.policy}`",
                    pointer=f"{at}/{key}",
                )


def _deadline_fits(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """sched_setattr(2): 1024 ns <= runtime <= deadline <= period, where a period of 0 is the deadline.

    All that the kernel says is EINVAL. What bounds the period are sysctls of the host, which are not looked at here.
    """
    scheduler = process.scheduler
    if scheduler is None or scheduler.policy != "SCHED_DEADLINE":
        return
    runtime, deadline, period = scheduler.runtime or 0, scheduler.deadline or 0, scheduler.period or 0
    why = ""
    if not deadline:
        why, key = "SCHED_DEADLINE needs a deadline", "deadline"
    elif runtime < _RUNTIME_MIN:
        why, key = f"runtime must be >= {_RUNTIME_MIN} (nanoseconds), got {runtime}", "runtime"
    elif runtime > deadline:
        why, key = f"runtime must be <= deadline ({deadline}), got {runtime}", "runtime"
    elif deadline > (period or deadline):
        why, key = f"deadline must be <= period ({period}), got {deadline}", "deadline"
    elif max(deadline, period) > INT64_MAX:
        why, key = f"{max(deadline, period)} is above {INT64_MAX}", "period" if period >= deadline else "deadline"
    if why:
        yield ConfigError(why, pointer=f"{pointer}/scheduler/{key}")


def _affinities_are_cpu_lists(process: Process, pointer: str) -> "Iterator[ConfigError]":
    """config.md, `execCPUAffinity`: comma-separated numbers and ranges."""
    affinity = process.exec_cpu_affinity
    if affinity is None:
        return
    for key, value in (("initial", affinity.initial), ("final", affinity.final)):
        if value is not None and not is_number_list(value):
            yield ConfigError(
                f"{shown(value)} is not a list of CPUs such as `0-3,7`", pointer=f"{pointer}/execCPUAffinity/{key}"
            )


def is_number_list(text: str) -> bool:
    """Whether `text` is a list as of cpuset(7), "List format": numbers and rising ranges, separated by commas.

    Numbers and length end where no kernel's do: a few digits of a config would mean a billion CPUs to who counts them.
    """
    for part in text.split(",") if len(text) <= LONGEST_LIST else [""]:
        low, dash, high = part.strip(" ").partition("-")
        high = high if dash else low
        if not all(word.isascii() and word.isdigit() and len(word) < _DIGITS for word in (low, high)):
            return False
        if not int(low) <= int(high) < MOST_MEMBERS:
            return False
    return True


def process_warnings(process: Process, pointer: str) -> "Iterator[str]":
    """What the specification wants and the peers do without, and config.md, `capabilities`: a name that the kernel does
    not know MUST be warned about and SHOULD NOT fail.

    Once, at the first of the sets: engines write it into all.
    """
    if not process.user.names_gid:
        yield f"the required key `gid` is missing, so the group is 0 ({pointer}/user/gid)"
    sets, known = process.capabilities, set(CAPABILITIES)
    if sets is None:
        return
    for key in ("bounding", "effective", "inheritable", "permitted", "ambient"):
        for i, name in enumerate(getattr(sets, key)):
            if name not in known:
                known.add(name)
                yield f"unknown capability {shown(name)} is ignored ({pointer}/capabilities/{key}/{i})"


RULES = (
    _cwd_is_absolute,
    _env_entries_are_assignments,
    _rlimit_types_are_unique,
    _soft_limits_fit_under_hard_ones,
    _scheduler_fields_fit_the_policy,
    _deadline_fits,
    _affinities_are_cpu_lists,
)
