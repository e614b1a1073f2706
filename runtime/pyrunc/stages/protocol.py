"""The conversation between `pyrunc create` and the processes it makes, over one socket pair of type SEQPACKET.

    parent                                 init                                    later: pyrunc-init
      | clone3 ------------------------------>|
      |<----------------- "ready-for-maps" ---|   only with a new user namespace
      | writes uid_map, gid_map               |
      |------------------------------ "go" -->|   oom_score_adj and the like are set by now
      |                                       | joins namespaces, mounts
      |<------------------------ "mounted" ---|
      | prestart, createRuntime hooks         |
      |---------------------- "continue" ---->|
      |                                       | createContainer hooks, pivot_root, the rest
      |<------------------------ "console" ---|   only with a terminal; carries the pty
      |                                       | execveat ------------------------------>|
      |<-------------------------------------------------------------------- "limits" ---|   only with rlimits
      |------------------------------------------------------------------------- "." -->|
      |                                       |                                         | becomes the user
      |<------------------------------------------------------------------- "created" ---|
      | saves the state                       |                                         |
      |------------------------------------------------------------------------- "." -->|
      |                                                                waits on exec.fifo|

A message is one packet: a word from the list below, followed for some by a space and JSON. "error" may come in place of
any message of init's and ends the conversation; pyrunc-init sends a record of its failed step instead
(`record.error_of`). A "warning" may come before any. The end of the stream is always a failure. The parent asks for
what the plan predicts and takes nothing else.
"""

import _socket
import sys
from _struct import calcsize, unpack

from pyrunc import jsontext
from pyrunc.errors import PyruncError

from . import record

READY_FOR_MAPS, GO, MOUNTED, CONTINUE, CONSOLE = "ready-for-maps", "go", "mounted", "continue", "console"
LIMITS, CREATED, ERROR, WARNING, INIT_PID = "limits", "created", "error", "warning", "init-pid"
COMMIT = b"."
_LARGEST = 64 << 10


class Channel:
    """One end of the conversation."""

    __slots__ = ("_socket", "fds", "warnings")

    def __init__(self, sock: "_socket.socket") -> None:
        self._socket = sock
        self.fds: list[int] = []  # received with the last message
        self.warnings: list[str] = []  # received before one that was expected

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def send(self, word: str, value: object = None, fds: "tuple[int, ...]" = ()) -> None:
        """Send a message, with file descriptors."""
        data = word.encode() if value is None else f"{word} {jsontext.dumps(value)}".encode()
        rights = b"".join(fd.to_bytes(4, _BYTE_ORDER) for fd in fds)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
        try:
            self._socket.sendmsg([data], control, _socket.MSG_NOSIGNAL)
        except OSError as error:
            raise PyruncError.from_os(f"tell the other process `{word}`", error) from None

    def send_failure(self, error: BaseException, doing: str, who: str) -> None:
        """Send whatever ended a child's work, the last message of this side: nothing may pass on into the code that the
        child was cloned from. `doing` says what a system call was for, `who` which process met what nobody thought of.
        """
        if isinstance(error, OSError):
            where = f" `{error.filename}`" if error.filename else ""
            error = PyruncError.from_os(f"{doing}{where}", error)
        elif not isinstance(error, PyruncError):
            error = PyruncError(f"internal error in {who}: {type(error).__name__}: {error}")
        self.send_error(error)

    def send_error(self, error: PyruncError) -> None:
        """Send an error as a value; the last message of this side."""
        self.send(ERROR, error.to_wire())

    def acknowledge(self) -> None:
        """Tell pyrunc-init, which reads no more than a byte, that what it waits for is done. PeerGone if it is gone."""
        try:
            self._socket.send(COMMIT)
        except BrokenPipeError:
            raise PeerGone("the process was killed before it ran its program") from None

    def receive(self) -> bytes:
        """The next message as it came; empty at the end of the conversation."""
        message, control, _, _ = self._socket.recvmsg(_LARGEST, 1024, _socket.MSG_CMSG_CLOEXEC)
        self.fds = [
            int.from_bytes(data[i : i + 4], _BYTE_ORDER)
            for level, kind, data in control
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
            for i in range(0, len(data), 4)
        ]
        return message

    def expect(self, word: str, doing: str) -> object:
        """Wait for this message and no other; its value. `doing` says what the other side is at, for the error."""
        message = self._receive_good(doing)
        got, _, value = message.decode("utf-8", "replace").partition(" ")
        parsed = jsontext.loads(value, f"message `{got}`") if value else None
        if got != word:
            raise PyruncError(f"container init said `{got}` while {doing}, where `{word}` is due")
        return parsed

    def expect_pid(self, doing: str) -> int:
        """Wait for the pid, one word, that pyrunc-init tells when it has made a child to go on as (`record.SPLIT`)."""
        message = self._receive_good(doing)
        if len(message) != calcsize("@l"):
            raise PyruncError(f"container init said `{message.decode('utf-8', 'replace')}` where a pid is due")
        (pid,) = unpack("@l", message)
        return int(pid)

    def _receive_good(self, doing: str) -> bytes:
        """The next message that is neither a warning, which is kept, nor an error, which is raised."""
        message = self.receive()
        if not message:
            raise PeerGone(f"container init exited while {doing}")
        if record.is_record(message):
            raise record.error_of(message)
        word, _, value = message.partition(b" ")
        if word == WARNING.encode():
            self.warnings.append(str(jsontext.loads(value, "the message `warning`")))
            return self._receive_good(doing)
        parsed = jsontext.loads(value, "the message `error`") if word == ERROR.encode() else None
        if isinstance(parsed, dict):
            raise PyruncError.from_wire(parsed)
        return message


class PeerGone(PyruncError):
    """The other side closed the conversation; why is for the parent to find out from its exit status."""


_BYTE_ORDER = sys.byteorder


def pair() -> "tuple[Channel, Channel]":
    """Both ends of a new conversation, close-on-exec."""
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    one, other = _socket.socketpair(_socket.AF_UNIX, kind)
    return Channel(one), Channel(other)
