"""Sockets of the AF_UNIX family that somebody else listens on: console, pidfd and notify sockets (unix(7)).

A path is opened first and connected through /proc/self/fd, so that its length does not matter: `sun_path` holds 108
bytes, and container managers have longer ones.
"""

import _socket
import posix
import sys
from _stat import S_ISSOCK
from _struct import pack
from errno import EAGAIN

from pyrunc.errors import PyruncError

from .descriptors import opened
from .paths import O_PATH

_PATIENCE = 10  # seconds for a listener whose backlog is full, or who does not read


def connect(path: str, what: str, kind: int = _socket.SOCK_STREAM) -> "_socket.socket":
    """A socket of this kind, connected to `path` ("@NAME": the abstract name). `what` names it in errors."""
    sock = _socket.socket(_socket.AF_UNIX, kind)
    try:
        # Not a Python timeout: that makes the socket non-blocking, and connect(2) fail at once if the backlog is full.
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, pack("@ll", _PATIENCE, 0))
        if path.startswith("@"):
            sock.connect("\0" + path[1:])
            return sock
        with opened(posix.open(path, O_PATH | posix.O_CLOEXEC)) as name:
            if not S_ISSOCK(posix.fstat(name).st_mode):
                raise PyruncError(f"the {what} `{path}` is not a socket")
            sock.connect(f"/proc/self/fd/{name}")
        return sock
    except OSError as error:
        sock.close()
        raise _error(f"connect to the {what} `{path}`", error) from None
    except PyruncError:
        sock.close()
        raise


def send_descriptor(path: str, fd: int, data: bytes, what: str) -> None:
    """Connect to the stream socket `path` and send one message: `data` (not empty) with the descriptor."""
    sock = connect(path, what)
    try:
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))
        sock.sendmsg([data], [rights], _socket.MSG_NOSIGNAL)
    except OSError as error:
        raise _error(f"send a descriptor to the {what} `{path}`", error) from None
    finally:
        sock.close()


def _error(message: str, error: OSError) -> PyruncError:
    if error.errno == EAGAIN:
        return PyruncError(f"{message}: no answer within {_PATIENCE} s")
    return PyruncError.from_os(message, error)
