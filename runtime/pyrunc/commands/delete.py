"""pyrunc delete: remove what create made (runtime.md, "Delete")."""

from pyrunc import lifecycle, stateroot
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.destroy import destroy
from pyrunc.errors import NotFound

VERB = Verb(
    "delete a container and everything that belongs to it",
    ("ID",),
    (
        Option("force", "kill a running container first; succeed if it does not exist", short="f"),
        Option("regex", "ID is a regular expression; select all containers whose id matches", short="r"),
        Option("strict", "delete only a stopped container, as the specification has it"),
    ),
)


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
