"""One end of a conversation (`conversation` draws it and has its words): messages over a socket, with descriptors."""

import _socket
import posix
import sys
from _struct import unpack_from

from pyrunc import jsontext
from pyrunc.errors import PyruncError, place, without_room

from . import step_report
from .conversation import DONE, ENTERED, ERROR, FAILURE, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GONE = (BrokenPipeError, ConnectionResetError)  # the latter if it has not read all that we sent before
_LARGEST = 64 << 10
CLONE_CHECKS = "privileges system-calls user-namespaces namespaces"  # that may know why a clone has failed


class Channel:
    """One end of the conversation."""

    __slots__ = ("_socket", "fds", "sender", "warnings", "watch")

    def __init__(self, sock: "_socket.socket") -> None:
        self._socket = sock
        self.fds: list[int] = []  # received with the last message
        self.warnings: list[str] = []  # received before one that was expected
        self.sender = 0  # who has sent that, in our pid namespace
        self.watch: Callable[[], None] = lambda: None  # called each second in which no message comes

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def send(self, word: bytes, value: object = None, fds: "tuple[int, ...]" = ()) -> None:
        """Send a message, with file descriptors."""
        data = word if value is None else word + b" " + jsontext.dump_bytes(value)
        rights = b"".join(fd.to_bytes(4, _BYTE_ORDER) for fd in fds)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
        try:
            self._socket.sendmsg([data], control, _socket.MSG_NOSIGNAL)
        except _GONE:
            raise PeerGone(f"container init exited before it was told `{word.decode()}`") from None
        except OSError as error:
            raise PyruncError.from_os(f"tell the other process `{word.decode()}`", error) from None

    def send_failure(self, error: BaseException, doing: str, who: str, check: str = "") -> None:
        """Send whatever ended a child's work, the last message of this side: nothing may pass on into the code that the
        child was cloned from. `doing` says what a system call was for, `who` which process met what nobody thought of.
        """
        if isinstance(error, OSError):
            error = PyruncError.from_os(f"{doing}: {place(error)}", error, check=check)
        elif isinstance(error, (ImportError, MemoryError)):
            error = without_room(error, doing)
        elif not isinstance(error, PyruncError):
            error = PyruncError(f"internal error in {who}: {type(error).__name__}: {error}")
        self.send_error(error)

    def send_error(self, error: PyruncError) -> None:
        """Send an error as a value; the last message of this side."""
        self.send(ERROR, error.to_wire())

    def acknowledge(self) -> None:
        """Tell pyrunc-init, which reads no more than a byte, that what it waits for is done. PeerGone if it is gone."""
        try:
            self._socket.send(DONE)
        except _GONE:
            raise PeerGone("the container's process was killed before it ran its program") from None

    def receive(self) -> bytes:
        """The next message as it came; empty at the end of the conversation."""
        while True:
            try:
                message, control, _, _ = self._socket.recvmsg(_LARGEST, 1024, _socket.MSG_CMSG_CLOEXEC)
                break
            except TimeoutError:  # of `pair`
                self.watch()
            except ConnectionResetError:  # it ended and had not read all that we sent; what it sent comes next
                continue
        self.fds = []
        for level, kind, data in control:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                self.fds += [int.from_bytes(data[i : i + 4], _BYTE_ORDER) for i in range(0, len(data), 4)]
            elif (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS):
                (self.sender,) = unpack_from("@i", data)  # struct ucred: pid, uid, gid
        return message

    def expect(self, word: bytes, doing: str) -> object:
        """Wait for this message and no other; its value. `doing` says what the other side is at, for the error."""
        got, _, value = self._receive_good(doing).partition(b" ")
        if got != word:
            text = f"unexpected message `{got.decode('utf-8', 'replace')}` from container init while {doing}"
            raise PyruncError(f"{text} (expected `{word.decode()}`)")
        return jsontext.loads(value, f"message `{word.decode()}`") if value else None

    def expect_child(self, doing: str, maker: int = 0) -> int:
        """Wait for "entered", from a process that is our child but was cloned by another; its pid, from the kernel.

        maker: who is to clone it. A seccomp profile can let its clone(2) look as if it were the child.
        """
        self.expect(ENTERED, doing)
        if maker and self.sender == maker:
            raise PyruncError("the seccomp profile makes clone(2) succeed but do nothing", pointer="/linux/seccomp")
        try:
            posix.waitid(posix.P_PID, self.sender, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
        except ChildProcessError:  # it is in no pid namespace of ours (0), or somebody has got hold of the other end
            text = f"unexpected message while {doing}, from process {self.sender}, which this command did not make"
            raise PyruncError(text) from None
        return self.sender

    def _receive_good(self, doing: str) -> bytes:
        """The next message that is neither a warning, which is kept, nor an error, which is raised."""
        message = self.receive()
        if not message:
            raise PeerGone(f"container init exited while {doing}")
        word, _, value = message.partition(b" ")
        if word == FAILURE:
            raise step_report.error_of(value)
        if word == WARNING:
            self.warnings.append(str(jsontext.loads(value, "the message `warning`")))
            return self._receive_good(doing)
        parsed = jsontext.loads(value, "the message `error`") if word == ERROR else None
        if isinstance(parsed, dict):
            raise PyruncError.from_wire(parsed)
        return message


class PeerGone(PyruncError):
    """The other side closed the conversation; why is for the parent to find out from its exit status."""


_BYTE_ORDER = sys.byteorder


def pair() -> "tuple[Channel, Channel]":
    """Both ends of a new conversation, close-on-exec: ours, and that of the processes that we make."""
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    one, other = _socket.socketpair(_socket.AF_UNIX, kind)
    one.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    one.settimeout(1)
    return Channel(one), Channel(other)
