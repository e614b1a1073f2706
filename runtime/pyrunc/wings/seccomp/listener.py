"""Handing a seccomp listener to the agent at `linux.seccomp.listenerPath` (config-linux.md, "Seccomp").

The filter is loaded by init, in the last moment before its execve, and its listener is a descriptor of init's. It is
fetched from there by the command that lets the program run, pidfd_getfd(2) (Linux 5.6), while init waits for it to be
done: init itself needs no connection, no sendmsg(2) and no second process inside the container, so the profile may deny
or notify all of these. The listener is close-on-exec: the program never has it.
"""

from pyrunc import jsontext
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls, unixsocket
from pyrunc.kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FD_NAME = "seccompFd"  # the spec's name for the descriptor's place in `fds`


def process_state(state: "dict[str, object]", pid: int, metadata: "str | None") -> bytes:
    """The container process state as JSON. state: of the container, as the spec has it; pid: of the filtered process,
    in the pid namespace of the runtime; metadata: `listenerMetadata`."""
    content: dict[str, object] = {"ociVersion": state["ociVersion"], "fds": [_FD_NAME], "pid": pid}
    if metadata is not None:
        content["metadata"] = metadata
    content["state"] = state
    return jsontext.dump_bytes(content)


def hand_over(pidfd: int, number: int, path: str, content: bytes) -> None:
    """Send `content` and descriptor `number` of the process `pidfd` in one message on a connection of its own."""
    try:
        listener = syscalls.pidfd_getfd(pidfd, number)
    except OSError as error:
        raise PyruncError.from_os("take the seccomp listener from the container's process", error) from None
    with opened(listener):
        unixsocket.send_descriptor(path, listener, content, "seccomp listener socket")


def give_to_agent(agent: "Sequence[str | None]", pid: int, number: int, state: "dict[str, object]") -> None:
    """Hand over descriptor `number` of process `pid`, of a container whose state this is, to an agent, given as
    (listenerPath, listenerMetadata). PyruncError if there is none."""
    path, metadata = agent or (None, None)
    if path is None:
        raise PyruncError("unexpected message from the container's process")
    with opened(syscalls.pidfd_open(pid)) as pidfd:
        hand_over(pidfd, number, path, process_state(state, pid, metadata))
