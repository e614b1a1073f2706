"""JSON text without the `json` package, whose import (it needs `re`) costs as much as half an interpreter start.

Both directions use the C accelerators that `json` itself is built on. Reading is stricter than `json`: duplicate keys,
NaN, Infinity, a byte order mark and text after the value are errors that tell line and column. Writing is compact,
leaves `/` alone (hooks of other people parse our state) and replaces what UTF-8 cannot carry.
"""

import _json
import sys

from .errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Value = object  # what `loads` returns: None, bool, int, float, str, list or dict of the same

_BLANK = " \t\n\r"


class JSONTextError(PyruncError):
    """Text that is not JSON; the message names the source, line and column."""


class _DuplicateKey(Exception):
    pass


class _Refused(Exception):
    pass


def _pairs(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)
    return result


def _refuse_constant(name: str) -> Value:
    raise _Refused(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _Refused(f"{digits[:40]} is too large")
    return number


class _Rules:
    """The context that `_json.make_scanner` asks for; it looks at these attributes and at no class."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_pairs)
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str] = {}


_RULES: "Any" = _Rules()


def loads(data: bytes | str, source: str) -> Value:
    """The value in `data`; `source` names the text in errors (a path)."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JSONTextError(f"{source}: not UTF-8 at byte {error.start}") from None
    start = len(text) - len(text.lstrip(_BLANK))
    try:
        value, end = _scan(text, start)
        if "\\ud" in text or "\\uD" in text:
            _encode(value).encode()
    except StopIteration as error:
        what = "the file is empty" if start == len(text) else "a value is expected"
        raise _at(source, text, int(error.value), what) from None
    except _DuplicateKey as error:
        raise JSONTextError(f"{source}: duplicate key `{error}` in an object") from None
    except UnicodeEncodeError:
        raise JSONTextError(f"{source}: a string contains an unpaired surrogate") from None
    except RecursionError:
        raise JSONTextError(f"{source}: nested too deeply") from None
    except _Refused as error:
        raise JSONTextError(f"{source}: {error}") from None
    except ValueError as error:
        position = getattr(error, "pos", None)
        if position is None:  # the interpreter's limit for int(), whose cost grows with the square (CVE-2020-10735)
            text = f"an integer of more than {sys.get_int_max_str_digits()} digits"
            raise JSONTextError(f"{source}: {text}") from None
        raise _at(source, text, position, str(getattr(error, "msg", error)).lower()) from None
    if text[end:].strip(_BLANK):
        raise _at(source, text, end, "text after the end of the JSON value")
    return value


def _scan(text: str, start: int) -> tuple[Value, int]:
    try:
        return _json.make_scanner(_RULES)(text, start)
    except SystemError:  # before 3.12 the scanner cannot raise its error unless json is loaded
        import json.decoder  # noqa: F401  (the import is the point)

        return _json.make_scanner(_RULES)(text, start)


def _at(source: str, text: str, position: int, what: str) -> JSONTextError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return JSONTextError(f"{source}:{line}:{column}: not JSON: {what}")


def _refuse_object(value: Value) -> Value:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _encode(value: Value) -> str:
    encode = _json.make_encoder(None, _refuse_object, _json.encode_basestring, None, ":", ",", False, False, False)
    return "".join(encode(value, 0))


def dumps(value: Value) -> str:
    """`value` as compact JSON on one line."""
    return _encode(value).encode("utf-8", "replace").decode()


def dumps_to_show(value: Value) -> str:
    """The same value for eyes: what a terminal would act on (controls of eight bits, directions of writing) is escaped,
    as JSON escapes it, so that a program reads the same."""
    text = dumps(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def dumps_indented(value: Value, margin: str = "\n") -> str:
    """The same, a line for each key of an object: scripts look in a state for `"status": "running"`."""
    if not isinstance(value, dict) or not value:
        return dumps_to_show(value)
    inner = margin + "  "
    lines = [f"{dumps_to_show(key)}: {dumps_indented(item, inner)}" for key, item in value.items()]
    return f"{{{inner}{f',{inner}'.join(lines)}{margin}}}"


def _escaped(code: int) -> str:
    if code < 1 << 16:
        return f"\\u{code:04x}"
    code -= 1 << 16
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def dump_bytes(value: Value) -> bytes:
    """`value` as compact JSON in UTF-8."""
    return dumps(value).encode()
