"""pyrunc kill: send a signal to a container's first process (runtime.md, "Kill")."""

from _signal import SIGKILL

from pyrunc import lifecycle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.cgroup import cgroupfs as cgroup_fs
from pyrunc.cgroup import events
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import NotPermitted
from pyrunc.kernel.process import processes, signals

VERB = Verb(
    "send a signal (SIGTERM if none is named) to a container",
    ("ID", "[SIGNAL]"),
    (
        Option("all", "signal all processes of the container; succeed if none is left", short="a"),
        Option("regex", "ID is a regular expression; select all containers whose id matches", short="r"),
    ),
)


def run(context: Context, arguments: Arguments) -> int:
    """Send it. Takes no lock: podman kills containers whose start hangs."""
    number = signals.number(arguments.operands[1] if len(arguments.operands) > 1 else "SIGTERM")
    if arguments.flag("regex"):
        from . import several

        several.each(context, arguments.operands[0], lambda name: _kill(context, name, number, arguments.flag("all")))
    else:
        _kill(context, arguments.operands[0], number, arguments.flag("all"))
    return 0


def _kill(context: Context, container_id: str, number: int, everything: bool) -> None:
    container = Container.open(context.root, container_id)
    state = container.load()
    status, shared = container.status(state), state.private_pids is False
    if (status, number, shared) == (lifecycle.STOPPED, SIGKILL, True) and state.cgroup:
        everything = everything or events.populated(state.cgroup)  # what its first process has left, as runc does
    lifecycle.require("kill --all" if everything else "kill", status, container.id)
    unreached = state.only_first_reached()
    if unreached and (everything or number == SIGKILL):
        context.log.warning(unreached)
    if everything:
        _all(state.cgroup, number, state.pid, state.start_time)
        return
    if not processes.signal(state.pid, state.start_time, number):
        raise NotPermitted("container not running")
    if number == SIGKILL and state.cgroup and shared:
        cgroup_fs.kill(state.cgroup)  # without a pid namespace its other processes would live on


def _all(cgroup: str, number: int, pid: int, start_time: int) -> None:
    if not cgroup:
        processes.signal(pid, start_time, number)
    elif number == SIGKILL:
        cgroup_fs.kill(cgroup)
    else:
        cgroup_fs.signal(cgroup, number)
