"""The proxy for sd_notify(3): the container reports to a socket of ours, and we report to the service manager.

The container gets a directory with one datagram socket, bound on /run/notify, and its path in NOTIFY_SOCKET (as runc
has it); what it says does not reach the host, but for the fact that it is ready. So a container cannot name another
main process to the service manager, or watch its clock for it.

    create       make_directory, mount, VARIABLE      the socket does not exist yet
    start, run   Proxy(...) before the program is let go; then wait, or `wings.foreground` asks it
"""

import _socket
import posix
import select
import sys

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls, unixsocket
from pyrunc.kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTORY, _NAME = "notify", "notify.sock"
_DESTINATION = "/run/notify"
VARIABLE = f"NOTIFY_SOCKET={_DESTINATION}/{_NAME}"

_READY = b"READY=1"
_BARRIER_PATIENCE = 30_000  # milliseconds, as systemd-notify(1) and runc wait
_LARGEST = 4096  # bytes of a datagram that are looked at


def host_address(environ: "Mapping[bytes, bytes]") -> str:
    """Where the service manager listens: an absolute path or "@NAME"; "" without one, or for another kind (vsock)."""
    address = environ.get(b"NOTIFY_SOCKET", b"").decode("utf-8", "surrogateescape")
    return address if address[:1] in ("/", "@") else ""


def check(host: str) -> None:
    """Raise PyruncError if nobody listens there."""
    _connect(host).close()


def _connect(host: str) -> "_socket.socket":
    return unixsocket.connect(host, "notify socket of the service manager", _socket.SOCK_DGRAM)


def make_directory(state: int) -> None:
    """Make the directory that the container gets, in the state directory that `state` is a descriptor of."""
    try:
        posix.mkdir(_DIRECTORY, 0o755, dir_fd=state)
        posix.chmod(_DIRECTORY, 0o755, dir_fd=state)  # whatever the umask: the container's user goes through it
    except OSError as error:
        raise PyruncError.from_os("make the directory for the notify socket", error) from None


def mount(state_path: str) -> "tuple[str, str, tuple[str, ...]]":
    """(source, destination, options) of the bind mount that shows the directory to the container."""
    return f"{state_path}/{_DIRECTORY}", _DESTINATION, ("bind", "nosuid", "noexec", "nodev", "ro")


class Proxy:
    """The container's notify socket, and the way to the service manager."""

    __slots__ = ("_host", "_socket")

    def __init__(self, state: int, host: str) -> None:
        """Bind the socket in the container's state directory; `host` is what `host_address` gave."""
        self._host = host
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            directory = posix.open(_DIRECTORY, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW, dir_fd=state)
            # For every user in the container, by the umask: a chmod would follow what has taken the name meanwhile.
            before = posix.umask(0)
            try:
                self._socket.bind(f"/proc/self/fd/{directory}/{_NAME}")
            finally:
                posix.umask(before)
                posix.close(directory)
        except OSError as error:
            self._socket.close()
            raise PyruncError.from_os("bind the container's notify socket", error) from None

    def fileno(self) -> int:
        """The descriptor to poll; readable: call `receive`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening; the name goes with the state directory."""
        self._socket.close()

    def receive(self) -> bool:
        """Take one message; whether it says that the container is ready. Never blocks."""
        try:
            message = self._socket.recv(_LARGEST, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return _READY in message.split(b"\n")

    def wait(self, pid: int) -> bool:
        """Wait until the container is ready, and report it with its main process; False if that ends before.

        For commands that end while the container runs. The service manager has taken the report when this returns.
        """
        with opened(syscalls.pidfd_open(pid)) as pidfd:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.register(pidfd, select.POLLIN)
            while True:
                events = dict(poll.poll())
                if self.fileno() in events and self.receive():
                    self.report(pid)
                    return True
                if self.fileno() not in events:  # nothing left that it said before its end
                    return False

    def report(self, main_pid: int = 0) -> None:
        """Report READY; with `main_pid` also the process to watch after we are gone, and wait until that is read."""
        host = _connect(self._host)
        try:
            host.send(_READY + b"\n")
            if main_pid:
                host.send(b"MAINPID=%d\n" % main_pid)
                _barrier(host)
        except OSError as error:
            raise PyruncError.from_os(f"report to the service manager at `{self._host}`", error) from None
        finally:
            host.close()


def _barrier(host: "_socket.socket") -> None:
    """sd_notify_barrier(3): the other side closes the pipe's end once it has read all before. An old one ignores it."""
    done, sent = posix.pipe2(posix.O_CLOEXEC)
    with opened(done):
        with opened(sent):
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, sent.to_bytes(4, sys.byteorder))
            host.sendmsg([b"BARRIER=1"], [rights])
        poll = select.poll()
        poll.register(done, 0)
        poll.poll(_BARRIER_PATIENCE)
