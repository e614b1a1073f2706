"""pyrunc pause: freeze all processes of a container."""

from pyrunc import lifecycle
from pyrunc.arguments import Arguments, Verb
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.savedstate import State

VERB = Verb("stop all processes of a container until it is resumed", ("ID",))


def run(context: Context, arguments: Arguments) -> int:
    """Freeze; it is done when the command returns."""
    container, _, cgroup = open_for(context, arguments, "pause")
    from pyrunc.cgroup import limits

    try:
        limits.freeze(cgroup)
    except BaseException:
        limits.thaw(cgroup)
        raise
    container.unlock()
    return 0


def open_for(context: Context, arguments: Arguments, command: str) -> "tuple[Container, State, str]":
    """The container that the first operand names, locked, in a status that takes the command; and its cgroup."""
    container = Container.open(context.root, arguments.operands[0])
    container.lock()
    state = container.load()
    lifecycle.require(command, container.status(state), container.id)
    return container, state, state.own_cgroup(command)
