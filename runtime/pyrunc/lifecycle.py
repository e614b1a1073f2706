"""The status of a container and what each status allows (runtime-spec runtime.md, "State" and "Lifecycle").

A status is derived from facts, never stored: whether the init process lives, whether it still waits for `start`, and
whether its cgroup is frozen. Pure.
"""

from . import SPEC_VERSION
from .errors import NotPermitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

# command -> statuses in which it may run, and what the refusal says: scripts and engines look for runc's words
_ALLOWED = {
    "start": ((CREATED,), "cannot start a container in the {status} state"),
    "kill": ((CREATED, RUNNING, PAUSED), "container not running"),
    "kill --all": ((CREATED, RUNNING, PAUSED, STOPPED), "container not running"),
    "delete": (
        (CREATED, STOPPED),
        "cannot delete container `{id}` that is not stopped: {status}; use --force, or stop it first",
    ),
    "delete --strict": ((STOPPED,), "cannot delete container `{id}` that is not stopped: {status}; stop it first"),
    "exec": ((CREATED, RUNNING), "cannot exec in a {status} container"),
    "pause": ((CREATED, RUNNING), "container not running: it is {status}"),
    "resume": ((PAUSED,), "container not paused: it is {status}"),
    "checkpoint": ((RUNNING, PAUSED), "container not running: it is {status}"),
    "update": ((CREATED, RUNNING, PAUSED), "container not running: it is {status}"),
}
_PARTICULAR = {
    ("start", RUNNING): "cannot start an already running container",
    ("start", STOPPED): "cannot start a container that has stopped",
    ("exec", PAUSED): "cannot exec in a paused container (use --ignore-paused to override)",
}


def derive(*, saved: bool, alive: bool, waiting: bool, frozen: bool) -> str:
    """The status that the facts mean.

    saved: the state file is there, so that `create` came to its end; alive: the init process lives; waiting: it has
    not been started yet; frozen: its cgroup is.
    """
    if not saved:
        return CREATING
    if not alive:
        return STOPPED
    if frozen:
        return PAUSED
    return CREATED if waiting else RUNNING


def spec_state(
    container_id: str, status: str, pid: int, bundle: str, annotations: "Mapping[str, str]"
) -> "dict[str, object]":
    """The state as the spec has it (runtime.md, "State"); the pid is given unless it has stopped."""
    state: dict[str, object] = {"ociVersion": SPEC_VERSION, "id": container_id, "status": status}
    if status != STOPPED:
        state["pid"] = pid
    state["bundle"] = bundle
    if annotations:
        state["annotations"] = annotations
    return state


def require(command: str, status: str, container_id: str) -> None:
    """Raise NotPermitted unless a container in this status takes the command."""
    statuses, refusal = _ALLOWED[command]
    if status not in statuses:
        refusal = _PARTICULAR.get((command, status), refusal)
        hint = "`create` is still in progress; `delete --force` ends it" if status == CREATING else ""
        raise NotPermitted(refusal.format(status=status, id=container_id), hint=hint)
