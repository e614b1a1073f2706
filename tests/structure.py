"""docs/structure.svg: the rooms of runtime/pyrunc, who imports whom, and which wings the core asks for.

Drawn from the syntax trees: `python -m tests.structure` renews it, and a test says when that is due.
"""

import ast
import io
import tokenize
from pathlib import Path

from tests.unit.test_imports import MODULES, PACKAGE, name, own_imports, part

PICTURE = PACKAGE.parents[1] / "docs/structure.svg"
# The core's rooms, from the top of the house: each imports from lower ones. What is not a folder is a few modules.
ROOMS = {
    "command line": ("cli", "arguments", "context", "log", "startup"),
    "commands": ("commands",),
    "planning": ("planning",),
    "stages": ("stages",),
    "container": (
        "bundle", "container", "destroy", "ending", "hooks", "host", "lifecycle", "resources", "savedstate",
        "stateroot",
    ),
    "spec": ("spec",),
    "cgroup": ("cgroup",),
    "kernel": ("kernel",),
    "errors, words": ("errors", "jsontext", "words"),
}  # fmt: skip
PLACES = {  # row, column
    "command line": (0, 1), "commands": (1, 1), "planning": (2, 0), "stages": (2, 1), "container": (2, 2),
    "spec": (3, 0), "cgroup": (3, 1), "kernel": (3, 2), "errors, words": (4, 1),
}  # fmt: skip
WIDTH, HEIGHT, ACROSS, DOWN, LEFT, TOP, WIDE = 150, 44, 190, 96, 20, 50, 250
WINGS_AT = LEFT + 3 * ACROSS + 40


def room(dotted: str) -> str:
    """The room of the core, or the wing ("wings.x"), that a module is of."""
    first = part(dotted)
    if first == "wings":
        return ".".join(dotted.split(".")[:2])
    return next((key for key, parts in ROOMS.items() if first in parts), "")


def edges() -> set[tuple[str, str]]:
    """(who, whom) between rooms."""
    found = set()
    for path in MODULES:
        for target in own_imports(path):
            pair = room(name(path)), room(target)
            if all(pair) and pair[0] != pair[1]:
                found.add(pair)
    return found


def files() -> dict[str, int]:
    """Room -> number of its files."""
    count: dict[str, int] = {}
    for path in MODULES:
        if path.name != "__init__.py":
            count[room(name(path))] = count.get(room(name(path)), 0) + 1
    return count


def code_lines(path: Path) -> int:
    """Lines with code: no blank one, no comment, no docstring."""
    text, docstrings = path.read_text(), set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in blank:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def core_lines() -> int:
    """Lines of code of the core."""
    return sum(code_lines(path) for path in MODULES if not name(path).startswith("wings."))


def necessary(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that no way over others says already."""
    reach: dict[str, set[str]] = {}
    for who, whom in arrows:
        reach.setdefault(who, set()).add(whom)

    def far(start: str, seen: frozenset[str] = frozenset()) -> set[str]:
        near = reach.get(start, set()) - seen
        return near.union(*(far(key, seen | {start}) for key in near)) if near else set()

    return {(who, whom) for who, whom in arrows if not any(whom in far(key) for key in reach[who] - {whom})}


def draw() -> str:
    """The whole picture."""
    size, arrows = files(), edges()
    wings = sorted(key for key in size if key.startswith("wings."))
    places = {key: (LEFT + column * ACROSS, TOP + row * DOWN) for key, (row, column) in PLACES.items()}
    places |= {key: (WINGS_AT + i % 2 * (WIDE + 20), TOP + i // 2 * 60) for i, key in enumerate(wings)}
    width, height = WINGS_AT + 2 * WIDE + 40, TOP + max(5 * DOWN, (len(wings) + 1) // 2 * 60) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="28">The core: who imports whom (what follows from other arrows is left out)</text>',
        f'<text x="{WINGS_AT}" y="28">The wings, and what of the core asks for them</text>',
    ]
    core = {(who, whom) for who, whom in arrows if who in ROOMS and whom in ROOMS}
    lines += [_arrow(places[who], places[whom]) for who, whom in sorted(necessary(core))]
    for key in ROOMS:
        lines += _box(places[key], key, f"{size[key]} files", WIDTH, "#e8eefc")
    for key in wings:
        asked = ", ".join(sorted(who for who, whom in arrows if whom == key and who in ROOMS)) or "commands of its own"
        lines += _box(places[key], key.removeprefix("wings."), asked, WIDE, "#fff4e0")
    return "\n".join((*lines, "</svg>")) + "\n"


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[1] == end[1] and abs(start[0] - end[0]) > ACROSS:
        x1, x2, y = start[0] + WIDTH // 2, end[0] + WIDTH // 2 - 30, start[1]
        line = f"M{x1} {y} C{x1} {y - 30} {x2} {y - 30} {x2} {y}"
    elif start[1] == end[1]:
        right = end[0] > start[0]
        y = start[1] + HEIGHT // 2
        line = f"M{start[0] + (WIDTH if right else 0)} {y} L{end[0] + (0 if right else WIDTH)} {y}"
    else:
        x1, y1, x2, y2 = start[0] + WIDTH // 2, start[1] + HEIGHT, end[0] + WIDTH // 2, end[1]
        middle = (y1 + y2) // 2
        line = f"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}"
    return f'<path d="{line}" fill="none" stroke="#667" marker-end="url(#tip)"/>'


def _box(place: tuple[int, int], title: str, text: str, width: int, fill: str) -> list[str]:
    (x, y), middle = place, place[0] + width // 2
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#445"/>',
        f'<text x="{middle}" y="{y + 18}" text-anchor="middle" font-weight="bold">{title}</text>',
        f'<text x="{middle}" y="{y + 35}" text-anchor="middle" font-size="12" fill="#445">{text}</text>',
    ]


def main() -> None:
    """Write it."""
    PICTURE.write_text(draw())


if __name__ == "__main__":
    main()
