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
_DEEPEST = 16


def parse(text: str) -> "tuple[str, object]":
    """(D-Bus signature, value) of the text; arrays and tuples are lists. Raises ValueError."""
    parser = _Parser(text)
    result = parser.value("", 0)
    if parser.rest():
        raise ValueError(f"text after the value: `{parser.rest()[:20]}`")
    return result


class _Parser:
    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def rest(self) -> str:
        """What is left, without leading blanks."""
        left = self._text[self._at :].lstrip()
        self._at = len(self._text) - len(left)
        return left

    def _take(self, characters: str) -> bool:
        if self.rest().startswith(characters):
            self._at += len(characters)
            return True
        return False

    def _word(self) -> str:
        left = self.rest()
        length = next((i for i, c in enumerate(left) if not (c.isalnum() or c in "+-._")), len(left))
        self._at += length
        return left[:length]

    def value(self, wanted: str, depth: int) -> "tuple[str, object]":
        """The next value; `wanted` is its signature if that is known."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        left = self.rest()
        if self._take("@"):
            signature = self._signature()
            return self.value(signature, depth + 1)
        if left[:1] in {"'", '"'}:
            if wanted not in {"", "s", "o", "g"}:
                raise ValueError(f"a string is not of the type `{wanted}`")
            return wanted or "s", self._string(left[0])
        if self._take("["):
            return self._array(wanted, depth)
        if self._take("("):
            return self._tuple(depth)
        word = self._word()
        if word in _KEYWORDS:
            return self.value(_KEYWORDS[word], depth + 1)
        return _plain(word, wanted)

    def _signature(self) -> str:
        left = self.rest()
        end = next((i for i, c in enumerate(left) if c.isspace()), len(left))
        self._at += end
        if not left[:end] or set(left[:end]) - set("abynqiuxtdsog()"):
            raise ValueError(f"`{left[:end]}` is not a type")
        return left[:end]

    def _string(self, quote: str) -> str:
        self._at += 1
        result = ""
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == quote:
                return result
            if character == "\\":
                character = self._text[self._at : self._at + 1]
                self._at += 1
                character = _ESCAPES.get(character, character)
            result += character
        raise ValueError("a string without its end")

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
            problem = "has members of several types" if items else "is empty and needs a type, `@as []`"
            raise ValueError(f"an array {problem}")
        return f"a{kinds.pop()}", [item for _, item in items]

    def _tuple(self, depth: int) -> "tuple[str, object]":
        items = self._items(")", "", depth, alike=False)
        return f"({''.join(kind for kind, _ in items)})", [item for _, item in items]


def _plain(word: str, wanted: str) -> "tuple[str, object]":
    if word in {"true", "false"} and wanted in {"", "b"}:
        return "b", word == "true"
    try:
        number = int(word, 0)
    except ValueError:
        try:
            return "d", float(word)
        except ValueError:
            raise ValueError(f"`{word}` is no value" if word else "a value is expected") from None
    kind = wanted or "i"
    if kind == "d":
        return kind, float(number)
    low, high = _RANGES.get(kind, (1, 0))
    if not low <= number <= high:
        raise ValueError(f"{number} is not of the type `{kind}`")
    return kind, number
