"""The reader: types, ranges, null, empty strings, NUL, and the pointers of its errors."""

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec import reader as reader_module
from pyrunc.spec.reader import UINT32_MAX, UINT64_MAX, Reader, one_of, shown

ALLOWED = frozenset(("red", "green"))
NOT_A_STRING = (True, 1, 1.5, [], {})
NOT_AN_INTEGER = (True, "1", 1.0, 1e3, [], {})


def refusal(method, value, *arguments):
    """The error of Reader({"key": value}).method("key", ...), which must stand at that key."""
    with pytest.raises(ConfigError) as caught:
        getattr(Reader({"key": value}, "/at"), method)("key", *arguments)
    assert caught.value.pointer == "/at/key"
    return caught.value.message


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", []])
def test_only_an_object_can_be_read(value):
    with pytest.raises(ConfigError, match="expected an object") as caught:
        Reader(value, "/process")
    assert caught.value.pointer == "/process"


@pytest.mark.parametrize(
    ("method", "arguments", "unset"),
    [
        ("text", (), None),
        ("enum", (ALLOWED,), None),
        ("integer", (0, 9), None),
        ("boolean", (), None),
        ("flag", (), False),
        ("texts", (), []),
        ("enums", (ALLOWED,), []),
        ("integers", (0, 9), []),
        ("section", (lambda reader: reader.pointer,), None),
        ("section_or_empty", (lambda reader: reader.pointer,), "/at/key"),
        ("sections", (lambda reader: reader.pointer,), []),
        ("text_map", (), {}),
        ("section_map", (lambda reader: reader.pointer,), {}),
    ],
)
@pytest.mark.parametrize("value", [{}, {"key": None}])
def test_null_is_absent(method, arguments, unset, value):
    assert getattr(Reader(value, "/at"), method)("key", *arguments) == unset


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("required_text", ()),
        ("required_enum", (ALLOWED,)),
        ("required_integer", (0, 9)),
        ("required_boolean", ()),
        ("required_texts", ()),
        ("required_section", (lambda reader: reader.pointer,)),
    ],
)
def test_required_keys(method, arguments):
    assert refusal(method, None, *arguments) == "the required key `key` is missing"


@pytest.mark.parametrize("value", NOT_A_STRING)
@pytest.mark.parametrize(("method", "arguments"), [("text", ()), ("required_text", ()), ("enum", (ALLOWED,))])
def test_strings(method, arguments, value):
    assert refusal(method, value, *arguments).startswith("expected a string, got ")


def test_empty_strings():
    assert Reader({"key": ""}, "").text("key") is None
    assert Reader({"key": ""}, "").enum("key", ALLOWED) is None
    assert refusal("required_text", "") == "`key` must not be empty"
    assert refusal("required_enum", "", ALLOWED) == "expected one of `green`, `red`, got an empty string"
    assert Reader({"key": ["", "a"]}, "").texts("key") == ["", "a"]


def test_nul_is_refused_where_it_would_end_a_c_string():
    for method in ("text", "required_text"):
        assert "NUL" in refusal(method, "a\0b")
    assert Reader({"key": "a\0b"}, "").text("key", nul=True) == "a\0b"
    with pytest.raises(ConfigError, match="NUL") as caught:
        Reader({"key": ["a", "\0"]}, "/at").texts("key")
    assert caught.value.pointer == "/at/key/1"
    for value in ({"a\0": "b"}, {"a": "b\0"}):
        with pytest.raises(ConfigError, match="NUL"):
            Reader({"key": value}, "").text_map("key")
    assert Reader({"key": {"a": "\0"}}, "").text_map("key", nul=True) == {"a": "\0"}
    with pytest.raises(ConfigError, match="NUL"):
        Reader({"key": {"a\0": {}}}, "").section_map("key", lambda reader: reader.pointer)


@pytest.mark.parametrize("value", NOT_AN_INTEGER)
def test_integers(value):
    for method in ("integer", "required_integer"):
        assert refusal(method, value, 0, UINT64_MAX).startswith("expected an integer, got ")


@pytest.mark.parametrize("high", [7, UINT32_MAX, UINT64_MAX])
def test_integer_ranges_include_both_ends(high):
    for value in (0, high):
        assert Reader({"key": value}, "").integer("key", 0, high) == value
        assert Reader({"key": [value]}, "").integers("key", 0, high) == [value]
    for value in (-1, high + 1):
        assert refusal("integer", value, 0, high) == f"expected an integer from 0 to {high}, got {value}"


def test_an_integer_of_many_digits_has_a_short_error():
    assert refusal("integer", 10**5000, 0, 9).endswith("got an integer of many digits")


@pytest.mark.parametrize("value", [0, 1, "true", [], {}])
def test_booleans(value):
    for method in ("boolean", "flag", "required_boolean"):
        assert refusal(method, value).startswith("expected true or false, got ")


