"""A D-Bus connection over libsystemd's sd-bus(3), loaded only for the systemd cgroup manager.

sd-bus because it authenticates without naming a uid (EXTERNAL with an empty answer): the bus takes the peer's, which is
right also inside a user namespace, where our idea of our uid is not the host's.

Where no daemon listens, systemd's manager itself does, on a socket for root and its own user (`private`).
"""

import time
from errno import EAGAIN, ECONNREFUSED, ENOENT

from pyrunc._native import ffi
from pyrunc.errors import PyruncError
from pyrunc.kernel.library import Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    Target = tuple[str, str, str]

CALL_DEADLINE = 25.0  # seconds; D-Bus's own
CONNECT_DEADLINE, _PAUSE = 10.0, 0.02
_NOBODY = {ENOENT, ECONNREFUSED}  # there is no socket, or nobody listens on it any more
_SYSTEM_BUS, _SYSTEM_PRIVATE = "unix:path=/run/dbus/system_bus_socket", "unix:path=/run/systemd/private"
_FUNCTIONS = {
    "sd_bus_new": "int(*)(void **)",
    "sd_bus_set_address": "int(*)(void *, const char *)",
    "sd_bus_set_bus_client": "int(*)(void *, int)",
    "sd_bus_start": "int(*)(void *)",
    "sd_bus_flush_close_unref": "void *(*)(void *)",
    "sd_bus_call": "int(*)(void *, void *, uint64_t, void *, void **)",
    "sd_bus_process": "int(*)(void *, void **)",
    "sd_bus_wait": "int(*)(void *, uint64_t)",
    "sd_bus_error_free": "void(*)(void *)",
    "sd_bus_message_new_method_call": "int(*)(void *, void **, const char *, const char *, const char *, const char *)",
    "sd_bus_message_append_basic": "int(*)(void *, char, const void *)",
    "sd_bus_message_open_container": "int(*)(void *, char, const char *)",
    "sd_bus_message_close_container": "int(*)(void *)",
    "sd_bus_message_enter_container": "int(*)(void *, char, const char *)",
    "sd_bus_message_read_basic": "int(*)(void *, char, void *)",
    "sd_bus_message_is_signal": "int(*)(void *, const char *, const char *)",
    "sd_bus_message_unref": "void *(*)(void *)",
}
_NUMBERS = {
    "y": "uint8_t *", "b": "int *", "n": "int16_t *", "q": "uint16_t *", "i": "int32_t *", "u": "uint32_t *",
    "x": "int64_t *", "t": "uint64_t *", "d": "double *",
}  # fmt: skip


