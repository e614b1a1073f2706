"""pyrunc state: print the state of a container (runtime.md, "Query State")."""

from pyrunc import lifecycle
from pyrunc.arguments import Arguments, Verb
from pyrunc.container import Container
from pyrunc.context import Context, print_json

VERB = Verb("print the state of a container as JSON", ("ID",))


def run(context: Context, arguments: Arguments) -> int:
    """Print it. Takes no lock: a hook may ask while `create` or `start` holds it."""
    context.confine()
    container = Container.open(context.root, arguments.operands[0])
    state = container.load()
    status = container.status(state)
    value = state.spec_state(status)
    value["pid"] = 0 if status == lifecycle.STOPPED else state.pid
    for key, known in (("rootfs", state.rootfs), ("created", state.created)):
        if known:
            value[key] = known
    value["owner"] = container.owner()
    print_json(value, indented=True)
    return 0
