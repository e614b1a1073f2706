"""pyrunc resume: resume a paused container."""

from pyrunc.arguments import Arguments, Verb
from pyrunc.container import Container
from pyrunc.context import Context

VERB = Verb("resume a paused container", ("ID",))


def run(context: Context, arguments: Arguments) -> int:
    """Thaw."""
    container, state = Container.open_for("resume", context.root, arguments.operands[0])
    cgroup = state.own_cgroup("resume")
    from pyrunc.cgroup import limits

    limits.thaw(cgroup)
    container.unlock()
    return 0
