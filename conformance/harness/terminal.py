"""A program on a pseudo-terminal, driven as a person would: what is on the screen, what is typed."""

from __future__ import annotations

import os
import pty
import re
import select
import termios
import time
from collections.abc import Callable, Sequence

from conformance.harness.checks import CALL_SECONDS, Failed


class Terminal:
    """The program's terminal; screen is all that it has shown since the last expect()."""

    def __init__(self, command: Sequence[str], rows: int = 33, columns: int = 111) -> None:
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            termios.tcsetwinsize(0, (rows, columns))
            os.execvp(command[0], list(command))

    def read(self) -> bool:
        """Waits shortly for output and adds it to the screen; False at its end."""
        if not select.select([self.fd], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the last program on the terminal is gone
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern: str) -> str:
        """Waits until the screen shows this; returns the match and forgets all up to its end."""
        deadline = time.monotonic() + CALL_SECONDS
        while not (found := re.search(pattern, self.screen)):
            if not self.read() or time.monotonic() > deadline:
                raise Failed(f"the terminal does not show {pattern!r} but {self.screen[-900:]!r}")
        self.screen = self.screen[found.end() :]
        return found.group()

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.fd, (rows, columns))

    def repeat_until(self, action: Callable[[], object], pattern: str) -> None:
        """Does it again until the screen shows this: a signal that comes before a program waits for it is lost."""
        deadline = time.monotonic() + CALL_SECONDS
        while not re.search(pattern, self.screen) and time.monotonic() < deadline:
            action()
            self.read()
        self.expect(pattern)

    def resize_until(self, rows: int, columns: int, pattern: str) -> None:
        """Changes the size, back and forth, until the screen shows this."""

        def there_and_back() -> None:
            self.resize(rows, columns - 1)
            self.resize(rows, columns)

        self.repeat_until(there_and_back, pattern)

    # -- a shell, whose prompt is READY> -------------------------------------------------------------------------------

    def try_shell(self, tty: str) -> None:
        """It runs on a terminal of this name and of the size that ours has, and does what is typed."""
        self.expect("READY>")
        self.type("tty; until [ \"$(stty size)\" = '33 111' ]; do sleep 0.1; done; echo sum-$((40+2))\n")
        self.expect(tty)
        self.expect("sum-42")

    def resize_shell(self, then: str = "") -> None:
        """It sees a change of the size. then: what it goes on with, such as "; sleep 1000"."""
        self.type(f"until [ \"$(stty size)\" = '44 99' ]; do sleep 0.1; done; echo sized-$((40+2)){then}\n")
        self.resize_until(44, 99, "sized-42")

    def leave_shell(self) -> None:
        """Its exit status comes back."""
        self.type("exit 5\n")
        status = self.finish()
        if status != 5:
            raise Failed(f"exit status: wanted 5, got {status}")

    def finish(self) -> int:
        """Waits for the program's end; returns its exit status (a signal's as a shell has it)."""
        deadline = time.monotonic() + CALL_SECONDS
        while self.read():
            if time.monotonic() > deadline:
                os.kill(self.pid, 9)
                raise Failed(f"the program does not end; it shows {self.screen[-900:]!r}")
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status if status >= 0 else 128 - status
