"""All problems of a config.json at once, for `validate` and for explaining a refusal.

The JSON schema says what the reader says (types, ranges, enumerations, required keys), the rules say the rest, and the
schema also knows every key, so that a misspelt one can be told. `jsonschema` is imported here, in functions, and only
here: it costs more than a whole `create`.
"""

from pyrunc.errors import ConfigError, token
from pyrunc.spec.config import Config, Hooks, Mount
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Process
from pyrunc.spec.reader import Reader, one_of, shown
from pyrunc.spec.rules import config_problems, config_warnings, hook_problems, mount_problems
from pyrunc.spec.rules_linux import linux_problems
from pyrunc.spec.rules_process import process_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_OTHER_PLATFORMS = frozenset(
    ("/solaris", "/windows", "/vm", "/zos", "/freebsd", "/process/commandLine", "/process/user/username")
)
"""Keys of the specification that mean nothing on Linux."""

_NOUNS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "object": "an object",
    "string": "a string",
}


def schema_path(name: str) -> str:
    """The path of the JSON schema `name` ("config", "state", "features"): in the source tree, else in the package.

    In this order, because a build leaves copies in the package of a source tree, which go stale.
    """
    import os

    package = os.path.abspath(__file__).rsplit("/", 3)[0]
    runtime = os.path.dirname(package)
    source = os.path.join(os.path.dirname(runtime), "oci-schemas", f"{name}.schema.json")
    if os.path.basename(runtime) == "runtime" and os.path.exists(source):
        return source
    return os.path.join(package, "oci-schemas", f"{name}.schema.json")


def load_schema(name: str) -> dict[str, object]:
    """The JSON schema `name` as a value."""
    import json

    with open(schema_path(name), encoding="utf-8") as file:
        schema: dict[str, object] = json.load(file)
    return schema


def validator(name: str) -> "Validator":
    """A validator for the schema `name`. As in the reader, 1.0 is not an integer (JSON Schema would accept it)."""
    if name in _validators:
        return _validators[name]
    from jsonschema.validators import Draft202012Validator, extend

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    strict = extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]  # the stub's omission
    _validators[name] = strict(load_schema(name))
    return _validators[name]


_validators: "dict[str, Validator]" = {}  # made once: reading and compiling a schema takes longer than using it


def schema_problems(value: "Any", name: str = "config") -> list[ConfigError]:
    """Where `value` differs from the schema `name`, without the rules; one error per place."""
    found: dict[str, ConfigError] = {}
    for error in validator(name).iter_errors(value):
        for problem in _explained(error):
            found.setdefault(problem.pointer, problem)
    return list(found.values())


def _explained(error: "ValidationError") -> "Iterator[ConfigError]":
    """A finding of jsonschema in the reader's words."""
    pointer = "".join(f"/{token(str(part))}" for part in error.absolute_path)
    wanted: "Any" = error.validator_value
    value: "Any" = error.instance
    if error.validator == "required":
        for key in wanted:
            if key not in value:
                yield ConfigError(f"the required key `{key}` is missing", pointer=f"{pointer}/{token(key)}")
        return
    if error.validator == "type":
        names = [wanted] if isinstance(wanted, str) else wanted
        text = f"expected {' or '.join(_NOUNS[name] for name in names)}, got {shown(value)}"
    elif error.validator == "enum":
        text = f"expected {one_of(wanted)}, got {shown(value)}"
    elif error.validator == "minimum":
        text = f"expected an integer of at least {wanted}, got {shown(value)}"
    elif error.validator == "maximum":
        text = f"expected an integer of at most {wanted}, got {shown(value)}"
    elif error.validator in ("minItems", "minLength"):
        text = "must not be empty"
    elif error.validator == "pattern" and "\0" in value:
        text = "the string contains a NUL byte"
        if "propertyNames" in error.absolute_schema_path:
            pointer += f"/{token(value)}"
    else:
        text = error.message
    yield ConfigError(text, pointer=pointer)


def problems(value: object) -> list[ConfigError]:
    """Every error of `value`: those of the schema and those of the rules. Empty exactly if `parse_config` accepts."""
    return report(value)[0]


def report(value: object) -> tuple[list[ConfigError], list[str]]:
    """Every error and every warning of `value`, a parsed config.json."""
    errors, warnings = schema_problems(value), list(unknown_keys(value))
    try:
        config = Config(Reader(value, ""))
    except ConfigError as error:
        if not errors:  # the schema is the wider of the two only by mistake; the refusal must not get lost
            errors.append(error)
        return errors + _rules_by_section(value), warnings
    return errors + list(config_problems(config)), warnings + list(config_warnings(config))


def _rules_by_section(value: object) -> list[ConfigError]:
    """The rules of those sections that can be read, when others cannot."""

    def process(reader: Reader) -> "Iterator[ConfigError]":
        section = reader.section("process", Process)
        return iter(()) if section is None else process_problems(section, "/process")

    sections = (
        process,
        lambda reader: mount_problems(reader.sections("mounts", Mount)),
        lambda reader: hook_problems(reader.section_or_empty("hooks", Hooks)),
        lambda reader: linux_problems(reader.section_or_empty("linux", Linux)),
    )
    found: list[ConfigError] = []
    for read in sections:
        try:
            found.extend(read(Reader(value, "")))
        except ConfigError:
            continue  # the schema has told already why this section cannot be read
    return found


def unknown_keys(value: object) -> "Iterator[str]":
    """A warning for each key that the specification does not have (it MUST be ignored, so it has no effect)."""
    schema = validator("config").schema
    assert isinstance(schema, dict)
    yield from _unknown(value, schema, schema, "")


def _unknown(value: object, schema: dict[str, object], root: dict[str, object], pointer: str) -> "Iterator[str]":
    reference = schema.get("$ref")
    if isinstance(reference, str):
        definitions = root["$defs"]
        assert isinstance(definitions, dict)
        schema = definitions[reference.removeprefix("#/$defs/")]
    if isinstance(value, list):
        items = schema.get("items")
        for i, item in enumerate(value if isinstance(items, dict) else ()):
            assert isinstance(items, dict)
            yield from _unknown(item, items, root, f"{pointer}/{i}")
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    assert isinstance(properties, dict)
    for key, item in value.items():
        at = f"{pointer}/{token(key)}"
        below = properties.get(key, others)
        if isinstance(below, dict):
            yield from _unknown(item, below, root, at)
        elif properties and at not in _OTHER_PLATFORMS:
            yield _unknown_key(key, list(properties), at)


def _unknown_key(key: str, known: list[str], pointer: str) -> str:
    import difflib

    close = difflib.get_close_matches(key, known, 1)
    return f"unknown key {shown(key)}{f', did you mean `{close[0]}`?' if close else ''} ({pointer})"
