"""All that pyrunc says to users, collected from its source: `python -m tests.messages` writes tests/unit/messages.txt.

A text is a string with a blank between words that is not a docstring or a type. What stands in braces is filled in at
run time. A call that raises or reports is one line: its message, and in parentheses its hint, or a finding's repair.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
SOURCES = TOP / "runtime/pyrunc"
TABLE = TOP / "tests/unit/messages.txt"

_ASIDE = ("hint", "repair")  # keywords of what is said in parentheses
_WORDS = re.compile(r"[a-z`'\"}).,:]+ [a-z`{(-]", re.IGNORECASE)
_NO_TEXT = re.compile(r"\(\*\)\(|^(?:const |unsigned |struct )|void \*|^[\w ]+\|? ?\w+\[")  # types of C and of Python
_RAISES = re.compile(
    r"(?:Error|NotFound|NotPermitted|PeerGone|NotInstalled|_Refused|Finding|from_os|refusal|failure|fail|warn)$"
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def table() -> str:
    """The table: a paragraph for each module."""
    modules = {str(path.relative_to(SOURCES)): ast.parse(path.read_text()) for path in sorted(SOURCES.rglob("*.py"))}
    lines = {name: "".join(f"    {line}\n" for line in texts(tree)) for name, tree in modules.items()}
    return "\n".join(f"{name}\n{said}" for name, said in lines.items() if said)


def texts(tree: ast.Module) -> list[str]:
    """The lines of a module, in the order of its source."""
    seen = {id(part) for note in _no_texts(tree) for part in ast.walk(note)}
    lines: dict[int, str] = {}
    for scope in (node for node in ast.walk(tree) if isinstance(node, (Function, ast.Module))):
        names = _assigned(scope)
        for node in _inside(scope):
            if isinstance(node, ast.Call) and _RAISES.search(ast.unparse(node.func)):
                lines[id(node)] = _of_call(node, names, seen)
    for node in _strings(tree):
        if id(node) not in seen and _is_text(said := _template(node)):
            lines[id(node)] = said
    said = (lines.get(id(node), "") for node in _in_order(tree))
    return list(dict.fromkeys(filter(None, said)))


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _no_texts(tree: ast.Module) -> Iterator[ast.AST]:
    """Strings that are not said: documentation, types in quotes, and the names of the doctor's checks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node
        elif isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation:
            yield node.annotation
        elif isinstance(node, Function) and node.returns:
            yield node.returns
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).lower().endswith(("check", "_checks")):
            yield node.value
        if isinstance(node, ast.keyword) and node.arg == "check":
            yield node.value


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a scope but not in a function in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Function):
            yield from _inside(child)


def _assigned(scope: ast.AST) -> "dict[str, list[ast.expr]]":
    """What is assigned to each name, ``text = "..."`` and ``text, hint = "...", "..."``."""
    names: dict[str, list[ast.expr]] = {}
    for node in _inside(scope):
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for one, what in pairs:
            if isinstance(one, ast.Name):
                names.setdefault(one.id, []).append(what)
    return names


def _of_call(call: ast.Call, names: "dict[str, list[ast.expr]]", seen: "set[int]") -> str:
    """One line for a call; its strings are then seen."""
    said = [_rendered(value, names, seen) for value in call.args]
    aside = [_rendered(word.value, names, seen) for word in call.keywords if word.arg in _ASIDE]
    if ast.unparse(call.func).endswith("Finding"):
        said, aside = said[:2], said[2:] + aside
    message, hint = " | ".join(filter(None, said)), "; ".join(filter(None, aside))
    return f"{message or '...'} ({hint})" if hint else message


def _rendered(value: ast.expr, names: "dict[str, list[ast.expr]]", seen: "set[int]") -> str:
    """The text or, where there are several, the texts of an argument."""
    values = [value]
    if isinstance(value, ast.Name):  # the assignment before it; what it is on other ways has lines of its own
        values = [one for one in names.get(value.id, []) if one.lineno <= value.lineno][-1:]
    parts = []
    for one in values:
        for node in _strings(one):
            if _is_text(text := _template(node)):
                seen.add(id(node))
                parts.append(text)
    return " | ".join(dict.fromkeys(parts))


def _strings(node: ast.AST) -> Iterator["ast.Constant | ast.JoinedStr"]:
    """String constants and f-strings; of the parts of the latter, those inside of braces."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant):
            continue
        yield from _strings(child)


def _template(node: "ast.Constant | ast.JoinedStr") -> str:
    """An f-string as it is written, on one line."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    else:
        text = "".join(
            str(part.value) if isinstance(part, ast.Constant) else _braces(getattr(part, "value", part))
            for part in node.values
        )
    return text.encode("unicode_escape").decode()


def _braces(value: ast.expr) -> str:
    """Names as they are; what is computed has no name, and is written in another way by each version of Python."""
    named = (ast.Name, ast.Attribute, ast.Subscript, ast.Load, ast.Constant)
    return "{" + (ast.unparse(value) if all(isinstance(part, named) for part in ast.walk(value)) else "...") + "}"


def _is_text(text: str) -> bool:
    return bool(_WORDS.search(text)) and not _NO_TEXT.search(text)


if __name__ == "__main__":
    TABLE.write_text(table())
