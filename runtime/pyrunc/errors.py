"""The one error value of the runtime, raised where a thing fails and printed once, at the edge.

    PyruncError          anything a user can meet; its text is one line that names the object and the cause
    |- ConfigError       a value of config.json is wrong: carries its JSON pointer
    |- UsageError        the command line is wrong
    |- NotFound          there is no container with that id
    `- NotPermitted      the container's status does not allow the command

Those that only one module tells apart are defined there: jsontext.JSONTextError, library.NotInstalled, bus.CallError,
channel.PeerGone. They cross the socket as a PyruncError.

Callers (podman, conmon) classify by the text (see docs/callers.md): the words "permission denied", "operation not
permitted" and "no such file or directory" appear only where the kernel said so.
"""

from errno import EACCES, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, EPERM

MESSAGE_LIMIT = 4096  # bytes; conmon reads one block of 8191 from our stderr and never drains the rest
PART_LIMIT = 1000  # of them, at most, for the document, for the place in it and for the hint

_LARGEST_ERRNO = 4095  # include/linux/err.h, MAX_ERRNO

_STRERROR = {  # libc's strerror is only consulted for the rest: its table costs an import
    EPERM: "Operation not permitted",
    ENOENT: "No such file or directory",
    EACCES: "Permission denied",
    EEXIST: "File exists",
    ENOTDIR: "Not a directory",
    EINVAL: "Invalid argument",
    ENOSPC: "No space left on device",
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
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    """As Python writes it. By hand: the codec `unicode_escape` is a module, and init cannot import any more."""
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def shortened(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, what is too much cut out of its middle."""
    if len(text) <= limit // 4:  # no character has more bytes
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    half = (limit - len(_CUT)) // 2
    return data[:half].decode("utf-8", "ignore") + _CUT + data[-half:].decode("utf-8", "ignore")


_CUT = " ... "


def _shown(text: str, limit: int) -> str:
    """`text` escaped, in at most `limit` bytes; what will be cut out anyway is not escaped first."""
    return shortened(printable(text if len(text) <= 2 * limit else text[:limit] + text[-limit:]), limit)


def token(key: str) -> str:
    """`key` as one reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class PyruncError(Exception):
    """A failure as a value.

    message: what failed, naming the object ("mount `proc` to `/proc`")
    errno:   the kernel's answer, 0 if the kernel was not asked
    pointer: JSON pointer into config.json, "" if no value of it is to blame
    hint:    what would help; must not hold the words by which callers classify errors
    check:   the checks of `pyrunc doctor` that may know why, by blanks; the first that finds something is printed
             (`wings.doctor.causes`). "controllers=cpu,io": what it finds about these

    document: what `pointer` points into. A command that takes values from elsewhere names the file, or for an option
    "": then `pointer` is the option's name.
    """

    document = "config.json"

    def __init__(self, message: str, *, errno: int = 0, pointer: str = "", hint: str = "", check: str = "") -> None:
        super().__init__(message)
        self.message, self.errno, self.pointer, self.hint, self.check = message, errno, pointer, hint, check

    def __str__(self) -> str:
        """One line: message, the kernel's words, and in parentheses the place in config.json and what would help."""
        document, pointer, hint = (
            _shown(part, PART_LIMIT) for part in (self.document, self.pointer, self.hint)
        )
        place = f"{document}: {pointer}" if document and pointer else pointer
        aside = "; ".join(filter(None, (place, hint)))
        end = f": {strerror(self.errno)}" if self.errno else ""
        if aside:
            end += f" ({aside})"
        return _shown(self.message, MESSAGE_LIMIT - len(end.encode())) + end

    def name_object(self, thing: str) -> None:
        """Put `thing` ("container `box`") before the message, if else the kernel's words stood beside no object."""
        if self.errno and not self.pointer and "`" not in self.message:
            self.message = f"{thing}: {self.message}"

    def about(self, pointer: str, document: "str | None" = None) -> "PyruncError":
        """The same error as one about another place: that which whoever has raised it could not know."""
        self.pointer = pointer
        if document is not None:
            self.document = document
        return self

    def to_wire(self) -> dict[str, object]:
        """The form in which a child sends it to its parent: in one packet, so nothing is longer than it is shown."""
        return {
            "error": type(self).__name__,
            "message": shortened(self.message, MESSAGE_LIMIT),
            "errno": self.errno,
            "pointer": shortened(self.pointer, PART_LIMIT),
            "hint": shortened(self.hint, PART_LIMIT),
            "check": self.check,
        }

    @classmethod
    def from_wire(cls, wire: "dict[str, object]") -> "PyruncError":
        """The error that a child sent."""
        kind = _KINDS.get(str(wire.get("error")), PyruncError)
        errno = wire.get("errno")
        return kind(
            str(wire.get("message", "")),
            errno=errno if type(errno) is int and abs(errno) <= _LARGEST_ERRNO else 0,
            pointer=str(wire.get("pointer", "")),
            hint=str(wire.get("hint", "")),
            check=str(wire.get("check", "")),
        )

    @classmethod
    def from_os(
        cls, message: str, error: OSError, *, pointer: str = "", hint: str = "", check: str = ""
    ) -> "PyruncError":
        """The error for a failed system call: `message` names the operation and its object."""
        if error.errno == ENOSYS:
            hint = "pyrunc needs Linux 5.12 or newer, and no seccomp filter that blocks its system calls"
        return cls(message, errno=error.errno or 0, pointer=pointer, hint=hint, check=check)


class within:  # noqa: N801  (named for how it is read)
    """`with within("/linux/seccomp"):` puts a JSON pointer before those of the errors in the block: the kernel's
    modules know no configuration, and point into what they were given ("/syscalls/3", or "" for the whole of it)."""

    __slots__ = ("_pointer",)

    def __init__(self, pointer: str) -> None:
        self._pointer = pointer

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: "BaseException | None", _trace: object) -> None:
        if isinstance(error, PyruncError):
            error.pointer = self._pointer + error.pointer


def place(error: OSError) -> str:
    """What an error was about that nobody has put into words: the file, or else the function that made the call."""
    name = error.filename
    if isinstance(name, (str, bytes)):
        return f"`{name if isinstance(name, str) else name.decode(errors='replace')}`"
    found, trace = "", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        function = trace.tb_frame.f_code.co_name
        if module.startswith("pyrunc.") and function != "_result":  # of `syscalls`, where all end
            found = f"{module[7:]}.{function}"
        trace = trace.tb_next
    return f"in `{found}`"


def without_room(error: "ImportError | MemoryError", doing: str) -> PyruncError:
    """The error if a module cannot be loaded, or memory cannot be had. An ImportError ends in the loader's words."""
    if isinstance(error, MemoryError):
        return PyruncError(f"allocate memory for `{doing or 'pyrunc'}`", errno=ENOMEM)
    return PyruncError(f"{doing}{': ' if doing else ''}load the module `{error.name}`: {error.msg}")


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
