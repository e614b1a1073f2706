"""All that pyrunc says to users stands in one table, to be read at once: tests/unit/messages.txt."""

import ast

import pytest

from tests import messages


def test_the_table_says_what_the_code_says() -> None:
    table = messages.TABLE.read_text()
    assert table == messages.table(), "run `python -m tests.messages`, and read what has changed in messages.txt"


@pytest.mark.parametrize(("code", "lines"), [
    ('def f():\n  """Some text."""\n  raise PyruncError(f"open `{path}`", hint="try it again")',
     ["open `{path}` (try it again)"]),
    ('def f(x: "dict[str, int]"):\n  text = "it is lost"\n  raise NotFound(text, check="a-check b")', ["it is lost"]),
    ('def f():\n  text = f"it is {x + 1} here"\n  return text', ["it is {...} here"]),
    ('X = {1: "not a thing"}\nfind("a", "one-word")', ["not a thing"]),
    ('def f():\n  if a:\n    t = "one thing"\n  else:\n    t = "another thing"\n  raise PyruncError(t)',
     ["one thing", "another thing"]),
    ('return_value = f"a {\'b c\' if x else \'\'} d"', ["a {...} d", "b c"]),
])  # fmt: skip
def test_what_is_collected(code: str, lines: list[str]) -> None:
    assert messages.texts(ast.parse(code)) == lines
