"""`--log journald:ID` and `--log syslog:ID`: messages as datagrams to the daemon of the host that keeps logs.

conmon-rs gives the first to a runtime that has crun's name. Nothing is loaded for it: journald's socket takes lines
NAME=VALUE (systemd's "Journal Native Protocol"), /dev/log what syslog(3) writes.
"""

import _socket
import posix

from pyrunc.kernel import unixsocket

JOURNALD, SYSLOG = "journald", "syslog"
SOCKETS = {JOURNALD: "/run/systemd/journal/socket", SYSLOG: "/dev/log"}
_PRIORITY = {"error": 3, "warning": 4}  # syslog(3); all else is LOG_DEBUG
_DEBUG, _USER = 7, 1 << 3


def connect(kind: str) -> "_socket.socket":
    """A socket to the daemon. Raises PyruncError if it is not there."""
    return unixsocket.connect(SOCKETS[kind], f"socket of {kind}", _socket.SOCK_DGRAM)


def datagram(kind: str, name: str, level: str, message: str) -> bytes:
    """One message, on one line. name: what follows `journald:` or `syslog:`, by which it can be found again."""
    priority = _PRIORITY.get(level, _DEBUG)
    if kind == JOURNALD:
        fields = (f"PRIORITY={priority}", "SYSLOG_IDENTIFIER=pyrunc", f"ID={name}", f"MESSAGE={message}")
        text = "".join(f"{field}\n" for field in fields)
    else:
        text = f"<{_USER | priority}>{name or 'pyrunc'}[{posix.getpid()}]: {message}"
    return text.encode("utf-8", "replace")


def send(kind: str, name: str, entries: "list[tuple[str, str]]") -> None:
    """Send messages, each with its level. Raises PyruncError, OSError."""
    sock = connect(kind)
    try:
        for level, message in entries:
            sock.send(datagram(kind, name, level, message), _socket.MSG_NOSIGNAL)
    finally:
        sock.close()
