"""Parser and JSON schema accept and refuse the same configurations (property-based).

The schema can say types, ranges, enumerations and required keys, the reader says the same: `Config(Reader(value))` is
compared with the schema alone. What only a rule can say is compared in the second place: `parse_config` accepts exactly
if schema and rules together find nothing.
"""

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrunc.errors import ConfigError
from pyrunc.spec.config import Config, parse_config
from pyrunc.spec.reader import Reader
from pyrunc.wings.documents.default import default_config
from pyrunc.wings.documents.schema import load_schema, report, schema_problems

from tests.unit.spec_specimen import NEAR_BORDERS, full, minimal, places

SCHEMA = load_schema("config")
WORDS = ["", "/", "/a", "a", "..", "\0", "a\0", "1.0.0", "1.0.0\n", "c", "rwm", "SCMP_ACT_KILL", "MB:0=1", "2MB", "pid"]
PROFILE = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NEAR_BORDERS),
    st.sampled_from(WORDS),
    st.floats(allow_nan=False),
    st.text(),
)
SUBTREES = [container[key] for container, key, _ in places(full())]


def refusal(read, value):
    """The ConfigError that `read(value)` raises, None if it accepts."""
    try:
        read(value)
    except ConfigError as error:
        return error
    return None


def agree(value):
    """Both comparisons of this file; the parser's place must be one of those that the schema names."""
    error = refusal(lambda value: Config(Reader(value, "")), value)
    found = schema_problems(value)
    assert (error is None) == (not found), f"parser: {error}, schema: {[str(problem) for problem in found]}"
    if error is not None:
        assert error.pointer in {problem.pointer for problem in found}
    first, everything = refusal(parse_config, value), report(value)[0]
    assert (first is None) == (not everything)
    if first is not None and error is None:
        assert str(first) in {str(problem) for problem in everything}
    return error is None


@st.composite
def mutated(draw):
    """A good configuration with up to three changes: a value replaced, a key or an item taken away or added."""
    base = draw(st.sampled_from([full, minimal, lambda: default_config(False), lambda: default_config(True)]))
    value = copy.deepcopy(base())
    for _ in range(draw(st.integers(0, 3))):
        container, key, _ = draw(st.sampled_from(list(places(value))))
        change = draw(st.sampled_from(["replace", "swap", "remove", "repeat", "unknown"]))
        if change == "replace":
            container[key] = draw(
                scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2)
            )
        elif change == "swap":
            container[key] = copy.deepcopy(draw(st.sampled_from(SUBTREES)))
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[draw(st.text())] = draw(scalars)
        if not value:
            break
    return value


def from_schema(schema):
    """A strategy of values that `schema` accepts, or nearly: integers step over their range now and then."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([KINDS[kind](schema) for kind in kinds])


def objects(schema):
    required = schema.get("required", [])
    properties = {key: from_schema(below) for key, below in schema.get("properties", {}).items()}
    if "additionalProperties" in schema:
        names = st.sampled_from(["a", "memory.high", "net.ipv4.ip_forward", "monotonic", "eth0", "../a", "a\0", ""])
        return st.dictionaries(names, from_schema(schema["additionalProperties"]), max_size=2)
    optional = {key: strategy for key, strategy in properties.items() if key not in required}
    return st.fixed_dictionaries({key: properties[key] for key in required}, optional=optional)


KINDS = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": lambda schema: st.sampled_from([n for n in NEAR_BORDERS if near(n, schema)]),
    "string": lambda schema: st.sampled_from(["1.0.0", "1.3.0-rc.1"] if "1" in schema.get("pattern", "") else WORDS),
    "array": lambda schema: st.lists(from_schema(schema["items"]), min_size=schema.get("minItems", 0), max_size=2),
    "object": objects,
}


def near(number, schema):
    """Whether `number` is in the range of `schema` or next to it."""
    return schema["minimum"] - 1 <= number <= schema["maximum"] + 1


@PROFILE
@given(mutated())
def test_parser_and_schema_agree_on_changed_configurations(value):
    agree(value)


@PROFILE
@given(st.fixed_dictionaries({}, optional={key: from_schema(below) for key, below in SCHEMA["properties"].items()}))
def test_parser_and_schema_agree_on_generated_configurations(value):
    agree(value)


@PROFILE
@given(scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2))
def test_parser_and_schema_agree_on_anything(value):
    agree(value)


def test_good_configurations_are_good_for_both():
    for value in (full(), minimal(), default_config(False), default_config(True, 1000, 1000)):
        assert agree(value)
        assert report(value)[0] == []
