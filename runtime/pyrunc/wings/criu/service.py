"""One conversation with CRIU, which runs as our child (`criu swrk`) and talks to us over a socket pair.

    ours                               criu
      | clone, execve of criu swrk ----->|
      |------------------- request ----->|   DUMP, PRE_DUMP, RESTORE or VERSION, with all options
      |<----------- notification --------|   "setup-namespaces", "post-restore", ..., "orphan-pts-master" with the pty
      |------ whether it may go on ----->|
      |<---------------- response -------|   the last one

Its command line could not do this: there the main end of a restored terminal is not handed out, and a script cannot be
asked in between (docs/adr/0005-criu-by-rpc.md).
"""

import posix
from _signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.process import programs

from . import rpc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Mapping

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where an engine gave no PATH
_PACKAGE = "install the package `criu` (Debian, Fedora, Arch; openSUSE: `criu`)"
ENDING = (SIGHUP, SIGINT, SIGTERM)  # what asks a command to end
_LARGEST = 1 << 20
_NO_SUCH_OPTION = "{1} needs criu {2} or newer (found {0})"
_OLDEST = 31500
_PIPE_SIZE = 819 * 4096  # criu/include/page-pipe.h: as many buffers as 32 KiB describe
# Those whose number in the protocol an older criu would pass over in silence.
_SINCE = {"lsm_mount_context": 31600, "network_lock": 31700}


def find(environment: "Mapping[bytes, bytes]") -> str:
    """The path of the program `criu`, searched on the caller's PATH. Raises PyruncError with what to install."""
    search = environment.get(b"PATH", b"").decode("utf-8", "surrogateescape") or _SEARCH
    path = programs.find("criu", search)
    if not path:
        raise PyruncError("`criu` is not installed", hint=_PACKAGE)
    return path


def spelled(version: int) -> str:
    """A version as people write it: 31701 is 3.17.1."""
    return f"{version // 10000}.{version // 100 % 100}" + (f".{version % 100}" if version % 100 else "")


class Service:
    """A running `criu swrk`. fds: what came with the last notification; pid: its process."""

    __slots__ = ("_socket", "fds", "pid", "program")

    def __init__(
        self,
        program: str,
        environment: "Mapping[bytes, bytes]",
        keep: "tuple[int, ...]" = (),
        *,
        clone: "Callable[[], int] | None" = None,
        own_session: bool = False,
        before: "Callable[[], None] | None" = None,
    ) -> None:
        """Start it. keep: descriptors that it inherits under their numbers; clone: makes the child (fork(2) otherwise);
        before: called in the child. own_session: Ctrl-C of our terminal does not reach it; in the middle of a dump it
        would leave stopped processes behind.
        """
        self.program, self.fds = program, list[int]()
        status, theirs = _pair()
        try:
            self.pid = clone() if clone is not None else syscalls.fork_into()
        except OSError as error:
            raise PyruncError.from_os("clone a process for criu", error) from None
        if self.pid == 0:
            if own_session:
                posix.setsid()
            _become(program, environment, theirs, keep, before)
        theirs.close()
        try:
            self._socket = _conversation(status)
        except BaseException:
            self.kill()  # it may wait for a request, with the other end of the conversation in our hands
            posix.waitpid(self.pid, 0)
            raise
        finally:
            status.close()

    def request(
        self, kind: int, options: "rpc.Message", answer: "Callable[[Service, rpc.Response], None] | None" = None
    ) -> rpc.Response:
        """Ask, and serve its notifications until the last response. `answer` may raise, then criu gives up.

        A request that criu refused is a response whose `success` is False. Raises PyruncError if it is gone.
        """
        self._send({"type": kind, "opts": options} if options else {"type": kind})
        while True:
            response = self._receive()
            if response.kind != rpc.NOTIFY:
                return response
            try:
                if answer is not None:
                    answer(self, response)
            except BaseException:
                self._send({"type": rpc.NOTIFY, "notify_success": False})
                self._receive_last()
                raise
            self._send({"type": rpc.NOTIFY, "notify_success": True})

    def close(self) -> None:
        """Reap it: it ends by itself, after its last response or because we are gone."""
        self._socket.close()
        try:
            posix.waitpid(self.pid, 0)
        except ChildProcessError:
            return

    def kill(self) -> None:
        """End it now, in the middle of whatever it does."""
        try:
            posix.kill(self.pid, SIGKILL)
        except ProcessLookupError:
            return

    def _send(self, message: "rpc.Message") -> None:
        import _socket

        try:
            self._socket.sendmsg([rpc.encode(rpc.REQUEST, message)], [], _socket.MSG_NOSIGNAL)
        except BrokenPipeError:
            raise self._gone() from None

    def _receive(self) -> rpc.Response:
        try:
            data, self.fds = _message(self._socket)
        except ConnectionResetError:  # it has not even read the request
            data = b""
        if not data:
            raise self._gone()
        return rpc.Response(data)

    def _gone(self) -> PyruncError:
        return PyruncError(f"`{self.program}` exited without an answer")

    def _receive_last(self) -> None:
        """Let criu clean up after a notification that we refused."""
        try:
            while self._receive().kind == rpc.NOTIFY:
                self._send({"type": rpc.NOTIFY, "notify_success": True})
        except PyruncError:
            return  # what is raised is why we refused


