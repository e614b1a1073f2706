"""Every key with every wrong kind of value: the parser accepts or raises ConfigError, at the right place, and the JSON
schema says the same."""

import pytest
from pyrunc.errors import ConfigError
from pyrunc.spec.config import Config, parse_config
from pyrunc.spec.reader import Reader
from pyrunc.wings.documents.schema import load_schema, schema_problems

from tests.unit.spec_specimen import NEAR_BORDERS, full, places, put

NEEDED = frozenset(
    [
        "ociVersion",
        "root",
        "path",
        "args",
        "cwd",
        "type",
        "soft",
        "hard",
        "uid",
        "gid",
        "height",
        "width",
        "destination",
        "policy",
        "class",
        "priority",
        "allow",
        "major",
        "minor",
        "rate",
        "pageSize",
        "limit",
        "name",
        "mode",
        "domain",
        "defaultAction",
        "names",
        "action",
        "index",
        "value",
        "op",
        "containerID",
        "hostID",
        "size",
    ]
)
"""Names of required keys, wherever they stand."""
VALUES = (None, True, "", "no such word", -1, 1.5, 2**63, 2**64, [], {})


def refusal(value):
    """The ConfigError of reading `value` without the rules, None if it is accepted."""
    try:
        Config(Reader(value, ""))
    except ConfigError as error:
        return error
    return None


def narrowed(pointer):
    """The specimen without what neither leads to `pointer` nor may be needed beside it: a schema check of all is slow.

    Items of lists stay, so that the pointer stays the same.
    """
    value = full()
    section = value
    for part in pointer.split("/")[1:-1]:
        if isinstance(section, dict):
            for key in set(section) - NEEDED - {part}:
                del section[key]
        section = section[int(part)] if isinstance(section, list) else section[part.replace("~1", "/")]
    if isinstance(section, dict):
        for key in set(section) - NEEDED - {pointer.rpartition("/")[2].replace("~1", "/")}:
            del section[key]
    return value


POINTERS = [pointer for _, _, pointer in places(full())]
SECTIONS = sorted({"/".join(pointer.split("/")[: 3 if pointer.startswith("/linux/") else 2]) for pointer in POINTERS})


def cases(section):
    """(pointer, configuration, container of the value, key of the value) of each place at or below `section`."""
    for pointer in POINTERS:
        if pointer == section or (pointer.startswith(section + "/") and section != "/linux"):
            value = narrowed(pointer)
            yield pointer, value, *next((at, key) for at, key, found in places(value) if found == pointer)


@pytest.mark.parametrize("section", SECTIONS)
def test_each_wrong_value_at_each_place(section):
    for pointer, value, container, key in cases(section):
        for wrong in VALUES:
            container[key] = wrong
            error, found = refusal(value), {problem.pointer for problem in schema_problems(value)}
            assert (error is None) == (not found), f"{pointer} = {wrong!r}: parser {error}, schema {found}"
            if error is not None:
                assert error.pointer == pointer or error.pointer.startswith(pointer + "/")
                assert error.pointer in found
                assert "\n" not in str(error)
                assert len(str(error)) <= 300


@pytest.mark.parametrize("section", SECTIONS)
def test_each_key_left_out(section):
    for pointer, value, container, key in cases(section):
        del container[key]
        error = refusal(value)
        assert (error is None) == (not schema_problems(value)), f"without {pointer}: {error}"
        if isinstance(container, dict) and error is not None:
            assert error.pointer == pointer


def test_integers_at_the_ends_of_their_ranges():
    integers = 0
    for pointer, value, container, key in (case for section in SECTIONS for case in cases(section)):
        if type(container[key]) is not int:
            continue
        integers += 1
        for number in NEAR_BORDERS:
            container[key] = number
            assert (refusal(value) is None) == (not schema_problems(value)), f"{pointer} = {number}"
    assert integers > 60


def enumerations(schema, root, pointer=""):
    """(pointer, words) of each enumeration of the schema; of a list its first item."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        yield pointer, schema["enum"]
    for key, below in schema.get("properties", {}).items():
        yield from enumerations(below, root, f"{pointer}/{key}")
    if "items" in schema:
        yield from enumerations(schema["items"], root, f"{pointer}/0")


ENUMERATIONS = dict(enumerations(load_schema("config"), load_schema("config")))


@pytest.mark.parametrize("pointer", ENUMERATIONS)
def test_each_word_of_each_enumeration(pointer):
    value, words = full(), ENUMERATIONS[pointer]
    assert pointer in POINTERS
    for word in words:
        put(value, pointer, word)
        assert refusal(value) is None, word
        put(value, pointer, f"{word}x")
        assert refusal(value).pointer == pointer


def test_enumerations_are_found():
    assert {"/linux/rootfsPropagation", "/linux/seccomp/syscalls/0/action"} <= set(ENUMERATIONS)
    assert len(ENUMERATIONS) >= 16


def test_the_sections_are_all_places():
    assert sorted(pointer for section in SECTIONS for pointer, *_ in cases(section)) == sorted(POINTERS)


def test_the_rules_raise_nothing_else_either():
    value = full()
    refused = 0
    for container, key, _ in list(places(value)):
        kept = container[key]
        for wrong in VALUES:
            container[key] = wrong
            try:
                parse_config(value)
            except ConfigError:
                refused += 1
        container[key] = kept
    assert refused > len(POINTERS) * 4
    parse_config(value)
