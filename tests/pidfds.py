"""Who receives a pidfd over an AF_UNIX socket, as a service manager does (`--pidfd-socket`)."""

import os
import re
import socket
from pathlib import Path
from types import TracebackType

from tests.waiting import DEADLINE


class PidfdReceiver:
    """Listens at `path` while the block runs."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(DEADLINE)

    def __enter__(self) -> "PidfdReceiver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()

    def pid(self) -> int:
        """The process whose pidfd comes first; it fails for another kind of descriptor."""
        connection, _ = self._listener.accept()
        with connection:
            _, (pidfd,), _, _ = socket.recv_fds(connection, 64, 1)
        try:
            found = re.search(r"^Pid:\t(\d+)$", Path(f"/proc/self/fdinfo/{pidfd}").read_text(), re.MULTILINE)
        finally:
            os.close(pidfd)
        assert found, "the descriptor is no pidfd"
        return int(found[1])