def _pair() -> "tuple[_socket.socket, _socket.socket]":
    import _socket

    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)


def _message(sock: "_socket.socket") -> "tuple[bytes, list[int]]":
    """The next message, empty at the end, and the descriptors that came with it."""
    import _socket
    import sys

    data, control, _, _ = sock.recvmsg(_LARGEST, 64, _socket.MSG_CMSG_CLOEXEC)
    fds = [
        int.from_bytes(rights[i : i + 4], sys.byteorder)
        for level, what, rights in control
        if (level, what) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for i in range(0, len(rights), 4)
    ]
    return data, fds


def _conversation(status: "_socket.socket") -> "_socket.socket":
    """Our end of the conversation, which the child sends before its exec. Raises what it met on the way."""
    import _socket

    data, fds = _message(status)
    error = _message(status)[0] if fds else data
    if error or not fds:
        raise PyruncError(error.decode("utf-8", "replace") or "the process that was to become `criu` was killed")
    return _socket.socket(fileno=fds[0])


def _become(
    program: str,
    environment: "Mapping[bytes, bytes]",
    status: "_socket.socket",
    keep: "tuple[int, ...]",
    before: "Callable[[], None] | None",
) -> None:
    """In the child: be criu. Never returns. The end of `status`, by the exec, says that it went well."""
    import _signal
    import _socket
    import sys

    try:
        if before is not None:
            before()
        # Made here, because criu takes the descriptors that a request names from the process that made the socket:
        # its own are of its own mount namespace.
        ours, theirs = _pair()
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, ours.fileno().to_bytes(4, sys.byteorder))
        status.sendmsg([b"."], [rights])
        for number in ENDING:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        syscalls.close_range(3, flags=syscalls.CLOSE_RANGE_CLOEXEC)
        for fd in (theirs.fileno(), *keep):
            posix.set_inheritable(fd, True)
        posix.execve(program, [program, "swrk", str(theirs.fileno())], dict(environment))
    except OSError as error:
        status.send(str(PyruncError.from_os(f"run `{program}`", error)).encode())
    except PyruncError as error:
        status.send(str(error).encode())
    finally:
        posix._exit(1)  # noqa: SLF001  (nothing may pass from here into the parent's code)


def check_version(program: str, environment: "Mapping[bytes, bytes]", options: "rpc.Message") -> None:
    """Raise PyruncError if this criu is too old, or would pass over one of the options in silence."""
    service = Service(program, environment)
    try:
        version = service.request(rpc.VERSION, {}).version
    finally:
        service.close()
    if version < _OLDEST:
        raise PyruncError(f"criu {spelled(version)} is too old", hint=f"criu {spelled(_OLDEST)} or newer is needed")
    for name, since in _SINCE.items():
        if name in options and version < since:
            option = f"--{name.replace('_', '-')}"
            raise PyruncError(_NO_SUCH_OPTION.format(spelled(version), option, spelled(since)))


def require_large_pipes() -> None:
    """Raise PyruncError if criu cannot serve the pages of a lazy dump: it copies them through a pipe of this size, and
    goes on without a place to copy them to if it cannot make one (criu/page-pipe.c, 3.15 to 4.2.1)."""
    import fcntl

    reading, writing = posix.pipe2(posix.O_CLOEXEC)
    try:
        with opened(reading), opened(writing):
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    except OSError as error:
        hint = "sysctl fs.pipe-max-size=4194304, or CAP_SYS_RESOURCE for the caller"
        text = f"--lazy-pages: criu needs a pipe of {_PIPE_SIZE} bytes to serve the memory"
        raise PyruncError.from_os(text, error, hint=hint) from None


def failure(doing: str, work: str, log: str, response: rpc.Response) -> PyruncError:
    """The error for a request that criu refused: with the last errors of its log, which is a file in `work`."""
    lines = errors(_tail(f"{work}/{log}"))
    text = "; ".join(lines) or response.text.strip() or posix.strerror(response.errno or 5)  # EIO
    return PyruncError(f"criu could not {doing}: {text} (see `{work}/{log}`)")


def errors(log: str) -> "list[str]":
    """The last error lines of criu's log without their time stamps; the line that only says that it has failed not.

    That a page server cannot be reached, and that an image is missing, is logged without a level, and what follows does
    not tell (4.2.1).
    """
    found: list[str] = []
    missing = ""
    for line in log.splitlines():
        _, error, rest = line.partition("Error ")
        text = rest.partition("): ")[2].strip() if error else line.partition(") ")[2].strip()
        if text.startswith("No ") and text.endswith(".img image"):
            missing = text  # most may be: it matters if an error is next
        if not error and not text.startswith("Can't "):
            continue
        if "(empty-image)" in text:
            text = f"{text}: {missing}"
        if text and not text.endswith(("FAILED.", "failed.")) and "RLIMIT_NOFILE" not in text:
            found.append(text)
    return found[-3:]


def _tail(path: str) -> str:
    """The end of a file of any length, "" if it is missing."""
    try:
        with opened(posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)) as fd:
            size = posix.fstat(fd).st_size
            return posix.pread(fd, 1 << 16, max(0, size - (1 << 16))).decode("utf-8", "replace")
    except OSError:
        return ""
