"""A cursor over a parsed JSON object that knows where it stands.

`Reader` takes one JSON object and its JSON pointer; each method reads one key, checks type, range and enum, and raises
`ConfigError` with the pointer of that key. The rules are those of the callers' encoder (Go's encoding/json), so that
one rule holds for every key of the specification:

    null                is the same as an absent key; inside a list or a map it is an error
    "" as optional      is the same as an absent key (Go callers cannot say "unset" for a string in any other way)
    "" as required      is an error
    true is not 1, 1.0 is not an integer, NUL is refused in every string that reaches the kernel
    unknown keys        are ignored (config.md, "Extensibility": a MUST)

A method `required_x` raises when the key is absent, `x` gives None (lists and maps: empty).
"""

from pyrunc.errors import ConfigError, token

TYPE_CHECKING = False  # the checkers read it as true; `typing` costs milliseconds at run time
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TypeVar

    T = TypeVar("T")

INT32_MIN, INT32_MAX, UINT16_MAX, UINT32_MAX = -(2**31), 2**31 - 1, 2**16 - 1, 2**32 - 1
INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1

ID_MAX = UINT32_MAX - 1
"""The last uid or gid: the one above means "leave it as it is" to setresuid(2) and chown(2), so who asks for it would
stay root."""
PROCESS_ID_MAX = INT32_MAX
"""The last one that a process gets: where docker, podman, containerd and runc 1.1 end, since 2^31 and above are
negative, or wrap around, in programs that read an id as signed (CVE-2024-40635)."""

_SHOWN = 60  # characters of an offending value that an error repeats
_MANY = 10  # allowed values whose common prefix an error does not repeat


