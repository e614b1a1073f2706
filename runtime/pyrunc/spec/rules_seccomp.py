"""Rules across the fields of `linux.seccomp` (config-linux.md, "Seccomp")."""

from pyrunc.errors import ConfigError

from .reader import shown
from .seccomp import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NOTIFY = "SCMP_ACT_NOTIFY"
ACTIONS_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def seccomp_problems(seccomp: Seccomp, pointer: str) -> "Iterator[ConfigError]":
    """Every violation in the filter that stands at `pointer`."""
    for rule in RULES:
        yield from rule(seccomp, pointer)


def _errno_needs_an_action_that_returns_one(seccomp: Seccomp, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, `errnoRet`: when the action does not support an errno, the runtime MUST fail."""
    places = [(seccomp.default_action, seccomp.default_errno_ret, "defaultErrnoRet")]
    places += [(rule.action, rule.errno_ret, f"syscalls/{i}/errnoRet") for i, rule in enumerate(seccomp.syscalls)]
    for action, errno_ret, key in places:
        if errno_ret is not None and action not in ACTIONS_WITH_ERRNO:
            yield ConfigError(
                f"errno {errno_ret} for {action}, which returns no errno; only {' and '.join(ACTIONS_WITH_ERRNO)} do",
                pointer=f"{pointer}/{key}",
            )


def _metadata_needs_a_listener(seccomp: Seccomp, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, `listenerMetadata`: MUST NOT be set if listenerPath is not."""
    if seccomp.listener_metadata is not None and seccomp.listener_path is None:
        yield ConfigError("listenerMetadata needs listenerPath", pointer=f"{pointer}/listenerMetadata")


def _notify_needs_a_listener(seccomp: Seccomp, pointer: str) -> "Iterator[ConfigError]":
    """Nobody would answer: the first notified system call of the container would hang."""
    if seccomp.listener_path is not None:
        return
    for i, rule in enumerate(seccomp.syscalls):
        if rule.action == NOTIFY:
            yield ConfigError(f"{NOTIFY} needs listenerPath", pointer=f"{pointer}/syscalls/{i}/action")


def _notify_leaves_the_handover_alone(seccomp: Seccomp, pointer: str) -> "Iterator[ConfigError]":
    """The runtime hands the listener over after the filter is loaded: were its own write(2) notified, it would wait
    for the agent that it has not reached yet."""
    if seccomp.default_action == NOTIFY:
        yield ConfigError(f"{NOTIFY} cannot be the default action", pointer=f"{pointer}/defaultAction")
    for i, rule in enumerate(seccomp.syscalls):
        if rule.action == NOTIFY and "write" in rule.names:
            yield ConfigError(
                f"{NOTIFY} cannot be used for {shown('write')}",
                pointer=f"{pointer}/syscalls/{i}/names/{rule.names.index('write')}",
            )


RULES = (
    _errno_needs_an_action_that_returns_one,
    _metadata_needs_a_listener,
    _notify_needs_a_listener,
    _notify_leaves_the_handover_alone,
)
