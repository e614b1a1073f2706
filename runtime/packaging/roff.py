"""Markdown as roff, for man(7): the part of it that docs/man needs. Anything else is an error, with its place.

    ## Exit status      a section
    **--root**, *ID*    bold and italic; **crun**(8) is a reference to another page
    `a * b`             bold, and nothing in it is a mark
    \\*                  the character itself

    **--term**          a definition: the term in a line of its own
    :   Its text, on as many lines as it takes.

    ```                 lines that stay as they are
    pyrunc run web
    ```

A blank line ends each of them, and a paragraph.
"""

import re
from collections.abc import Iterator

_FENCE = "```"
_SPAN = re.compile(
    r"\\(?P<itself>[\\*`])|`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\*(?P<emphasis>[^*]+)\*|(?P<stray>[*`]|\]\()"
)
_FORMS = {"itself": "{}", "code": r"\fB{}\fR", "strong": r"\fB{}\fR", "emphasis": r"\fI{}\fR"}
# Lists, quotations, tables, HTML, other headings, indented text.
_UNKNOWN = re.compile(r"[-+*>] |\d+[.)] |[|<#\s]|:\s")
# A hyphen that is to be copied into a shell, and characters that man pages would print as typographic ones.
_CHARACTERS = str.maketrans({"\\": r"\e", "-": r"\-", "~": r"\(ti", "^": r"\(ha", "`": r"\(ga"})
_APOSTROPHE = str.maketrans({"'": r"\(aq"})  # in prose the typographic one is right


class MarkdownError(ValueError):
    """A text has what this module does not know."""


def escaped(text: str) -> str:
    """Plain text as roff."""
    return _no_requests(text.translate(_CHARACTERS))


def roff(text: str) -> str:
    """Markdown as roff. Raises MarkdownError with the number of the line."""
    requests: list[str] = []
    follows = False  # whether something of this section stands above
    for number, block in _blocks(text):
        try:
            requests += _block(block, follows=follows)
        except MarkdownError as error:
            raise MarkdownError(f"line {number}: {error}") from None
        follows = not block[0].startswith("## ")
    return "\n".join(requests)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that belong together, with the number of the first."""
    block: list[str] = []
    fenced = False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        fenced ^= line.startswith(_FENCE)
        if line or fenced:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        raise MarkdownError(f"line {number - len(block) + 1}: {_FENCE} without an end")


def _block(block: list[str], *, follows: bool) -> list[str]:
    """The requests and lines of one block."""
    first, *rest = block
    if first.startswith("## ") and not rest:
        return [f".SH {escaped(first[3:].upper())}"]
    paragraph = [".PP"] if follows else []
    if first.startswith(_FENCE) and rest[-1] == _FENCE:
        return [*paragraph, ".EX", *(escaped(line).translate(_APOSTROPHE) for line in rest[:-1]), ".EE"]
    if first.startswith(_FENCE) or _UNKNOWN.match(first):
        raise MarkdownError(f"not in this module's Markdown: {first}")
    if rest and rest[0].startswith(":   "):
        return [".TP", _spans(first), _spans("\n".join([rest[0][4:], *(line.strip() for line in rest[1:])]))]
    return [*paragraph, _spans("\n".join(block))]


def _spans(text: str) -> str:
    """The text of a paragraph, with its fonts."""
    found, end = [], 0
    for match in _SPAN.finditer(text):
        kind = match.lastgroup or ""
        if kind not in _FORMS:
            raise MarkdownError(f"a mark without its other half, or a link: {text[match.start():][:20]}")
        content = match[kind].translate(_CHARACTERS)
        found += [text[end : match.start()].translate(_CHARACTERS)]
        found += [_FORMS[kind].format(content.translate(_APOSTROPHE) if kind == "code" else content)]
        end = match.end()
    return _no_requests("".join(found) + text[end:].translate(_CHARACTERS))


def _no_requests(text: str) -> str:
    """No line of the text is a request to roff."""
    return re.sub(r"(?m)^(?=[.'])", r"\\&", text)
