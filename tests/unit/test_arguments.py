"""Words of a command line: what is an option, what an operand, what is refused, and the help."""

from typing import Any

import pytest
from pyrunc import arguments, cli
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.errors import UsageError

OPTIONS = (
    Option("root", "where", "DIR"),
    Option("bundle", "what", "DIR", short="b"),
    Option("env", "a variable", "NAME=VALUE", short="e", repeat=True),
    Option("detach", "do not wait", short="d"),
    Option("x", "hidden", hidden=True),
)


def taken(*words: str, **limits: Any) -> tuple[int, dict[str, object], list[str]]:
    into = Arguments()
    used = arguments.take_options(list(words), OPTIONS, into, **limits)
    return used, dict(into.options), into.operands


@pytest.mark.parametrize(
    ("words", "options", "operands"),
    [
        ([], {}, []),
        (["--root", "/r"], {"root": "/r"}, []),
        (["-root", "/r"], {"root": "/r"}, []),
        (["--root=/r=s"], {"root": "/r=s"}, []),
        (["--root="], {"root": ""}, []),
        (["--root", ""], {"root": ""}, []),
        (["--root", "--bundle"], {"root": "--bundle"}, []),
        (["-b", "x", "--bundle", "y"], {"bundle": "y"}, []),
        (["--b=x"], {"bundle": "x"}, []),
        (["-e", "A=1", "--env=B=2", "-e="], {"env": ["A=1", "B=2", ""]}, []),
        (["-d"], {"detach": True}, []),
        (["--x", "-x=t", "-x=f", "--x=1"], {"x": True}, []),
        (["a", "-d", "b", "-x"], {"detach": True, "x": True}, ["a", "b"]),
        (["-", "", "-d"], {"detach": True}, ["-", ""]),
        (["-d", "--", "--root", "--"], {"detach": True}, ["--root", "--"]),
        (["-db", "x"], {"detach": True, "bundle": "x"}, []),
        (["-bx"], {"bundle": "x"}, []),
        (["-dbx=y", "-eA=1"], {"detach": True, "bundle": "x=y", "env": ["A=1"]}, []),
        (["-dd", "a"], {"detach": True}, ["a"]),
        (["-b-d"], {"bundle": "-d"}, []),
        (["--"], {}, []),
        (["a", "--", "b"], {}, ["a", "b"]),
    ],
)
def test_words(words: list[str], options: dict[str, object], operands: list[str]) -> None:
    assert taken(*words) == (len(words), options, operands)


