"""The loopback interface of a new network namespace, by the two ioctls of netdevice(7)."""

import _socket
import fcntl
from _struct import pack, unpack_from

from pyrunc.errors import PyruncError

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_IFREQ, _IFREQ_SIZE = "@16sh", 40  # struct ifreq: the name, then a union of which the flags are the first short


def loopback_up() -> None:
    """Set `lo` up: the kernel makes it down, and every program expects 127.0.0.1 to be there."""
    try:
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, pack(_IFREQ, b"lo", 0).ljust(_IFREQ_SIZE, b"\0"))
            flags = unpack_from(_IFREQ, answer)[1] | _IFF_UP
            fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, pack(_IFREQ, b"lo", flags).ljust(_IFREQ_SIZE, b"\0"))
        finally:
            sock.close()
    except OSError as error:
        raise PyruncError.from_os("set the loopback interface up", error) from None
