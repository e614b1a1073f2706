"""pyrunc run: create, start, and (unless detached) stay until the container's program ends."""

import _prctl

from pyrunc import ending
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.context import Context
from pyrunc.destroy import destroy
from pyrunc.errors import NotFound
from pyrunc.kernel import descriptors
from pyrunc.stages import announce
from pyrunc.wings import foreground

from . import create
from .start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container import Container
    from pyrunc.stages.making import Making

VERB = Verb(
    "create and start a container, and wait for it to exit",
    ("ID",),
    (
        *create.OPTIONS,
        Option("detach", "return and leave the container running", short="d"),
        Option("keep", "do not delete the container after it exits"),
    ),
)


def run(context: Context, arguments: Arguments) -> int:
    """The exit status is the program's, or 128 and the signal that ended it."""
    detach = arguments.flag("detach")
    if not detach:
        _prctl.prctl(_prctl.PR_SET_CHILD_SUBREAPER, 1)  # daemons of the container become ours to reap
    container, made = create.create(context, arguments, detach=detach)
    return stay(context, arguments, container, made, started=False)


def stay(context: Context, arguments: Arguments, container: "Container", made: "Making", *, started: bool) -> int:
    """Start a locked container that is ours and, unless --detach is given, attend it to its end and delete it; the exit
    status. started: its program runs (restore). If anything fails it is deleted, too."""
    status = 1
    try:
        ending.release()  # those that came since create was done
        signals = None if arguments.flag("detach") else foreground.Signals()
        proxy = None if started else start(context, container)
        container.unlock()  # others may look at it, signal it and, by force, delete it meanwhile
        if signals is None:
            if proxy is not None:
                proxy.wait(made.pid)
            return 0
        status = foreground.attend(made.pid, signals, made.terminal, proxy)
        container.lock()
    except NotFound:  # deleted by somebody else while it ran: nothing is left to do
        return status
    except BaseException:
        ending.hold()
        descriptors.free_reserve()
        if arguments.text("pid-file"):
            announce.remove_pid_file(arguments.text("pid-file"))
        if container.exists():
            destroy(context, container, container.load())
        raise
    if not arguments.flag("keep"):
        destroy(context, container, container.load())
    return status
