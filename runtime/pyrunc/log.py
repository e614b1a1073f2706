"""--log and --log-format: one line for each message, in the file, or for the daemon, that the caller named.

podman reads the whole file as one JSON object when a command failed, so an error drops the warnings before it.
What a command fears to be killed for, it writes before, and takes back (`leave_word`).
"""

import posix
import time

from . import jsontext
from .errors import PyruncError, printable

LEVELS = ("error", "warning", "debug")
_DAEMONS = ("journald", "syslog")


class Log:
    """Where messages go. Warnings are kept until the command ends; errors are written at once, also to stderr."""

    __slots__ = ("_daemon", "_fd", "_format", "_level", "_path", "_warnings", "_word")

    def __init__(self, path: str = "", format_: str = "text", level: str = "warning") -> None:
        self._path, self._format, self._level = path.removeprefix("file:"), format_, level
        daemon, colon, _ = path.partition(":")
        self._daemon = daemon if colon and daemon in _DAEMONS else ""
        self._fd = -1
        self._word = (0, 0)  # the part of the file that is to be taken back
        self._warnings: list[tuple[str, str]] = []

    def warning(self, message: str) -> None:
        """Something was not as it should be, and the command goes on."""
        if self._level != "error":
            self._warnings.append(("warning", message))

    def warnings(self, messages: "list[str] | tuple[str, ...]") -> None:
        """The same, of each."""
        for message in messages:
            self.warning(message)

    @property
    def debugging(self) -> bool:
        """Whether everything is of interest."""
        return self._level == "debug"

    def error(self, message: str, prefix: str = "") -> None:
        """The command failed. stderr gets the line too: conmon sends it to podman when there is no log."""
        if self._format == "json":
            self._warnings.clear()
        self._warnings.append(("error", message))
        self.flush()
        if self._path:
            _to_stderr(prefix + printable(message))

    def check(self) -> None:
        """Find out at once that the log cannot be written, before anything is done. Raises PyruncError."""
        try:
            if self._daemon:
                from pyrunc.wings import logdaemon

                logdaemon.connect(self._daemon).close()
            elif self._path:
                self.open()
                self._close()
        except OSError as error:
            raise PyruncError.from_os(f"open the log `{self._path}`", error) from None

    def open(self) -> None:
        """Open the file; raises OSError. By itself it is opened when there is something to write."""
        if self._path and not self._daemon and self._fd < 0:
            # A fifo that nobody reads is an error: we would wait, and so would those who wait for our lock.
            flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NONBLOCK | posix.O_CLOEXEC
            self._fd = posix.open(self._path, flags, 0o644)

    @property
    def can_take_back(self) -> bool:
        """Whether the file is one from which a message can be removed."""
        return bool(self._path) and self._format == "json" and not self._daemon

    def leave_word(self, message: str) -> None:
        """Write an error that stands if this process is killed before it calls `take_back`."""
        line = self._line("error", message).encode("utf-8", "replace")
        try:
            start = self._append(line)
        except OSError:
            return  # said when there is something that has happened
        self._word = (start, start + len(line))

    def take_back(self) -> None:
        """Remove what `leave_word` has written, unless others have written after it."""
        (start, end), self._word = self._word, (0, 0)
        if start == end:
            return
        try:
            if posix.stat(self._path).st_size == end:
                posix.truncate(self._path, start)
        except OSError:
            return  # the file is gone, and the word with it

    def flush(self) -> None:
        """Write what was kept back."""
        entries, self._warnings = self._warnings, []
        if not entries:
            return
        if not self._path:
            for level, message in entries:
                _to_stderr(f"pyrunc: {'' if level == 'error' else level + ': '}{printable(message)}")
            return
        try:
            if self._daemon:
                from pyrunc.wings import logdaemon

                name = printable(self._path.partition(":")[2])
                logdaemon.send(self._daemon, name, [(level, printable(message)) for level, message in entries])
                return
            text = "".join(self._line(level, message) for level, message in entries)
            self._append(text.encode("utf-8", "replace"))
        except PyruncError as error:
            _to_stderr(f"pyrunc: {error}")
        except OSError as error:
            _to_stderr(f"pyrunc: write the log `{printable(self._path)}`: {error.strerror}")

    def _append(self, data: bytes) -> int:
        """Write to the end of the file, which is closed then; where that was."""
        self.open()
        try:
            end = posix.fstat(self._fd).st_size
            posix.write(self._fd, data)
        finally:
            self._close()
        return end

    def _close(self) -> None:
        posix.close(self._fd)
        self._fd = -1

    def _line(self, level: str, message: str) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._format == "json":
            return jsontext.dumps_to_show({"level": level, "msg": message, "time": now}) + "\n"
        return f"{now} {level}: {printable(message)}\n"


def _to_stderr(line: str) -> None:
    try:
        posix.write(2, line.encode("utf-8", "replace")[:8000] + b"\n")
    except OSError:  # nobody listens: nothing is left to tell it to
        return
