"""JSON as we read and write it, beside Python's own module, and what is no JSON: each with its line and column."""

import json
import subprocess
import sys
from typing import Any

import pytest
from pyrunc import jsontext

from tests.runtime import CHECKOUT

GOOD = [
    "null", "true", "false", "0", "-1", "1.5", "1e30", "1.7976931348623157e308",
    "-1.7976931348623157e308", '""', '"a"', "[]", "{}", '[1,"a",null,[{}]]', '{"a":{"b":[1,2]},"c":""}',
    '"\\u00e9\\n\\"\\\\\\/"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\\\\ud800"', '"é\U0001f600"',
    " \t\r\n1 \t\r\n", '{"a":1,"A":2}',
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read(text: str) -> None:
    for data in (text, text.encode()):
        value = jsontext.loads(data, "x")
        assert value == json.loads(text)
        assert type(value) is type(json.loads(text))
    assert jsontext.dumps(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert jsontext.dump_bytes(value) == jsontext.dumps(value).encode()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "x:1:1: not JSON: the file is empty"),
        (" \n ", "x:2:2: not JSON: the file is empty"),
        ("x", "x:1:1: not JSON: a value is expected"),
        ("\n\n x", "x:3:2: not JSON: a value is expected"),
        ("\ufeff1", "x:1:1: not JSON: a value is expected"),
        ("[1,]", "x:1:4: not JSON: a value is expected"),
        ("1 2", "x:1:2: not JSON: text after the end of the JSON value"),
        ("{\n}\n\nx", "x:2:2: not JSON: text after the end of the JSON value"),
        ("\n1\x00", "x:2:2: not JSON: text after the end of the JSON value"),
        ("1\u00a0", "x:1:2: not JSON: text after the end of the JSON value"),
        ('{"a" 1}', "x:1:6: not JSON: expecting ':' delimiter"),
        ('\n{"a":1\n"b"', "x:3:1: not JSON: expecting ',' delimiter"),
        ('"a', "x:1:1: not JSON: unterminated string starting at"),
        ('"a\nb"', "x:1:3: not JSON: invalid control character at"),
        ('{"a":1,"b":2,"a":3}', "x: duplicate key `a` in an object"),
        ('{"a":1,"b":2,"c":3,"b":3,"a":3}', "x: duplicate key `b` in an object"),
        ('[{"a":{"b":1,"b":1}}]', "x: duplicate key `b` in an object"),
        ("NaN", "x: NaN is not JSON"),
        ("[Infinity]", "x: Infinity is not JSON"),
        ("-Infinity", "x: -Infinity is not JSON"),
        ("1e309", "x: 1e309 is too large"),
        ("-1e309", "x: -1e309 is too large"),
        ("1" * 50 + "e999", f"x: {'1' * 40} is too large"),
        ("9" * 4301, "x: an integer of more than 4300 digits"),
        ('"\\ud800"', "x: a string contains an unpaired surrogate"),
        ('"\\uDc00"', "x: a string contains an unpaired surrogate"),
        ('{"\\ud83d":"\\\\uD"}', "x: a string contains an unpaired surrogate"),
        ("[" * 100_000, "x: nested too deeply"),
    ],
)
def test_what_is_refused(text: str, error: str) -> None:
    with pytest.raises(jsontext.JSONTextError) as caught:
        jsontext.loads(text, "x")
    assert str(caught.value) == error


def test_not_utf_8() -> None:
    with pytest.raises(jsontext.JSONTextError, match=r"^x: not UTF-8 at byte 2$"):
        jsontext.loads(b'"a\xff"', "x")


def test_the_longest_integer() -> None:
    assert jsontext.loads("9" * 4300, "x") == int("9" * 4300)


def test_an_error_does_not_need_json_loaded() -> None:
    """Before 3.12 the scanner wants to raise `json`'s error, which is not loaded in a command."""
    code = "import sys; from pyrunc import jsontext\n"
    code += "assert jsontext.loads('[1]', 'x') == [1] and 'json' not in sys.modules\n"
    code += "try: jsontext.loads('[1', 'x')\nexcept jsontext.JSONTextError as error: print(error)"
    path = str(CHECKOUT / "runtime")
    result = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {path!r}); exec({code!r})"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "x:1:3: not JSON: expecting ',' delimiter\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_has_no_form_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        jsontext.dumps(value)


def test_no_object_is_written() -> None:
    with pytest.raises(TypeError, match=r"^object has no JSON form$"):
        jsontext.dumps([object()])
    with pytest.raises(TypeError, match="keys must be"):
        jsontext.dumps({(): 1})


def test_keys_stay_in_their_order() -> None:
    assert jsontext.dumps({"b": 1, "a": 2}) == '{"b":1,"a":2}'


def test_what_utf_8_cannot_carry() -> None:
    assert jsontext.dumps({"a": "\ud800b"}) == '{"a":"?b"}'
    assert jsontext.dump_bytes("\udcff") == b'"?"'


@pytest.mark.parametrize(
    ("character", "escaped"),
    [
        ("\x80", "\\u0080"), ("\u202e", "\\u202e"), ("\uffff", "\\uffff"), ("\U00010000", "\U00010000"),
        ("\U0001ffff", "\\ud83f\\udfff"), ("\U000e0001", "\\udb40\\udc01"), ("\U0010ffff", "\\udbff\\udfff"),
        ("é", "é"), ("\n", "\\n"), ("\x7f", "\\u007f"),
    ],
)  # fmt: skip
def test_what_a_terminal_would_act_on(character: str, escaped: str) -> None:
    value: Any = {"a": f"x{character}y"}
    text = jsontext.dumps_to_show(value)
    assert text == f'{{"a":"x{escaped}y"}}'
    assert json.loads(text) == value


def test_a_line_for_each_key() -> None:
    value: Any = {"a": {"b": [1, {"c": 2}], "d": {}}, "e\u202e": "f"}
    text = jsontext.dumps_indented(value)
    assert text == '{\n  "a": {\n    "b": [1,{"c":2}],\n    "d": {}\n  },\n  "e\\u202e": "f"\n}'
    assert json.loads(text) == value
    assert jsontext.dumps_indented([value]) == jsontext.dumps_to_show([value])


def test_the_first_code_above_sixteen_bits() -> None:
    assert jsontext._escaped(0xFFFF) == "\\uffff"
    assert jsontext._escaped(0x10000) == "\\ud800\\udc00"
