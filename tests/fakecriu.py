"""A stand-in for `criu swrk`: it writes the requests it gets to a file as hexadecimal lines, and answers.

It has the version that FAKE_CRIU_VERSION names ("4 1"), dumps successfully and restores nothing; while there is a
file DIR/hold it does not answer. For the options whose
effect cannot be tried here, and for what is refused before criu is asked.
"""

import os
import socket
import sys
import time
from pathlib import Path

_DUMPED = b"\x08\x01\x10\x01"  # type DUMP, success
_REFUSED = b"\x08\x02\x10\x00\x38\x16"  # type RESTORE, no success, EINVAL


def install(directory: Path) -> dict[str, str]:
    """Put it as `criu` into the (new) directory; the environment that makes it found. Requests go to DIR/requests."""
    directory.mkdir()
    program = directory / "criu"
    program.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text() + "\nserve(Path(sys.argv[0]).parent)\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin", "FAKE_CRIU_VERSION": "4 1"}


def serve(directory: Path) -> None:
    """Answer one request: VERSION (10), RESTORE (2), or DUMP and PRE_DUMP."""
    with socket.socket(fileno=int(sys.argv[2])) as channel:
        request = channel.recv(1 << 20)
        if request[1] == 10:
            major, minor = map(int, os.environ["FAKE_CRIU_VERSION"].split())
            channel.send(bytes((0x08, 10, 0x10, 1, 0x52, 4, 0x08, major, 0x10, minor)))
            return
        with (directory / "requests").open("a") as requests:
            requests.write(request.hex() + "\n")
        while (directory / "hold").exists():
            time.sleep(0.01)
        channel.send(_REFUSED if request[1] == 2 else _DUMPED)
