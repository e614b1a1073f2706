"""The mutants of a module: each changes one operator, constant, return value or statement of its syntax tree.

Left alone is what no test of behaviour sees: annotations, docstrings, `__slots__`, what only type checkers read, and
errors with their texts. Strings are changed where they are keys: in displays and subscripts, compared, or the first
argument of a method (`reader.text("cwd")`).
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

_OPERATORS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.USub: ast.UAdd,
}  # fmt: skip
_TESTED = (ast.If, ast.IfExp, ast.While)
_PLAIN = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.NamedExpr)  # a condition without an operator
_DISPLAYS = (ast.Tuple, ast.List, ast.Set)
_SHORT = (ast.Compare, ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript, ast.keyword, ast.Return, ast.arguments)
_BLOCKS = ("body", "orelse", "finalbody")
_REMOVABLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)
_ERRORS = ("Error", "missing", "_wanted", "from_os", "NotPermitted", "NotFound", "warning")


class Place:
    """Where a mutant is. scope: of functions and classes; function: "" for what runs when the module is imported;
    lines: first and last of the statement, of a compound one its head."""

    def __init__(self, scope: str, function: str, statement: "ast.stmt | None" = None) -> None:
        self.scope, self.function, self.lines = scope, function, (0, 0)
        if statement is not None:
            body = getattr(statement, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) else statement.end_lineno
            self.lines = statement.lineno, max(last or 0, statement.lineno)


class Mutant:
    """One change. compile() gives the changed module; text is the same until the place itself is changed."""

    def __init__(self, place: Place, line: int, text: str, compile_: Callable[[], CodeType]) -> None:
        self.place, self.line, self.text, self.compile = place, line, text, compile_


class Module:
    """A parsed module. A mutant that is compiled changes the tree and puts it back."""

    def __init__(self, source: str, path: str) -> None:
        self._tree, self._path = ast.parse(source), path

    def mutants(self) -> list[Mutant]:
        """All mutants, in the order of the text."""
        found, seen = list(self._block(self._tree.body, Place("", ""))), Counter[str]()
        for one in found:
            seen[one.text] += 1
            one.text += f" (#{seen[one.text]})" if seen[one.text] > 1 else ""
        return found

    def _mutant(self, place: Place, owner: Any, key: "str | int", new: Any, shown: ast.AST) -> Mutant:
        """`owner.key` (or `owner[key]`) becomes `new`, which `shown` shows."""
        old = _get(owner, key)
        before = _source(shown)
        _set(owner, key, new)
        after = _source(new if shown is old else shown)
        _set(owner, key, old)

        def compiled() -> CodeType:
            _set(owner, key, new)
            try:
                return compile(ast.fix_missing_locations(self._tree), self._path, "exec", dont_inherit=True)
            finally:
                _set(owner, key, old)

        line = getattr(shown, "lineno", place.lines[0])
        return Mutant(place, line, f"{place.scope or 'module'}: {before} -> {after}", compiled)

    def _block(self, statements: list[ast.stmt], outer: Place) -> Iterator[Mutant]:
        for i, one in enumerate(statements):
            place = Place(outer.scope, outer.function, one)
            if _unseen(one):
                continue
            if isinstance(one, (ast.FunctionDef, ast.ClassDef)):
                scope = f"{outer.scope}.{one.name}".lstrip(".")
                if isinstance(one, ast.FunctionDef):
                    yield from self._expressions(one.args, one, place)
                yield from self._block(one.body, Place(scope, scope if isinstance(one, ast.FunctionDef) else ""))
                continue
            assigned = isinstance(one, ast.Assign) and not isinstance(one.targets[0], (ast.Name, ast.Tuple))
            if assigned or isinstance(one, _REMOVABLE) or (isinstance(one, ast.Return) and one.value is None):
                yield self._mutant(place, statements, i, ast.copy_location(ast.Pass(), one), one)
            if not isinstance(one, ast.Raise):
                yield from self._expressions(one, one, place)
            for name in _BLOCKS:
                yield from self._block(getattr(one, name, []), place)
            for handler in getattr(one, "handlers", []):
                yield from self._block(handler.body, place)

    def _expressions(self, node: ast.AST, parent: ast.AST, place: Place) -> Iterator[Mutant]:
        """Mutants of `node` and the expressions in it, without the statements below."""
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_ERRORS):
            return
        for owner, key, new, shown in _changes(node, parent, place):
            yield self._mutant(place, owner, key, new, shown)
        for name, value in ast.iter_fields(node):
            if name == "annotation" or (isinstance(node, ast.stmt) and name in (*_BLOCKS, "handlers")):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._expressions(child, node, place)


def _changes(node: Any, parent: ast.AST, place: Place) -> "Iterator[tuple[Any, str | int, Any, ast.AST]]":
    """The changes of one node: whose attribute or element becomes what, and the node that shows it."""
    if isinstance(node, ast.Compare):
        yield from ((node.ops, i, _OPERATORS[type(op)](), node) for i, op in enumerate(node.ops))
    elif type(getattr(node, "op", None)) in _OPERATORS:
        yield node, "op", _OPERATORS[type(node.op)](), node
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, "operand", ast.UnaryOp(ast.Not(), node.operand), node
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        new = not node.value if isinstance(node.value, bool) else node.value + 1
        yield node, "value", new, parent if isinstance(parent, _SHORT) else node
    elif isinstance(node, ast.Return) and not isinstance(node.value, (ast.Constant, type(None))):
        yield node, "value", ast.Constant(None), node
    elif isinstance(node, ast.comprehension):
        yield from ((node.ifs, i, ast.Constant(True), test) for i, test in enumerate(node.ifs))
    elif isinstance(node, _DISPLAYS) and not place.function and len(set(map(type, node.elts))) == 1 < len(node.elts):
        unpacked = isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple)
        yield from ((node, "elts", node.elts[:i] + node.elts[i + 1 :], node) for i in range(len(node.elts))
                    if not unpacked)  # fmt: skip
    if isinstance(node, ast.BoolOp):  # one condition less
        neutral = ast.Constant(isinstance(node.op, ast.And))
        yield from ((node.values, i, neutral, node) for i in range(len(node.values)))
    if isinstance(node, _TESTED) and isinstance(node.test, _PLAIN):
        yield node, "test", ast.UnaryOp(ast.Not(), node.test), node.test
    for owner, key in _keys(node):
        word = _get(owner, key)
        text = word.value if isinstance(word, ast.Constant) else None
        if isinstance(text, str) and not (isinstance(node, ast.Call) and " " in text):  # such an argument is a sentence
            yield word, "value", text + "x", node if isinstance(node, _SHORT) else word


def _keys(node: Any) -> "Iterator[tuple[Any, str | int]]":
    """Where a key may stand in a node."""
    if isinstance(node, ast.Dict):
        yield from ((node.keys, i) for i in range(len(node.keys)))
    elif isinstance(node, ast.Subscript):
        yield node, "slice"
    elif isinstance(node, ast.Compare):
        yield node, "left"
        for one in [node.comparators, *(one.elts for one in node.comparators if isinstance(one, _DISPLAYS))]:
            yield from ((one, i) for i in range(len(one)))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        yield node.args, 0


def _unseen(one: ast.stmt) -> bool:
    """Whether no mutant of this statement can be noticed: imports, docstrings, types and what asserts them."""
    if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
        alias = isinstance(one.value, ast.Subscript) and ast.unparse(one.value.value) in ("tuple", "list", "dict")
        return alias or one.targets[0].id in ("__slots__", "TYPE_CHECKING")
    if isinstance(one, ast.If):
        return ast.unparse(one.test) == "TYPE_CHECKING"
    return isinstance(one, (ast.Import, ast.ImportFrom, ast.Assert)) or (
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    )


def _get(owner: Any, key: "str | int") -> Any:
    return owner[key] if isinstance(key, int) else getattr(owner, key)


def _set(owner: Any, key: "str | int", value: Any) -> None:
    if isinstance(key, int):
        owner[key] = value
    else:
        setattr(owner, key, value)


def _source(node: ast.AST) -> str:
    """The source of a node on one line; of a compound statement its head."""
    return ast.unparse(node).splitlines()[0]
