"""Device rules as an eBPF program: an interpreter of eBPF against a model of cgroup v1's list."""

import itertools
import random
import sys

import pytest
from pyrunc.cgroup import devices
from pyrunc.cgroup.devices import ANY, DEFAULTS, Rule
from pyrunc.errors import ConfigError
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import DeviceRule

BITS = {"m": 1, "r": 2, "w": 4}
ACCESSES = ["".join(letters) for n in (1, 2, 3) for letters in itertools.combinations("rwm", n)]


def interpret(code, type_, major, minor, access):
    """Run encoded instructions as the kernel does, with its check that a jump goes forward and stays inside."""
    registers = {1: {0: (sum(BITS[a] for a in access) << 16) | {"b": 1, "c": 2}[type_], 4: major, 8: minor}}
    at = 0
    while True:
        opcode, both = code[at], code[at + 1]
        destination, source = (both & 15, both >> 4) if sys.byteorder == "little" else (both >> 4, both & 15)
        offset = int.from_bytes(code[at + 2 : at + 4], sys.byteorder, signed=True)
        immediate = int.from_bytes(code[at + 4 : at + 8], sys.byteorder, signed=True)
        at += 8
        if opcode == 0x61:
            registers[destination] = registers[source][offset]
        elif opcode == 0xB7:
            registers[destination] = immediate
        elif opcode == 0xBF:
            registers[destination] = registers[source]
        elif opcode == 0x57:
            registers[destination] &= immediate
        elif opcode == 0x77:
            registers[destination] >>= immediate
        elif opcode in (0x15, 0x55):
            assert offset > 0
            if (registers[destination] == immediate) == (opcode == 0x15):
                at += 8 * offset
        elif opcode == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"unknown instruction {opcode:#x}")
        assert at < len(code)


def model(rules, type_, major, minor, access):
    """Whether the last rule for each kind of access allows it; nothing is allowed at first."""
    allowed = set()
    for rule in rules:
        if rule.type in ("a", type_) and rule.major in (ANY, major) and rule.minor in (ANY, minor):
            allowed = allowed | set(rule.access) if rule.allow else allowed - set(rule.access)
    return set(access) <= allowed


def described(rules):
    return [(rule.allow, rule.type, rule.major, rule.minor, rule.access) for rule in rules]


def answer(rules, *request):
    return interpret(devices.encode(devices.program(rules)), *request)


def allow(type_, major, minor, access="rwm"):
    return Rule(type_, major, minor, access, allow=True)


def deny(type_, major, minor, access="rwm"):
    return Rule(type_, major, minor, access, allow=False)


NOTHING, EVERYTHING = deny("a", ANY, ANY), allow("a", ANY, ANY)


@pytest.mark.parametrize(
    ("rules", "request_", "expected"),
    [
        ([], ("c", 1, 3, "r"), False),
        ([NOTHING], ("c", 1, 3, "r"), False),
        ([EVERYTHING], ("b", 8, 0, "rwm"), True),
        ([NOTHING, allow("c", 1, 3)], ("c", 1, 3, "rw"), True),
        ([NOTHING, allow("c", 1, 3)], ("b", 1, 3, "rw"), False),
        ([NOTHING, allow("c", 1, 3)], ("c", 1, 4, "rw"), False),
        ([allow("c", 1, 3), NOTHING], ("c", 1, 3, "r"), False),
        ([EVERYTHING, deny("b", 8, ANY, "w")], ("b", 8, 1, "r"), True),
        ([EVERYTHING, deny("b", 8, ANY, "w")], ("b", 8, 1, "rw"), False),
        ([allow("c", 10, 200, "r"), allow("c", 10, 200, "w")], ("c", 10, 200, "rw"), True),
        ([allow("c", 10, 200, "r")], ("c", 10, 200, "rw"), False),
        ([allow("c", 10, 200, "rw"), deny("c", ANY, 200, "w"), allow("c", 10, ANY, "w")], ("c", 10, 200, "rw"), True),
        ([allow("a", 7, ANY, "r")], ("b", 7, 3, "r"), True),
        ([allow("a", 7, ANY, "r")], ("c", 8, 3, "r"), False),
        ([NOTHING, *DEFAULTS], ("c", 1, 5, "rw"), True),
        ([NOTHING, *DEFAULTS], ("c", 136, 77, "rw"), True),
        ([NOTHING, *DEFAULTS], ("b", 8, 0, "m"), True),
        ([NOTHING, *DEFAULTS], ("b", 8, 0, "r"), False),
        ([NOTHING, *DEFAULTS], ("c", 10, 200, "rw"), False),
    ],
)
def test_decisions(rules, request_, expected):
    assert answer(rules, *request_) is expected
    assert model(rules, *request_) is expected


def test_random_lists_decide_like_the_model():
    source = random.Random(20)
    decisions = set()
    for _ in range(600):
        rules = [
            Rule(
                source.choice("abc"), source.choice((ANY, 1, 2)), source.choice((ANY, 1, 2)),
                source.choice(["", *ACCESSES]), allow=source.random() < 0.6,
            )
            for _ in range(source.randrange(8))
        ]  # fmt: skip
        for _ in range(12):
            request = (source.choice("bc"), source.choice((1, 2, 3)), source.choice((1, 2)), source.choice(ACCESSES))
            expected = model(rules, *request)
            decisions.add(expected)
            assert answer(rules, *request) is expected, (request, described(rules))
    assert decisions == {True, False}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], False), ([EVERYTHING], True), ([NOTHING, EVERYTHING], True), ([EVERYTHING, NOTHING], False),
        ([EVERYTHING, deny("c", 1, 3, "r")], False), ([EVERYTHING, *DEFAULTS], True),
        ([EVERYTHING, deny("a", 1, 1, "")], True), ([allow("a", ANY, ANY, "rw")], False),
        ([deny("c", 1, 1), EVERYTHING, allow("c", 1, 1)], True),
    ],
)  # fmt: skip
def test_when_no_program_is_needed(rules, expected):
    assert devices.allows_everything(rules) is expected


def parse(*entries):
    return devices.rules((DeviceRule(Reader(entry, "")) for entry in entries), "/linux/resources/devices")


def test_rules_of_the_configuration():
    found = parse({"allow": False}, {"allow": True, "type": "c", "major": 10, "minor": -1, "access": "rw"})
    assert described(found[:2]) == [(False, "a", ANY, ANY, "rwm"), (True, "c", 10, ANY, "rw")]
    assert found[2:] == list(DEFAULTS)


@pytest.mark.parametrize(("major", "minor"), [(4096, 0), (0, 1048576)])
def test_numbers_that_no_device_has(major, minor):
    with pytest.raises(ConfigError, match="invalid device number") as caught:
        parse({"allow": True}, {"allow": True, "type": "b", "major": major, "minor": minor})
    assert caught.value.pointer == "/linux/resources/devices/1"
