"""pyrunc pause: freeze all processes of a container."""

from pyrunc.arguments import Arguments, Verb
from pyrunc.container import Container
from pyrunc.context import Context

VERB = Verb("pause all processes of a container", ("ID",))


def run(context: Context, arguments: Arguments) -> int:
    """Freeze; it is done when the command returns."""
    container, state = Container.open_for("pause", context.root, arguments.operands[0])
    cgroup = state.own_cgroup("pause")
    from pyrunc.cgroup import limits

    try:
        limits.freeze(cgroup)
    except BaseException:
        limits.thaw(cgroup)
        raise
    container.unlock()
    return 0
