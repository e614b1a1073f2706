"""The list of steps that a container's first process carries out last, as `pyrunc-init` reads it.

Nearly every step is one system call with its arguments; what it does is decided here, in Python, and only carried out
there (runtime/native/pyrunc_init.c, whose structs are this layout):

    header        magic, size in bytes, number of steps, number of relocations
    steps         14 words each: kind, flags, number, 6 arguments, 3 tolerated errnos, expected result, label
    relocations   where a word holds an offset that is to become an address
    data          strings, arrays of pointers, structs; the last word is 0, so that all of them end

A word is the machine's. Nothing in the list comes from the image.
"""

from _struct import calcsize, pack, unpack_from

from pyrunc.errors import printable, shortened
from pyrunc.kernel.syscalls import number

from .step_report import CALL, POINTER

MAGIC = 0x70797275
EXPECT, RETRY_EINTR, REMEMBER, IF_REMEMBERED = 1, 2, 4, 8
_WORD = calcsize("N")
_MASK = (1 << 8 * _WORD) - 1
_STEP_WORDS, _HEADER_WORDS = 14, 4
_LONGEST_LABEL = 400  # bytes; of more pyrunc-init sends the beginning alone
_ARGUMENT, _LABEL = 3, 13  # words of a step: the first of its arguments, its label


class At(int):
    """An argument that points into the list's data."""


class StepList:
    """Collects steps; `data` turns them into what pyrunc-init reads."""

    __slots__ = ("_data", "_inner", "_pointers", "_steps", "fds")

    def __init__(self) -> None:
        self.fds: list[int] = []  # descriptors that were opened for steps, to be left open for pyrunc-init
        self._steps: list[list[int]] = []
        self._data = bytearray()
        self._inner: list[int] = []  # the words of all steps that point into _data
        self._pointers: list[int] = []  # offsets in _data of words that point into _data

    def blob(self, content: bytes) -> At:
        """Room in the data, filled with `content`, aligned to a word."""
        where = len(self._data)
        self._data += content + b"\0" * (-len(content) % _WORD)
        return At(where)

    def string(self, text: str) -> At:
        """A C string; NULs were refused when the config was read."""
        return self.blob(text.encode("utf-8", "surrogateescape") + b"\0")

    def strings(self, texts: "list[str] | tuple[str, ...]") -> At:
        """A NULL-terminated array of C strings: argv, envp, candidates."""
        words = [*(self.string(text) for text in texts), 0]
        where = self.blob(pack(f"@{len(words)}N", *words))
        self._pointers += range(where, where + _WORD * (len(words) - 1), _WORD)
        return where

    def pointer(self, before: bytes, to: At) -> At:
        """A struct that ends in a pointer, after `before` (whose size is a multiple of a word)."""
        where = self.blob(before + pack("@N", to))
        self._pointers.append(where + len(before))
        return where

    def step(
        self,
        kind: int,
        number_: int,
        arguments: "tuple[int, ...]",
        label: str,
        *,
        tolerated: "tuple[int, ...]" = (),
        expect: "int | None" = None,
        flags: int = 0,
    ) -> None:
        """Add a step. `tolerated` errnos are no failure; after a step with REMEMBER that met one of them,
        and only then, steps with IF_REMEMBERED run."""
        words = [kind, flags if expect is None else flags | EXPECT]
        words += [*(word & _MASK for word in (number_, *arguments)), *[0] * (6 - len(arguments))]
        where = self.string(shortened(label, _LONGEST_LABEL))
        words += [*tolerated, *[0] * (3 - len(tolerated)), (expect or 0) & _MASK, where]
        first = len(self._steps) * _STEP_WORDS
        for i, argument in enumerate(arguments, first + _ARGUMENT):
            if isinstance(argument, At):
                self._inner.append(i)
        self._inner.append(first + _LABEL)
        self._steps.append(words)

    def call(
        self,
        name: str,
        *arguments: int,
        label: str,
        tolerated: "tuple[int, ...]" = (),
        expect: "int | None" = None,
        flags: int = 0,
        pointer: str = "",
    ) -> None:
        """Add a system call by its name. pointer: JSON pointer of the value that it is about."""
        if pointer:
            pointer = shortened(pointer, _LONGEST_LABEL // 2)
            label = shortened(printable(label), _LONGEST_LABEL - len(pointer.encode()) - 1) + POINTER + pointer
        self.step(CALL, number(name), arguments, label, tolerated=tolerated, expect=expect, flags=flags)

    def data(self) -> bytes:
        """The whole list."""
        at_steps = _HEADER_WORDS * _WORD
        count = len(self._inner) + len(self._pointers)
        base = at_steps + (len(self._steps) * _STEP_WORDS + count) * _WORD
        words = [word for step in self._steps for word in step]
        for i in self._inner:
            words[i] += base
        relocations = [at_steps + i * _WORD for i in self._inner]
        content = self._data + bytes(_WORD)
        for where in self._pointers:
            (target,) = unpack_from("@N", content, where)
            content[where : where + _WORD] = pack("@N", target + base)
            relocations.append(base + where)
        header = (MAGIC, base + len(content), len(self._steps), count)
        return pack(f"@{len(words) + count + _HEADER_WORDS}N", *header, *words, *relocations) + bytes(content)
