"""pyrunc start: let a created container run its program (runtime.md, "Start")."""

import posix
import select
from _signal import SIGKILL
from _stat import S_ISFIFO
from errno import ENXIO

from pyrunc import lifecycle
from pyrunc.arguments import Arguments, Verb
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import processes
from pyrunc.savedstate import SavedHook, State
from pyrunc.stages.conversation import Ending
from pyrunc.stages.step_report import NotExecuted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.wings.systemd.notify import Proxy

VERB = Verb("start the program of a created container", ("ID",))

_LOOK_AGAIN = 1000  # milliseconds


def run(context: Context, arguments: Arguments) -> int:
    """Start, then run the poststart hooks."""
    container = Container.open(context.root, arguments.operands[0])
    container.lock()
    proxy = start(context, container)
    if proxy is not None:
        pid = container.load().pid
        container.unlock()  # whoever waits for a service to be ready must be able to kill it
        proxy.wait(pid)
        proxy.close()
    return 0


def start(context: Context, container: Container) -> "Proxy | None":
    """Start a locked container. Raises what init met on its way to the program.

    The proxy for what the container tells the service manager, if one listens to us.
    """
    state = container.load()
    lifecycle.require("start", container.status(state), container.id)
    if not state.has_process:
        raise PyruncError(f"container `{container.id}` has no process to start", pointer="/process")
    proxy = _proxy(context, container) if b"NOTIFY_SOCKET" in context.environment and container.has("notify") else None
    try:
        _release(container, state)
    except NotExecuted as error:
        error.explain(state.rootfs, lambda: container.read("config.json"))
        raise
    except OSError as error:
        raise PyruncError.from_os(f"start container `{container.id}`", error) from None
    hooks = state.hooks("poststart")
    if hooks:
        _poststart(context, container, state, hooks)
    return proxy


def _proxy(context: Context, container: Container) -> "Proxy | None":
    from pyrunc.wings.systemd import notify

    host = notify.host_address(context.environment)
    if not host:
        return None
    notify.check(host)  # nobody would take the report that we wait for
    return notify.Proxy(container.fd, host)


def _release(container: Container, state: State) -> None:
    """Write the byte that init waits for, and read how the exec went."""
    result, fifo = _open_gates(container, state)
    posix.write(fifo, b".")
    way = _read_result(result, fifo, state)
    posix.close(fifo)
    posix.close(result)
    # Whose parent has reaped it already is left to that parent to tell of: it may have been a short program.
    end = processes.ending(state.pid, state.start_time)
    if error := way.error(f"the first process of container `{container.id}`", end):
        if not way.failed:
            # A `start` that was killed can have let it go as far as its wait for a seccomp agent; it must not run
            # without.
            processes.signal(state.pid, state.start_time, SIGKILL)
        raise error
    posix.unlink("exec.fifo", dir_fd=container.fd)
    posix.unlink("exec.result", dir_fd=container.fd)


def _open_gates(container: Container, state: State) -> "tuple[int, int]":
    """(exec.result to read, exec.fifo to write). Each must be a fifo whose other end is held, as init holds those that
    create made: from what was put in their place no answer would come."""
    name = "exec.result"
    try:
        posix.close(_open_gate(container, name, posix.O_WRONLY))
        result = _open_gate(container, name, posix.O_RDONLY)
        name = "exec.fifo"
        return result, _open_gate(container, name, posix.O_WRONLY)
    except OSError as error:
        if error.errno != ENXIO:
            raise PyruncError.from_os(f"start container `{container.id}`: open `{name}`", error) from None
        if state.alive():
            raise _not_the_gate(container, name) from None
        raise PyruncError(f"container `{container.id}` stopped before it was started") from None


def _open_gate(container: Container, name: str, flags: int) -> int:
    fd = posix.open(name, flags | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=container.fd)
    if S_ISFIFO(posix.fstat(fd).st_mode):
        return fd
    posix.close(fd)
    raise _not_the_gate(container, name)


def _not_the_gate(container: Container, name: str) -> PyruncError:
    text = f"start container `{container.id}`: `{container.path}/{name}` is not the fifo that create made"
    return PyruncError(text, hint="`pyrunc delete --force` removes the container")


def _read_result(result: int, fifo: int, state: State) -> Ending:
    """All that init writes until it is another program (which closes its end) or is gone.

    If it tells of a seccomp listener, that goes to the agent, and init may go on.
    """
    poll = select.poll()
    poll.register(result, select.POLLIN)
    way = Ending()
    while True:
        if not poll.poll(_LOOK_AGAIN):  # the end of the stream says it all, unless a stranger holds the fifo, too
            if state.alive():
                continue
            return way
        piece = posix.read(result, 4096)
        if not piece:
            return way
        number = way.take(piece)
        if number is not None:
            from pyrunc.wings.seccomp import listener

            listener.give_to_agent(state.listener, state.pid, number, state.spec_state(lifecycle.CREATED))
            posix.write(fifo, b".")


def _poststart(context: Context, container: Container, state: State, hooks: "list[SavedHook]") -> None:
    """runtime.md: if a poststart hook fails, the container is stopped and deleted, and the error is ours."""
    from pyrunc import hooks as oci_hooks
    from pyrunc.spec.annotations import hook_paths

    try:
        streams = oci_hooks.open_streams(hook_paths(state.annotations))
        value = state.spec_state(lifecycle.RUNNING)
        oci_hooks.run("poststart", hooks, value, environ=context.environment, streams=streams)
    except PyruncError:
        from pyrunc.destroy import destroy

        destroy(context, container, state)
        raise