@pytest.mark.parametrize(
    ("value", "on"),
    [(text, True) for text in ("true", "1", "t", "T", "TRUE", "True")]
    + [(text, False) for text in ("false", "0", "f", "F", "FALSE", "False")],
)
def test_value_of_a_switch(value: str, on: bool) -> None:
    assert taken(f"--detach={value}")[1] == {"detach": on}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--detach=yes"], "invalid boolean value `yes` for flag -detach"),
        (["-d="], "invalid boolean value `` for flag -detach"),
        (["--no"], "unknown flag `--no`"),
        (["--no=x"], "unknown flag `--no`"),
        (["---root", "x"], "unknown flag `---root`"),
        (["--dd"], "unknown flag `--dd`"),
        (["--bx"], "unknown flag `--bx`"),
        (["---d"], "unknown flag `---d`"),
        (["-dno"], "unknown flag `-dno`"),
        (["-dx=y"], "unknown flag `-dx`"),
        (["-q"], "unknown flag `-q`"),
        (["-db"], "flag needs an argument: -bundle (option requires an argument)"),
        (["---"], "unknown flag `---`"),
        (["--=x"], "unknown flag `--`"),
        (["--root"], "flag needs an argument: -root (option requires an argument)"),
        (["x", "-b"], "flag needs an argument: -bundle (option requires an argument)"),
    ],
)
def test_refused_words(words: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        taken(*words)
    assert caught.value.message == error


@pytest.mark.parametrize(("words", "hint"), [
    (["--bundel", "x"], "did you mean `--bundle`?"), (["--detached"], "did you mean `--detach`?"),
    (["--xyz"], ""), (["-q"], ""),
])  # fmt: skip
def test_a_flag_that_is_near(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        taken(*words)
    assert caught.value.hint == hint


@pytest.mark.parametrize(("word", "hint"), [
    ("crate", "did you mean `create`?"), ("statr", "did you mean `state`?"), ("rm", "see `pyrunc --help`"),
    ("", "see `pyrunc --help`"), ("chekpoint", "did you mean `checkpoint`?"),
])  # fmt: skip
def test_a_command_that_is_near(capfd: pytest.CaptureFixture[str], word: str, hint: str) -> None:
    assert cli.run([word]) == 1
    assert capfd.readouterr().err == f"pyrunc: unknown command `{word}` ({hint})\n"


def test_global_options_end_at_the_command() -> None:
    assert taken("--root", "/r", "-d", "state", "-d", until_operand=True) == (3, {"root": "/r", "detach": True}, [])
    assert taken("-", "-d", until_operand=True) == (0, {}, [])
    assert taken("-d", until_operand=True) == (1, {"detach": True}, [])


@pytest.mark.parametrize(
    ("number", "options", "operands"),
    [
        (0, {"detach": True}, ["id", "sh", "x"]),
        (1, {}, ["id", "sh", "-d", "x"]),
        (2, {}, ["id", "sh", "-d", "x"]),
        (3, {"detach": True}, ["id", "sh", "x"]),
    ],
)
def test_options_of_the_program_are_left_alone(number: int, options: dict[str, object], operands: list[str]) -> None:
    assert taken("id", "sh", "-d", "x", operands=number) == (4, options, operands)


def test_an_option_as_it_is_made() -> None:
    option = Option("name", "text")
    assert (option.value, option.short, option.repeat, option.hidden) == ("", "", False, False)
    verb = Verb("do it")
    assert (verb.operands, verb.options, verb.stop_at_operand) == ((), (), False)
    assert Verb("do it", stop_at_operand=True).stop_at_operand


def test_questions_of_a_command() -> None:
    given = Arguments()
    assert (given.options, given.operands) == ({}, [])
    given.options = {"text": "x", "switch": True, "off": False, "many": ["a"]}
    assert [given.text(name) for name in ("text", "switch", "many", "none")] == ["x", "", "", ""]
    assert [given.text(name, "d") for name in ("text", "switch", "none")] == ["x", "d", "d"]
    assert [given.flag(name) for name in ("text", "switch", "off", "none")] == [False, True, False, False]
    assert [given.texts(name) for name in ("text", "switch", "many", "none")] == [[], [], ["a"], []]


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), ("007", 7), ("999999999", 999999999)])
def test_natural_number(text: str, number: int) -> None:
    given = Arguments()
    assert given.natural("n") == 0
    given.options = {"n": text}
    assert given.natural("n") == number


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", "\u00b2", "\u0663", "1000000000", "0000000000"])
def test_no_natural_number(text: str) -> None:
    given = Arguments()
    given.options = {"n": text}
    with pytest.raises(UsageError) as caught:
        given.natural("n")
    assert caught.value.message == f"invalid value `{text}` for flag -n: expected an integer"


@pytest.mark.parametrize(
    ("named", "given", "error"),
    [
        ((), [], ""),
        ((), ["a"], "`do`: unexpected argument `a`"),
        (("ID",), [], "`do` needs ID"),
        (("ID",), ["a"], ""),
        (("ID",), ["a", "b", "c"], "`do`: unexpected argument `b`"),
        (("ID", "[SIGNAL]"), [], "`do` needs ID [SIGNAL]"),
        (("ID", "[SIGNAL]"), ["a"], ""),
        (("ID", "[SIGNAL]"), ["a", "b"], ""),
        (("ID", "[SIGNAL]"), ["a", "b", "c"], "`do`: unexpected argument `c`"),
        (("ID", "COMMAND", "[ARG...]"), ["a"], "`do` needs ID COMMAND [ARG...]"),
        (("ID", "COMMAND", "[ARG...]"), ["a", "b"], ""),
        (("ID", "COMMAND", "[ARG...]"), ["a", "b", "c", "d"], ""),
    ],
)
def test_operands(named: tuple[str, ...], given: list[str], error: str) -> None:
    into = Arguments()
    into.operands = given
    if not error:
        arguments.check_operands("do", Verb("x", named), into)
        return
    with pytest.raises(UsageError) as caught:
        arguments.check_operands("do", Verb("x", named), into)
    assert caught.value.message == error


def test_help() -> None:
    verb = Verb("do a thing", ("ID", "[ARG...]"), OPTIONS)
    assert (
        arguments.usage("do", verb)
        == """\
usage: pyrunc [GLOBAL OPTION...] do [OPTION...] ID [ARG...]

Do a thing.

options:
      --root DIR                where
  -b, --bundle DIR              what
  -e, --env NAME=VALUE          a variable
  -d, --detach                  do not wait
  -h, --help                    print this help
"""
    )
    assert arguments.usage("do", Verb("x")).startswith("usage: pyrunc [GLOBAL OPTION...] do [OPTION...]\n\nX.\n")


def test_long_option() -> None:
    """The texts stand in one column; a longer option has a line of its own."""
    assert arguments.option_lines((Option("n" * 22, "text"),)) == ["      --" + "n" * 22 + "  text"]
    assert arguments.option_lines((Option("n" * 23, "text"),)) == ["      --" + "n" * 23 + "\n" + " " * 32 + "text"]
