"""pyrunc delete: remove what create made (runtime.md, "Delete")."""

from _signal import SIGKILL

from pyrunc import lifecycle, stateroot
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.cgroup import events
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import NotFound, PyruncError
from pyrunc.kernel.process import processes
from pyrunc.resources import Resources
from pyrunc.savedstate import SavedHook, State

VERB = Verb(
    "delete a container and all that belongs to it",
    ("ID",),
    (
        Option("force", "kill it first if it runs; succeed if there is none", short="f"),
        Option("regex", "ID is a regular expression: all containers in whose ids it is found", short="r"),
        Option("strict", "only a stopped container, as the specification has it (a created one needs no --force else)"),
    ),
)

_MOMENT, _MOMENTS = 0.1, 100  # seconds, and how many, that a killed process gets to go; in some calls it does not


def run(context: Context, arguments: Arguments) -> int:
    """Delete."""
    if arguments.flag("regex"):
        from . import several

        several.each(context, arguments.operands[0], lambda name: _delete(context, arguments, name))
    else:
        _delete(context, arguments, arguments.operands[0])
    return 0


def _delete(context: Context, arguments: Arguments, container_id: str) -> None:
    force = arguments.flag("force")
    try:
        container = Container.open(context.root, container_id)
        if not force:
            container.lock()
        elif not container.try_lock():
            from . import takeover

            takeover.lock(container)
    except NotFound:
        if force:
            stateroot.collect(context.root)
            return
        raise
    state = container.load_surely(container.load_or_journal() if force else container.load())
    if not force:
        status = container.status(state)
        if status == lifecycle.CREATING:  # we hold the lock, so nobody is creating it: create was killed
            status = lifecycle.CREATED
        lifecycle.require("delete --strict" if arguments.flag("strict") else "delete", status, container.id)
    destroy(context, container, state)


def destroy(context: Context, container: Container, state: State) -> None:
    """Undo what create made, run the poststop hooks, remove the state last. The container is locked. What fails is
    raised, and the state stays."""
    was_alive = state.alive()
    resources = Resources.from_journal(state, context.log.warning, was_alive=was_alive)
    resources.undo(lambda: _end(context, container, state, was_alive=was_alive))
    hooks = state.hooks("poststop")
    if hooks:
        _run_poststop(context, state, hooks)
    container.remove()


def _end(context: Context, container: Container, state: State, *, was_alive: bool) -> None:
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
        hint = f"if it has, with the machine or container that it ran in, say: remove the directory `{container.path}`"
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


def _run_poststop(context: Context, state: State, hooks: "list[SavedHook]") -> None:
    from pyrunc import hooks as oci_hooks
    from pyrunc.spec.annotations import hook_paths

    streams = -1, -1
    try:
        streams = oci_hooks.open_streams(hook_paths(state.annotations))
    except PyruncError as error:
        context.log.warning(str(error))
    value = state.spec_state(lifecycle.STOPPED)
    for warning in oci_hooks.run_all("poststop", hooks, value, environ=context.environment, streams=streams):
        context.log.warning(warning)
