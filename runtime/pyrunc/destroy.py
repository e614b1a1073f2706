"""The end of a container: its processes, its resources, the poststop hooks (runtime.md, "Delete").

Of `delete`, and of whatever else ends a container that was made: `run` with what it waited for, `start` whose hooks
fail, `checkpoint`. A create that fails undoes by the same walk what it has made itself (`resources`).
"""

from _signal import SIGKILL

from pyrunc.kernel.process import processes

from . import lifecycle
from .cgroup import events
from .container import Container
from .errors import PyruncError
from .resources import Resources
from .savedstate import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context

_MOMENT, _MOMENTS = 0.1, 100  # seconds, and how many, that a killed process gets to go; in some calls it does not


def destroy(context: "Context", container: Container, state: State) -> None:
    """Undo what create made and run the poststop hooks. The container is locked. What fails is raised, and the state
    stays."""
    was_alive = state.alive()
    Resources.from_journal(container, state, context.log.warning, was_alive=was_alive).undo(
        lambda: _end(context, container, state, was_alive=was_alive), lambda: _run_poststop(context, state)
    )


def _end(context: "Context", container: Container, state: State, *, was_alive: bool) -> None:
    """Kill what runs. Raises PyruncError if it does not die, or if it cannot be told whether it has."""
    if was_alive:
        if unreached := state.only_first_reached():
            context.log.warning(unreached)
        processes.signal(state.pid, state.start_time, SIGKILL)
        if not _ends(state):
            hint = "it may be stuck in uninterruptible sleep (state D), e.g. on an unreachable NFS server"
            raise PyruncError(f"process {state.pid} of container `{container.id}` could not be killed", hint=hint)
    elif why := state.why_unsure():
        # To forget a container that runs would be worse than to keep one that has ended.
        hint = f"if it has, e.g. with the machine that it ran on: remove the directory `{container.path}`"
        raise PyruncError(f"cannot tell whether container `{container.id}` has ended: {why}", hint=hint)


def _ends(state: State) -> bool:
    """Wait until the killed first process has ended, or has nothing left to do but to wait for others' zombies.

    The kernel keeps the first process of a pid namespace until all in it are reaped. What `exec --detach` has brought
    in is the child of who called that, who need not reap it soon, or at all.
    """
    if processes.wait_gone(state.pid, state.start_time, _MOMENT):
        return True
    for _ in range(_MOMENTS):
        if state.cgroup and events.empty(state.cgroup) and processes.ending(state.pid, state.start_time):
            return True
        if processes.wait_gone(state.pid, state.start_time, _MOMENT):
            return True
    return False


def _run_poststop(context: "Context", state: State) -> None:
    hooks = state.hooks("poststop")
    if not hooks:
        return
    from . import hooks as oci_hooks
    from .spec.annotations import hook_paths

    streams = -1, -1
    try:
        streams = oci_hooks.open_streams(hook_paths(state.annotations))
    except PyruncError as error:
        context.log.warning(str(error))
    value = state.spec_state(lifecycle.STOPPED)
    context.log.warnings(oci_hooks.run_all("poststop", hooks, value, environ=context.environment, streams=streams))
