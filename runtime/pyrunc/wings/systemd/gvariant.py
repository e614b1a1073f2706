"""GVariant text as annotations use it (GLib's "GVariant Text Format"). Pure.

Understood are `15`, `uint64 10000000`, `'text'`, `true`, `1.5`, `['a', 'b']`, `('x', 3)` and `@as []`.
"""

_KEYWORDS = {
    "boolean": "b", "byte": "y", "int16": "n", "uint16": "q", "int32": "i", "uint32": "u", "int64": "x", "uint64": "t",
    "double": "d", "string": "s", "objectpath": "o", "signature": "g",
}  # fmt: skip
_RANGES = {
    "y": (0, 2**8 - 1), "n": (-(2**15), 2**15 - 1), "q": (0, 2**16 - 1), "i": (-(2**31), 2**31 - 1),
    "u": (0, 2**32 - 1), "x": (-(2**63), 2**63 - 1), "t": (0, 2**64 - 1),
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}
_CODES = {"u": 4, "U": 8}  # how many hexadecimal digits follow
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_DEEPEST = 16
_LONGEST_SIGNATURE = 255  # D-Bus Specification, "Valid Signatures"
_LONGEST_NUMBER = 400  # the largest double has 309 digits before its point


def parse(text: str) -> "tuple[str, object]":
    """(D-Bus signature, value) of the text; arrays and tuples are lists. Raises ValueError."""
    parser = _Parser(text)
    result = parser.value("", 0)
    if parser.rest():
        raise ValueError(f"text after the value: `{parser.rest()}`")
    return result


class _Parser:
    """A place in the text. What is left is never copied: with many values that would cost the square of the length."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def next(self) -> str:
        """The next character that is not blank, which stays; "" at the end."""
        while (character := self._text[self._at : self._at + 1]).isspace():
            self._at += 1
        return character

    def rest(self) -> str:
        """What is left, without leading blanks, or the beginning of it."""
        self.next()
        return self._text[self._at : self._at + 20]

    def _take(self, character: str) -> bool:
        if self.next() == character:
            self._at += 1
            return True
        return False

    def _word(self) -> str:
        self.next()
        start = self._at
        while (character := self._text[self._at : self._at + 1]).isalnum() or (character and character in "+-._"):
            self._at += 1
        return self._text[start : self._at]

    def value(self, wanted: str, depth: int) -> "tuple[str, object]":
        """The next value; `wanted` is its signature if that is known."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        first = self.next()
        if self._take("@"):
            signature = self._signature()
            kind, value = self.value(signature, depth + 1)
            if kind != signature:
                raise ValueError(f"a value of type `{kind}` is not of the type `{signature}`")
            return kind, value
        if first in {"'", '"'}:
            if wanted not in {"", "s", "o", "g"}:
                raise ValueError(f"a string is not of the type `{wanted}`")
            return wanted or "s", self._string(first)
        if self._take("["):
            return self._array(wanted, depth)
        if self._take("("):
            return self._tuple(depth)
        word = self._word()
        if word in _KEYWORDS:
            return self.value(_KEYWORDS[word], depth + 1)
        return _plain(word, wanted)

    def _signature(self) -> str:
        start = self._at
        while (character := self._text[self._at : self._at + 1]) and not character.isspace():
            self._at += 1
        signature = self._text[start : self._at]
        known = not set(signature) - set("abynqiuxtdsog()") and len(signature) <= _LONGEST_SIGNATURE
        if not known or _end_of_type(signature, 0) != len(signature):
            raise ValueError(f"`{signature[:20]}` is not a type")
        return signature

    def _string(self, quote: str) -> str:
        result = []
        self._at += 1
        while (character := self._text[self._at : self._at + 1]) != quote:
            if not character:
                raise ValueError("unterminated string")
            self._at += 1
            result.append(self._escape() if character == "\\" else character)
            if result[-1] == "\0":
                raise ValueError("a D-Bus string cannot contain NUL")
        self._at += 1
        return "".join(result)

    def _escape(self) -> str:
        """What stands after a backslash."""
        character = self._text[self._at : self._at + 1]
        self._at += 1
        if character not in _CODES:
            return _ESCAPES.get(character, character)
        digits = self._text[self._at : self._at + _CODES[character]]
        self._at += len(digits)
        if len(digits) < _CODES[character] or set(digits) - _HEXADECIMAL or not _is_character(int(digits, 16)):
            raise ValueError(f"`\\{character}{digits}` is not a character")
        return chr(int(digits, 16))

    def _items(self, end: str, wanted: str, depth: int, *, alike: bool) -> "list[tuple[str, object]]":
        items: list[tuple[str, object]] = []
        while not self._take(end):
            if items and not self._take(","):
                raise ValueError(f"`,` or `{end}` is expected")
            if items and self._take(end):  # ("x",) is a tuple of one
                break
            items.append(self.value(items[0][0] if items and alike else wanted, depth + 1))
        return items

    def _array(self, wanted: str, depth: int) -> "tuple[str, object]":
        items = self._items("]", wanted[1:], depth, alike=True)
        kinds = {kind for kind, _ in items} or {wanted[1:]}
        if len(kinds) != 1 or kinds == {""}:
            problem = "has elements of different types" if items else "is empty and needs a type, `@as []`"
            raise ValueError(f"an array {problem}")
        return f"a{kinds.pop()}", [item for _, item in items]

    def _tuple(self, depth: int) -> "tuple[str, object]":
        items = self._items(")", "", depth, alike=False)
        return f"({''.join(kind for kind, _ in items)})", [item for _, item in items]


def _end_of_type(signature: str, at: int) -> int:
    """Where the complete type that begins at a place of the signature ends; ValueError if there is none."""
    kind = signature[at : at + 1]
    if kind in {"", ")"}:
        raise ValueError(f"`{signature[:20]}` is not a type")
    at += 1
    if kind == "a":
        return _end_of_type(signature, at)
    if kind == "(":
        while signature[at : at + 1] != ")":
            at = _end_of_type(signature, at)
        at += 1
    return at


def _plain(word: str, wanted: str) -> "tuple[str, object]":
    if word in {"true", "false"} and wanted in {"", "b"}:
        return "b", word == "true"
    number = _integer(word)
    if number is None and (word.lstrip("+-").isdigit() or len(word) > _LONGEST_NUMBER):
        raise ValueError(f"`{word[:20]}` is not a number")
    if number is None or wanted == "d":
        try:
            if wanted not in {"", "d"} or not word.isascii() or "_" in word:
                raise ValueError
            return "d", float(word if number is None else number)
        except (ValueError, OverflowError):
            raise ValueError(f"`{word[:20]}` is not a value" if word else "a value is expected") from None
    kind = wanted or "i"
    low, high = _RANGES.get(kind, (1, 0))
    if not low <= number <= high:
        raise ValueError(f"{number} is not of the type `{kind}`")
    return kind, number


def _integer(word: str) -> "int | None":
    """A whole number as strtol(3) spells it: `0x1f`, `017`, `-3`; None for every other word."""
    digits = word[1:] if word[:1] in {"-", "+"} else word
    base = 16 if digits[:2] in {"0x", "0X"} else 8 if digits[:1] == "0" and len(digits) > 1 else 10
    digits = digits[2:] if base == 16 else digits
    allowed = _HEXADECIMAL if base == 16 else frozenset("0123456789"[:base])
    if not digits or len(digits) > _LONGEST_NUMBER or set(digits) - allowed:
        return None
    return int(digits, base) * (-1 if word[0] == "-" else 1)


def _is_character(code: int) -> bool:
    return code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
