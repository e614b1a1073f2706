"""pyrunc delete: remove what create made (runtime.md, "Delete")."""

from _signal import SIGKILL

from pyrunc import lifecycle, stateroot
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.cgroup import events
from pyrunc.cgroup import fs as cgroup_fs
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import NotFound, PyruncError
from pyrunc.kernel import procs
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
    """Kill what runs, undo what create made, run the poststop hooks, remove the state last. The container is locked."""
    was_alive = state.alive()
    if was_alive:
        if unreached := state.only_first_reached():
            context.log.warning(unreached)
        procs.signal(state.pid, state.start_time, SIGKILL)
        if not _ends(state):
            hint = "it may be in a call that cannot be interrupted (state D in ps), of a file server that is gone, say"
            raise PyruncError(f"process {state.pid} of container `{container.id}` does not die", hint=hint)
    elif why := state.why_unsure():
        # To forget a container that runs would be worse than to keep one that has ended.
        hint = f"if it has, with the machine or container that it ran in, say: remove the directory `{container.path}`"
        raise PyruncError(f"cannot tell whether container `{container.id}` has ended: {why}", hint=hint)
    if state.cgroup is not None or state.unit is not None:
        _remove_cgroup(context, state, was_alive=was_alive)
    elif (intent := state.data.get("cgroupIntent")) and not state.data.get("cgroupFound"):
        # create was killed before it knew whether it or another has made it
        cgroup_fs.remove_unused(str(intent))
    elif isinstance(unit := state.data.get("unitIntent"), list) and len(unit) == 3:
        from pyrunc.cgroup import manager, names

        manager.stop_unused(names.Unit(unit[0], unit[1]), unit[2])
    mounted = state.data.get("mounted")
    if isinstance(mounted, str) and mounted:
        from pyrunc.kernel import rootfs

        before = state.data.get("mountsBefore")
        rootfs.detach(mounted, before if isinstance(before, list) else [])
    for key in ("resctrlMonitor", "resctrlGroup"):
        if path := state.data.get(key) or state.data.get(f"{key}Intent"):
            from pyrunc.kernel import resctrl

            remove = resctrl.remove if state.data.get(key) else resctrl.remove_unused
            remove(str(path))
    hooks = state.hooks("poststop")
    if hooks:
        _run_poststop(context, state, hooks)
    container.remove()


def _ends(state: State) -> bool:
    """Wait until the killed first process has ended, or has nothing left to do but to wait for others' zombies.

    The kernel keeps the first process of a pid namespace until all in it are reaped. What `exec --detach` has brought
    in is the child of who called that, who need not reap it soon, or at all.
    """
    if procs.wait_gone(state.pid, state.start_time, _MOMENT):
        return True
    for _ in range(_MOMENTS):
        if state.cgroup is not None and events.empty(state.cgroup) and procs.ending(state.pid, state.start_time):
            return True
        if procs.wait_gone(state.pid, state.start_time, _MOMENT):
            return True
    return False


def _remove_cgroup(context: Context, state: State, *, was_alive: bool) -> None:
    """Remove the cgroup and kill what is in it; but not if the container's processes have all ended with its first one,
    as those of its own pid namespace do: another container may have been put there since."""
    from pyrunc.cgroup import manager, names

    cgroup = state.cgroup or ""
    unit = names.Unit(state.unit[0], state.unit[1]) if state.unit else None
    address, found = state.unit[2] if state.unit else "", bool(state.data.get("cgroupFound"))
    ended = not was_alive and state.data.get("privatePids") is True and unit is None and not events.frozen(cgroup)
    try:
        manager.remove(cgroup, unit, address, found=found, kill=not ended)
    except PyruncError:
        pids = cgroup_fs.processes(cgroup) if ended else []
        if not pids:
            raise
        context.log.warning(f"cgroup `{cgroup}` stays: process {pids[0]}, which is in it, is not this container's")


def _run_poststop(context: Context, state: State, hooks: "list[SavedHook]") -> None:
    from pyrunc import hooks as oci_hooks
    from pyrunc.spec.annotations import hook_paths

    streams = -1, -1
    try:
        streams = oci_hooks.open_streams(hook_paths(state.data.get("annotations")))
    except PyruncError as error:
        context.log.warning(str(error))
    value = state.spec_state(lifecycle.STOPPED)
    for warning in oci_hooks.run_all("poststop", hooks, value, environ=context.environment, streams=streams):
        context.log.warning(warning)