def shown(value: object) -> str:
    """An offending value for an error message, short."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
        return f"`{text}`" if text else "an empty string"
    if isinstance(value, (int, float)):
        if isinstance(value, int) and abs(value) >= 10**_SHOWN:
            return "an integer of many digits"  # str() refuses more than 4300 digits
        return str(value)
    return "a list" if isinstance(value, list) else "an object"


def one_of(allowed: "Collection[str]") -> str:
    """The allowed values for an error message; a prefix that many of them share is told once."""
    names = sorted(name for name in allowed if name)
    prefix = names[0]
    while not all(name.startswith(prefix) for name in names):
        prefix = prefix[: prefix[:-1].rfind("_") + 1]
    if len(names) < _MANY or not prefix.endswith("_"):
        return "one of " + ", ".join(f"`{name}`" for name in names)
    return f"`{prefix}` followed by one of " + ", ".join(name.removeprefix(prefix) for name in names)


def _wanted(what: str, value: object, pointer: str) -> ConfigError:
    return ConfigError(f"expected {what}, got {shown(value)}", pointer=pointer)


class Reader:
    """One JSON object at `pointer`. Raises ConfigError if `value` is not an object."""

    __slots__ = ("_object", "pointer")

    def __init__(self, value: object, pointer: str) -> None:
        if type(value) is not dict:
            raise _wanted("an object", value, pointer)
        self._object: dict[str, object] = value
        self.pointer = pointer

    def _at(self, key: str) -> str:
        return f"{self.pointer}/{token(key)}"

    def missing(self, key: str) -> ConfigError:
        """The error for a required key that is absent; it points at the place where the key would stand."""
        return ConfigError(f"the required key `{key}` is missing", pointer=self._at(key))

    def text(self, key: str, *, nul: bool = False) -> str | None:
        """A string; None when absent or empty. `nul`: it never becomes a C string and may hold NUL."""
        value = self._object.get(key)
        if value is None:
            return None
        return self._check_text(value, self._at(key), nul) or None

    def required_text(self, key: str) -> str:
        """A string that is not empty."""
        value = self._object.get(key)
        if value is None:
            raise self.missing(key)
        if value == "":
            raise ConfigError(f"`{key}` must not be empty", pointer=self._at(key))
        return self._check_text(value, self._at(key), nul=False)

    @staticmethod
    def _check_text(value: object, pointer: str, nul: bool) -> str:
        if type(value) is not str:
            raise _wanted("a string", value, pointer)
        if "\0" in value and not nul:
            raise ConfigError("the string contains a NUL byte", pointer=pointer)
        return value

    def enum(self, key: str, allowed: "Collection[str]") -> str | None:
        """A string of `allowed`; None when absent or empty."""
        value = self._object.get(key)
        if value is None or value == "":
            return None
        return self._check_enum(value, allowed, self._at(key))

    def required_enum(self, key: str, allowed: "Collection[str]") -> str:
        """A string of `allowed`."""
        value = self._object.get(key)
        if value is None:
            raise self.missing(key)
        return self._check_enum(value, allowed, self._at(key))

    @staticmethod
    def _check_enum(value: object, allowed: "Collection[str]", pointer: str) -> str:
        if type(value) is not str:
            raise _wanted("a string", value, pointer)
        if value not in allowed:
            raise _wanted(one_of(allowed), value, pointer)
        return value

    def integer(self, key: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`, both included; None when absent."""
        value = self._object.get(key)
        return None if value is None else self._check_integer(value, low, high, self._at(key))

    def required_integer(self, key: str, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        value = self._object.get(key)
        if value is None:
            raise self.missing(key)
        return self._check_integer(value, low, high, self._at(key))

    @staticmethod
    def _check_integer(value: object, low: int, high: int, pointer: str) -> int:
        if type(value) is not int:
            raise _wanted("an integer", value, pointer)
        if not low <= value <= high:
            raise _wanted(f"an integer from {low} to {high}", value, pointer)
        return value

    def boolean(self, key: str) -> bool | None:
        """true or false; None when absent."""
        value = self._object.get(key)
        if value is None or value is True or value is False:
            return value
        raise _wanted("true or false", value, self._at(key))

    def flag(self, key: str) -> bool:
        """true or false; False when absent."""
        return self.boolean(key) is True

    def required_boolean(self, key: str) -> bool:
        """true or false."""
        value = self.boolean(key)
        if value is None:
            raise self.missing(key)
        return value

    def _list(self, key: str) -> list[object]:
        value = self._object.get(key)
        if value is None:
            return []
        if type(value) is not list:
            raise _wanted("a list", value, self._at(key))
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there, and not null."""
        return self._object.get(key) is not None

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty when absent."""
        return [
            item if type(item) is str and "\0" not in item else self._check_text(item, f"{self._at(key)}/{i}", False)
            for i, item in enumerate(self._list(key))
        ]

    def required_texts(self, key: str) -> list[str]:
        """A list of strings with at least one entry."""
        if not self.has(key):
            raise self.missing(key)
        items = self.texts(key)
        if not items:
            raise ConfigError(f"`{key}` needs at least one entry", pointer=self._at(key))
        return items

    def enums(self, key: str, allowed: "Collection[str]") -> list[str]:
        """A list of strings of `allowed`; empty when absent."""
        return [self._check_enum(item, allowed, f"{self._at(key)}/{i}") for i, item in enumerate(self._list(key))]

    def integers(self, key: str, low: int, high: int) -> list[int]:
        """A list of integers from `low` to `high`; empty when absent."""
        return [self._check_integer(item, low, high, f"{self._at(key)}/{i}") for i, item in enumerate(self._list(key))]

    def section(self, key: str, build: "Callable[[Reader], T]") -> "T | None":
        """An object, read by `build`; None when absent."""
        value = self._object.get(key)
        return None if value is None else build(Reader(value, self._at(key)))

    def required_section(self, key: str, build: "Callable[[Reader], T]") -> "T":
        """An object, read by `build`."""
        value = self._object.get(key)
        if value is None:
            raise self.missing(key)
        return build(Reader(value, self._at(key)))

    def section_or_empty(self, key: str, build: "Callable[[Reader], T]") -> "T":
        """An object, read by `build`; an absent one is read as `{}`."""
        value = self._object.get(key)
        return build(Reader({} if value is None else value, self._at(key)))

    def sections(self, key: str, build: "Callable[[Reader], T]") -> "list[T]":
        """A list of objects, each read by `build`; empty when absent."""
        return [build(Reader(item, f"{self._at(key)}/{i}")) for i, item in enumerate(self._list(key))]

    def _map(self, key: str) -> "dict[str, object]":
        value = self._object.get(key)
        if value is None:
            return {}
        if type(value) is not dict:
            raise _wanted("an object", value, self._at(key))
        return value

    def text_map(self, key: str, *, nul: bool = False) -> dict[str, str]:
        """An object whose values are strings; empty when absent. Empty values are kept. `nul` as in `text`."""
        result = {}
        for name, value in self._map(key).items():
            pointer = f"{self._at(key)}/{token(name)}"
            self._check_text(name, pointer, nul)
            result[name] = self._check_text(value, pointer, nul)
        return result

    def section_map(self, key: str, build: "Callable[[Reader], T]") -> "dict[str, T]":
        """An object whose values are objects, each read by `build`; empty when absent."""
        result = {}
        for name, value in self._map(key).items():
            pointer = f"{self._at(key)}/{token(name)}"
            self._check_text(name, pointer, nul=False)
            result[name] = build(Reader(value, pointer))
        return result