class CallError(PyruncError):
    """The peer answered with an error. name: its D-Bus name, "org.freedesktop.systemd1.UnitExists"."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def private(address: str) -> str:
    """Where the manager listens itself whose bus is usually at `address`; "" for a bus that is elsewhere."""
    place = address.partition(",")[0]  # what follows is its guid
    if place == _SYSTEM_BUS:
        return _SYSTEM_PRIVATE
    directory = place.removesuffix("/bus")
    return f"{directory}/systemd/private" if directory.startswith("unix:path=/") and directory != place else ""


class Bus:
    """A connection to the bus at `address` ("unix:path=..."), or, where no daemon listens there, to systemd's manager;
    direct: it is the latter. Raises PyruncError if there is neither."""

    __slots__ = ("_api", "_bus", "direct")

    def __init__(self, address: str) -> None:
        library = Library("libsystemd.so.0", "the systemd cgroup manager", check="libsystemd")
        self._api = {name: library.function(name, type_) for name, type_ in _FUNCTIONS.items()}
        self._bus: Any = ffi.NULL
        self.direct = False
        errno = self._connect(address)
        if errno in _NOBODY and (own := private(address)):
            self.direct = True
            # As long as the manager executes itself anew, nobody listens there.
            other = self._connect(own, {EAGAIN, ECONNREFUSED})
            errno = errno if other == ENOENT else other
            address = address if errno in _NOBODY else own
        if errno:
            raise PyruncError(f"connect to systemd's bus at `{address}`", errno=errno, check="systemd")

    def _connect(self, address: str, later: "Container[int]" = (EAGAIN,)) -> int:
        """Connect; 0, or an errno. later: such as mean that it may work in a moment: the backlog is full, say."""
        deadline = time.monotonic() + CONNECT_DEADLINE
        while True:
            place = ffi.new("void **")
            self._check(self._call("new", place), "make a D-Bus connection")
            self._bus = place[0]
            self._check(self._call("set_address", self._bus, address.encode()), f"use the D-Bus address `{address}`")
            self._check(self._call("set_bus_client", self._bus, not self.direct), "say hello to the bus")
            errno = -min(self._call("start", self._bus), 0)
            if not errno:
                return 0
            self.close()
            if errno not in later or time.monotonic() > deadline:
                return errno
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Send what is left, and disconnect."""
        self._call("flush_close_unref", self._bus)

    def _call(self, name: str, *arguments: object) -> int:
        result: int = self._api[f"sd_bus_{name}"](*arguments)
        return result

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result < 0:
            raise PyruncError(what, errno=-result)

    def call(self, target: "Target", member: str, signatures: "list[str]", values: "list[object]") -> "Any":
        """Call a method and wait for its answer, a message: `read` it, then `free` it.

        target: (name, object path, interface); signatures: those of the arguments. Raises CallError.
        """
        place = ffi.new("void **")
        words = [word.encode() for word in (*target, member)]
        self._check(self._call("message_new_method_call", self._bus, place, *words), f"make the message `{member}`")
        message = place[0]
        try:
            for signature, value in zip(signatures, values, strict=True):
                self._append(message, signature, value)
            answer = ffi.new("void **")
            error = ffi.new("char *[3]")  # struct sd_bus_error: name, message, a flag
            result = self._call("call", self._bus, message, int(CALL_DEADLINE * 1_000_000), error, answer)
            if result < 0:
                name, text = (ffi.string(word).decode() if word != ffi.NULL else "" for word in (error[0], error[1]))
                self._call("error_free", error)
                raise CallError(f"systemd refused `{member}`: {text or name}", name)
        finally:
            self.free(message)
        return answer[0]

    def free(self, message: "Any") -> None:
        """Give a message back."""
        self._call("message_unref", message)

    def _append(self, message: "Any", signature: str, value: object) -> None:
        """Append a value of one complete type; a variant is (signature, value), arrays and structs are sequences."""
        kind = signature[0]
        if kind in _NUMBERS:
            data = ffi.new(_NUMBERS[kind], value)
            self._check(self._call("message_append_basic", message, kind.encode(), data), "append to a message")
        elif kind in "sog":
            assert isinstance(value, str)
            self._check(self._call("message_append_basic", message, kind.encode(), _text(value)), "append to a message")
        else:
            assert isinstance(value, (list, tuple))
            inner, parts, code = _contents(signature, value)
            self._check(self._call("message_open_container", message, code, inner.encode()), "append to a message")
            for part_signature, part in parts:
                self._append(message, part_signature, part)
            self._check(self._call("message_close_container", message), "append to a message")

    def read(self, message: "Any", kinds: str) -> "list[Any]":
        """The next basic values of a message, of the types `kinds`."""
        result = []
        for kind in kinds:
            place = ffi.new(_NUMBERS.get(kind, "char **"))
            self._check(self._call("message_read_basic", message, kind.encode(), place), "read a message")
            result.append(place[0] if kind in _NUMBERS else ffi.string(place[0]).decode())
        return result

    def enter_variant(self, message: "Any", contents: str) -> None:
        """Step into a variant of the type `contents`."""
        self._check(self._call("message_enter_container", message, b"v", contents.encode()), "read a message")

    def wait_signal(self, interface: str, member: str, deadline: float) -> "Any":
        """The next such signal, a message; None when time.monotonic() has passed `deadline`. Others are dropped."""
        while True:
            place = ffi.new("void **")
            busy = self._call("process", self._bus, place)
            self._check(busy, "read from the bus")
            if place[0] != ffi.NULL:
                if self._call("message_is_signal", place[0], interface.encode(), member.encode()) > 0:
                    return place[0]
                self.free(place[0])
            if not busy:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._check(self._call("wait", self._bus, int(left * 1_000_000)), "wait for the bus")


def _text(value: str) -> "Any":
    return ffi.new("char[]", value.encode("utf-8", "surrogateescape"))


def _contents(signature: str, value: "list[Any] | tuple[Any, ...]") -> "tuple[str, list[tuple[str, Any]], bytes]":
    """(signature of what is inside, the parts with theirs, the container's type) of an array, struct or variant."""
    if signature == "v":
        return value[0], [(value[0], value[1])], b"v"
    if signature[0] == "a":
        return signature[1:], [(signature[1:], part) for part in value], b"a"
    inner = signature[1:-1]
    return inner, list(zip(split(inner), value, strict=True)), b"r"


def split(signature: str) -> "list[str]":
    """The complete types that a signature is made of: "sa(sv)u" has three."""
    result, start, depth = [], 0, 0
    for i, character in enumerate(signature):
        depth += (character == "(") - (character == ")")
        if depth == 0 and character != "a":
            result.append(signature[start : i + 1])
            start = i + 1
    return result
