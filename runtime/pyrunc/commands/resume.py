"""pyrunc resume: resume a paused container."""

from pyrunc.arguments import Arguments, Verb
from pyrunc.context import Context

from .pause import open_for

VERB = Verb("resume a paused container", ("ID",))


def run(context: Context, arguments: Arguments) -> int:
    """Thaw."""
    container, _, cgroup = open_for(context, arguments, "resume")
    from pyrunc.cgroup import limits

    limits.thaw(cgroup)
    container.unlock()
    return 0
