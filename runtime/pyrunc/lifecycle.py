"""The status of a container and what each status allows (runtime-spec runtime.md, "State" and "Lifecycle").

A status is derived from facts, never stored: whether the init process lives, whether it still waits for `start`, and
whether its cgroup is frozen. Pure.
"""

from .errors import NotPermitted

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

# command -> statuses in which it may run, and what the refusal says
_ALLOWED = {
    "start": ((CREATED,), "cannot start a container that is {status}"),
    "kill": ((CREATED, RUNNING, PAUSED), "container not running"),
    "delete": (
        (CREATED, STOPPED),
        "cannot delete container `{id}` that is not stopped but {status}; use --force, or stop it first",
    ),
    "delete --strict": ((STOPPED,), "cannot delete container `{id}` that is not stopped but {status}; stop it first"),
    "exec": ((CREATED, RUNNING), "cannot exec in a container that is {status}"),
    "pause": ((CREATED, RUNNING), "cannot pause a container that is {status}"),
    "resume": ((PAUSED,), "cannot resume a container that is {status}"),
    "checkpoint": ((RUNNING, PAUSED), "cannot checkpoint a container that is {status}"),
    "update": ((CREATED, RUNNING, PAUSED), "cannot update a container that is {status}"),
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


def require(command: str, status: str, container_id: str) -> None:
    """Raise NotPermitted unless a container in this status takes the command."""
    statuses, refusal = _ALLOWED[command]
    if status not in statuses:
        raise NotPermitted(refusal.format(status=status, id=container_id))
