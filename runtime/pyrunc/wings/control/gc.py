"""pyrunc gc: remove what commands that were killed, or ended by a crash of the machine, have left below the state root.

That is: containers whose create did not come to its end, those whose first process has ended while it waited for
`start`, and those of an earlier boot, with all that their journals name (processes in their cgroups, cgroup or scope,
mounts, resctrl groups); and what is left of directories that were being made or removed. A container that has run and
stopped is kept for whoever asks for its state; one that lives, or on which a command is at work, is not touched.
"""

from pyrunc import stateroot
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.commands import several
from pyrunc.commands.list import names
from pyrunc.container import Container
from pyrunc.context import Context, print_json, print_lines
from pyrunc.destroy import destroy
from pyrunc.errors import PyruncError, printable
from pyrunc.kernel.descriptors import opened
from pyrunc.savedstate import State

VERB = Verb(
    "remove what killed commands have left",
    (),
    (
        Option("dry-run", "only tell what would be removed", short="n"),
        Option("json", "print it as JSON"),
    ),
)

_UNFINISHED = "its create did not come to its end"
_NOT_STARTED = "its first process ended before it was started"
_PAST = "the machine has been booted since it was created"
_LEFT = "a command was killed while it made or removed it"


def run(context: Context, arguments: Arguments) -> int:
    """Collect, and print a line for each container that is removed. Raises what could not be, when all were tried."""
    collected, dry = list[dict[str, str]](), arguments.flag("dry-run")

    def collect(name: str) -> None:
        if why := _collect(context, name, dry=dry):
            collected.append({"id": name, "reason": why})

    failed = several.failures(names(context), collect)
    left = stateroot.collect(context.root, dry=dry)
    collected += [{"directory": f"{context.root}/{name}", "reason": _LEFT} for name in left]
    if arguments.flag("json"):
        print_json(collected)
    else:
        print_lines([f"{printable(entry.get('id') or entry['directory'])}: {entry['reason']}" for entry in collected])
    if failed:
        raise PyruncError(failed)
    return 0


def _collect(context: Context, name: str, *, dry: bool) -> str:
    """Why the container is (or would be) removed; "" if it is kept."""
    container = Container.open(context.root, name)
    with opened(container.fd):
        if not container.is_ours() or not container.try_lock():  # a root like /run has others' directories, too
            return ""
        state = container.load_surely(container.load_or_journal())
        why = "" if state.alive() else _why(container, state)
        if why and not dry:
            destroy(context, container, state)
        return why


def _why(container: Container, state: State) -> str:
    if state.past:
        return _PAST
    if not state.saved:
        return _UNFINISHED
    return _NOT_STARTED if state.has_process and container.has("exec.fifo") else ""
