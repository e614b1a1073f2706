"""The one error value of the runtime, raised where a thing fails and printed once, at the edge.

    PyruncError          anything a user can meet; its text is one line that names the object and the cause
    |- ConfigError       a value of config.json: carries the JSON pointer
    |- UsageError        the command line
    |- NotFound          no container of that id
    `- NotPermitted      the container's status forbids the command

Callers (podman, conmon) classify by the text (see docs/callers.md): the words "permission denied", "operation not
permitted" and "no such file or directory" appear only where the kernel said so.
"""

MESSAGE_LIMIT = 4096  # bytes; conmon reads one block of 8191 from our stderr and never drains the rest

_ENOSYS = 38

_STRERROR = {  # libc's strerror is only consulted for the rest: its table costs an import
    1: "Operation not permitted",
    2: "No such file or directory",
    13: "Permission denied",
    17: "File exists",
    20: "Not a directory",
    22: "Invalid argument",
    28: "No space left on device",
}


def strerror(number: int) -> str:
    """The kernel's words for an errno, as every C program prints them."""
    if number in _STRERROR:
        return _STRERROR[number]
    import posix

    return posix.strerror(number)


def printable(text: str) -> str:
    """`text` on one line with control characters escaped: names in an image are hostile."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def token(key: str) -> str:
    """`key` as one reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class PyruncError(Exception):
    """A failure as a value.

    message: what failed, naming the object ("mount `proc` to `/proc`")
    errno:   the kernel's answer, 0 if the kernel was not asked
    pointer: JSON pointer into config.json, "" if no value of it is to blame
    hint:    what would help; must not hold the words by which callers classify errors
    stage:   which process met it ("init"), "" for the command itself

    document: what `pointer` points into. A command that takes values from elsewhere names the file, or for an option
    "": then `pointer` is the option's name.
    """

    document = "config.json"

    def __init__(self, message: str, *, errno: int = 0, pointer: str = "", hint: str = "", stage: str = "") -> None:
        super().__init__(message)
        self.message, self.errno, self.pointer, self.hint, self.stage = message, errno, pointer, hint, stage

    def __str__(self) -> str:
        """One line: message, where in config.json, what would help, the kernel's words last."""
        text = self.message
        if self.pointer:
            text += f" ({self.document}: {self.pointer})" if self.document else f" ({self.pointer})"
        if self.hint:
            text += f"; {self.hint}"
        if self.errno:
            text += f": {strerror(self.errno)}"
        return printable(text)[:MESSAGE_LIMIT]

    def to_wire(self) -> dict[str, object]:
        """The form in which a child sends it to its parent."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "errno": self.errno,
            "pointer": self.pointer,
            "hint": self.hint,
            "stage": self.stage,
        }

    @classmethod
    def from_wire(cls, wire: "dict[str, object]") -> "PyruncError":
        """The error that a child sent."""
        kind = _KINDS.get(str(wire.get("error")), PyruncError)
        return kind(
            str(wire.get("message", "")),
            errno=int(str(wire.get("errno", 0))),
            pointer=str(wire.get("pointer", "")),
            hint=str(wire.get("hint", "")),
            stage=str(wire.get("stage", "")),
        )

    @classmethod
    def from_os(cls, message: str, error: OSError, *, pointer: str = "", hint: str = "") -> "PyruncError":
        """The error for a failed system call: `message` names the operation and its object."""
        if error.errno == _ENOSYS:
            hint = "Linux 5.12 or newer is needed, and no seccomp filter that hides its system calls"
        return cls(message, errno=error.errno or 0, pointer=pointer, hint=hint)


class ConfigError(PyruncError):
    """A value in config.json is wrong, or cannot be honoured here."""


class UsageError(PyruncError):
    """The command line is wrong."""


class NotFound(PyruncError):
    """There is no such container."""


class NotPermitted(PyruncError):
    """The container's status does not allow the command."""


class Terminated(BaseException):
    """A signal asks the command to end: what it has begun is undone on the way out. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


_KINDS = {kind.__name__: kind for kind in (PyruncError, ConfigError, UsageError, NotFound, NotPermitted)}