@pytest.mark.parametrize("value", [True, False])
def test_true_and_false(value):
    reader = Reader({"key": value}, "")
    assert [reader.boolean("key"), reader.flag("key"), reader.required_boolean("key")] == [value] * 3


def test_one_of_tells_a_prefix_of_many_once():
    assert one_of(["A_B_X", "A_B_Y", ""]) == "one of `A_B_X`, `A_B_Y`"
    many = [f"A_B_{letter}" for letter in "CDEFGHIJKL"]
    assert one_of(many) == "`A_B_` followed by one of " + "C, D, E, F, G, H, I, J, K, L"
    assert one_of([*many, "A_X"]).startswith("`A_` followed by one of B_C, ")
    assert one_of([*many, "X"]).startswith("one of `A_B_C`, ")
    assert one_of(many[1:]).startswith("one of `A_B_D`, ")
    assert one_of([f"a{i}" for i in range(10)]).startswith("one of `a0`, `a1`")
    assert one_of(["a"]) == "one of `a`"


def test_enums_name_what_is_allowed():
    assert Reader({"key": "red"}, "").enum("key", ALLOWED) == "red"
    assert refusal("enum", "blue", ALLOWED) == "expected one of `green`, `red`, got `blue`"
    with pytest.raises(ConfigError, match="got `blue`") as caught:
        Reader({"key": ["red", "blue"]}, "").enums("key", ALLOWED)
    assert caught.value.pointer == "/key/1"


@pytest.mark.parametrize("value", [True, 1, 1.5, "text", {}])
def test_lists(value):
    for method, arguments in (("texts", ()), ("enums", (ALLOWED,)), ("integers", (0, 1)), ("sections", (str,))):
        assert refusal(method, value, *arguments).startswith("expected a list, got ")


@pytest.mark.parametrize("value", [True, 1, 1.5, "text", []])
def test_objects(value):
    for method, arguments in (("section", (str,)), ("required_section", (str,)), ("section_or_empty", (str,))):
        assert refusal(method, value, *arguments).startswith("expected an object, got ")
    for method, arguments in (("text_map", ()), ("section_map", (str,))):
        assert refusal(method, value, *arguments).startswith("expected an object, got ")


def test_null_inside_a_list_or_a_map_is_an_error():
    for method, arguments in (("texts", ()), ("integers", (0, 1)), ("sections", (str,))):
        with pytest.raises(ConfigError, match="got null") as caught:
            getattr(Reader({"key": [None]}, ""), method)("key", *arguments)
        assert caught.value.pointer == "/key/0"
    for method, arguments in (("text_map", ()), ("section_map", (str,))):
        with pytest.raises(ConfigError, match="got null") as caught:
            getattr(Reader({"key": {"a": None}}, ""), method)("key", *arguments)
        assert caught.value.pointer == "/key/a"


def test_required_texts_need_an_entry():
    assert refusal("required_texts", []) == "`key` needs at least one entry"
    assert Reader({"key": ["a"]}, "").required_texts("key") == ["a"]


def test_pointers_escape_what_rfc_6901_reserves():
    pointers = Reader({"key": {"a/b~c": {}}}, "").section_map("key", lambda reader: reader.pointer)
    assert pointers == {"a/b~c": "/key/a~1b~0c"}


def test_unknown_keys_are_ignored():
    assert Reader({"key": "a", "other": object()}, "").text("key") == "a"


def test_long_values_are_shortened():
    message = refusal("integer", "x" * 5000, 0, 9)
    assert len(message) < 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (0, "0"), (1, "1"), (-1.5, "-1.5"), (1e300, "1e+300"),
        (10**60 - 1, "9" * 60), (1 - 10**60, "-" + "9" * 60), (10**60, "an integer of many digits"),
        (-(10**60), "an integer of many digits"), ("", "an empty string"), ("a", "`a`"), ("x" * 60, f"`{'x' * 60}`"),
        ("x" * 61, f"`{'x' * 60}...`"), ([], "a list"), ([1], "a list"), ({}, "an object"), ({"a": 1}, "an object"),
    ],
)  # fmt: skip
def test_offending_values_as_an_error_shows_them(value, text):
    assert shown(value) == text


BOUNDS = {
    "INT32_MIN": -0x8000_0000, "INT32_MAX": 0x7FFF_FFFF, "UINT16_MAX": 0xFFFF, "UINT32_MAX": 0xFFFF_FFFF,
    "INT64_MIN": -0x8000_0000_0000_0000, "INT64_MAX": 0x7FFF_FFFF_FFFF_FFFF, "UINT64_MAX": 0xFFFF_FFFF_FFFF_FFFF,
    "ID_MAX": 0xFFFF_FFFE, "PROCESS_ID_MAX": 0x7FFF_FFFF,
}  # fmt: skip


def test_ends_of_the_ranges():
    assert {name: getattr(reader_module, name) for name in BOUNDS} == BOUNDS
