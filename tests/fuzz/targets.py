"""What is fuzzed of the parsers: TARGETS takes bytes, and fails if anything but a user's error comes out, or if an
answer is not what a second reader, an encoder or the JSON schema says. SEEDS are what the fuzzer starts from.

`tests/fuzz/parsers` gives them what atheris invents; tests/unit/test_fuzz_targets.py the seeds, and what once failed.
"""

import functools
import json
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from pyrunc import arguments, jsontext
from pyrunc.cgroup import values
from pyrunc.commands.create import VERB
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel import files
from pyrunc.kernel.ids import subordinate
from pyrunc.kernel.process import processes, signals
from pyrunc.planning import security
from pyrunc.savedstate import State
from pyrunc.spec import annotations
from pyrunc.spec.config import Config, parse_config, parse_process, parse_resources
from pyrunc.spec.reader import Reader
from pyrunc.stages import channel, step_report
from pyrunc.stages.conversation import CREATED, FAILURE, Ending
from pyrunc.wings import resctrl
from pyrunc.wings.criu import images, rpc
from pyrunc.wings.documents.schema import schema_problems
from pyrunc.wings.seccomp import filters
from pyrunc.wings.systemd import bus, gvariant, properties

from tests.unit.spec_specimen import NEAR_BORDERS, RESOURCES, SECCOMP, full, minimal, places

RANGES = {"y": (0, 2**8), "n": (-(2**15), 2**15), "q": (0, 2**16), "i": (-(2**31), 2**31), "u": (0, 2**32),
          "x": (-(2**63), 2**63), "t": (0, 2**64)}  # fmt: skip


def parsed(data: bytes) -> Any:
    """The JSON value of `data`; None if it is refused."""
    try:
        return jsontext.loads(data, "fuzz")
    except PyruncError as error:
        assert str(error).isprintable()
        return None


def json_text(data: bytes) -> None:
    """Python's own reader accepts what ours accepts, with the same value; what ours writes both read again."""
    value = parsed(data)
    if value is None:
        return
    assert json.loads(data) == value
    for text in (jsontext.dumps(value), jsontext.dumps_to_show(value), jsontext.dumps_indented(value)):
        assert jsontext.loads(text, "again") == json.loads(text) == value
    assert jsontext.dumps_to_show(value).isprintable()


def config(data: bytes) -> None:
    """The specimen with values put in as the bytes say: reader and schema agree, whatever the rules say."""
    value = full() if data[:1] < b"\xc0" else minimal()
    for i in range(1, min(len(data), 24) - 3, 4):
        spots = list(places(value))
        if not spots:
            break
        container, key, _ = spots[int.from_bytes(data[i : i + 2]) % len(spots)]
        container[key] = _invented(data[i + 2], data[i + 3 :], container[key])
    error = refusal(lambda: Config(Reader(value, "")))
    if data[-1:] < b"\x10":  # one of sixteen: the schema takes a tenth of a second
        assert (error is None) == (not schema_problems(value))
    refusal(lambda: parse_config(value))
    refusal(lambda: parse_process(value.get("process")))


def _invented(kind: int, rest: bytes, old: Any) -> Any:
    text = rest[:16].decode("utf-8", "replace")
    plain = [None, True, False, 1.5, [], {}, "", text, rest[:1].decode("latin-1"), [text], {text: text}, [old, old]]
    return plain[kind] if kind < len(plain) else NEAR_BORDERS[kind % len(NEAR_BORDERS)]


def refusal(read: Callable[[], object]) -> PyruncError | None:
    """The error that `read` raises, which must be one for users, in one line."""
    try:
        read()
    except PyruncError as error:
        assert str(error).isprintable()
        return error
    return None


class Kept(Container):
    """A state directory in memory."""

    __slots__ = ("files",)
    files: dict[str, bytes]

    def _read(self, name: str) -> bytes | None:
        content: bytes | None = self.files.get(name)
        return content


def state(data: bytes) -> None:
    """state.json, or the journal: what is read of them has its types, and can be told as JSON."""
    container = Kept("/root", "box", -1)
    container.files = {"journal" if data[:1] == b"j" else "state.json": data[1:]}
    found: list[State] = []
    if refusal(lambda: found.append(container.load())) is not None:
        return
    (read,) = found
    assert type(read.pid) is int
    assert type(read.start_time) is int
    assert isinstance(read.cgroup, str)
    assert read.unit is None or all(isinstance(word, str) for word in read.unit.words)
    for name in ("poststart", "poststop"):
        for hook in read.hooks(name):
            assert isinstance(hook.path, str)
    read.only_first_reached()
    json.loads(jsontext.dumps_to_show(read.spec_state("running")))


def gvariant_text(data: bytes) -> None:
    """A value fits its signature, D-Bus can carry it, and written as text again it is the same value."""
    text = data.decode("utf-8", "replace")
    refusal(lambda: properties.of_annotations({"org.systemd.property.TimeoutStopSec": text}))
    try:
        signature, value = gvariant.parse(text)
    except ValueError:
        return
    assert "".join(bus.split(signature)) == signature
    again = gvariant.parse(_written(signature, value))
    assert repr(again) == repr((signature, value))


def _written(signature: str, value: Any) -> str:
    kind = signature[0]
    if kind == "a":
        parts = [_written(signature[1:], part) for part in value]
        return f"[{', '.join(parts)}]" if parts else f"@{signature} []"
    if kind == "(":
        parts = [_written(inner, part) for inner, part in zip(bus.split(signature[1:-1]), value, strict=True)]
        return f"({', '.join(parts)},)" if parts else "()"
    if kind in RANGES:
        low, high = RANGES[kind]
        assert low <= value < high
        return f"@{kind} {value}"
    if kind == "d":
        assert type(value) is float
        return f"@d {value!r}"
    if kind == "b":
        return "true" if value else "false"
    assert "\0" not in value
    value.encode()
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"@{kind} '{escaped}'"


def protobuf(data: bytes) -> None:
    """CRIU's answers; and what we write, as we read it."""
    found: list[rpc.Response] = []
    if refusal(lambda: found.append(rpc.Response(data))) is None:
        assert type(found[0].pid) is int
    text, number = data[:20].decode("utf-8", "replace"), int.from_bytes(data[:8])
    request = rpc.encode(rpc.REQUEST, {"type": number, "opts": {"log_file": text, "external": [text, text]}})
    fields = rpc.decode(request)
    assert fields[1] == number
    opts = fields[2]
    assert isinstance(opts, bytes)
    assert rpc.decode(opts)[10] == text.encode()


def descriptors_of_image(data: bytes) -> None:
    """descriptors.json of a checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, images.DESCRIPTORS).write_bytes(data)
        directory = os.open(place, os.O_RDONLY)
        found: list[dict[str, int]] = []
        try:
            refusal(lambda: found.append(images.inherited_streams(directory, 3)))
        finally:
            os.close(directory)
            for fd in found[0].values() if found else ():
                os.close(fd)


def mountinfo(data: bytes) -> None:
    """Mount points as the kernel writes them (fs/proc_namespace.c: space, tab, line feed and backslash as octal)."""
    points = [part for part in data.split(b"\0") if part]
    lines = [
        b"%d 23 0:27 / /%s rw shared:1 - tmpfs tmpfs rw\n"
        % (i, b"".join(b"\\%03o" % c if c in b" \t\n\\" else bytes([c]) for c in point))
        for i, point in enumerate(points)
    ]
    with mock.patch.object(files, "read", lambda *_: b"".join(lines)):
        table = processes.mount_table() if lines else []
    assert [point.encode("utf-8", "surrogateescape") for _, _, point in table] == [b"/" + point for point in points]


def resctrl_files(data: bytes) -> None:
    """Schemata and counters: read twice, the same."""
    text = data.decode("utf-8", "replace")
    found = resctrl._parse(text.splitlines())
    lines = [f"{resource}:{domain}={value}" for (resource, domain), value in found.items()]
    words = [word for key, value in found.items() for word in (*key, value)]
    if all(word.isascii() and word.isprintable() and not set(":;= ") & set(word) for word in words):
        assert resctrl._parse(lines) == found


def seccomp_profile(data: bytes) -> None:
    """A profile as JSON, compiled; and the filter that an annotation holds."""
    refusal(lambda: annotations.seccomp_instructions(data.decode("latin-1")))
    value = parsed(data)
    if not isinstance(value, dict):
        return
    whole = minimal() | {"linux": {"seccomp": value}}
    found: list[Config] = []
    if refusal(lambda: found.append(parse_config(whole))) is not None or len(data) > 4000:
        return
    profile = security.profile(found[0])
    assert profile is not None
    compiled: list[bytes] = []
    if refusal(lambda: compiled.append(filters._compile(filters._Libseccomp(), profile))) is None:
        assert len(compiled[0]) % 8 == 0
        assert 0 < len(compiled[0]) <= 4096 * 8


def resources(data: bytes) -> None:
    """`update --resources`: from the file to what is written into the cgroup, and to systemd."""
    value = parsed(data)

    def convert() -> None:
        settings = values.settings(parse_resources(value), lambda _: None)
        for _, signature, amount in properties.of_settings(settings):
            _written(signature, amount)

    refusal(convert)


def messages(data: bytes) -> None:
    """What a child, or pyrunc-init in a container, says to the command that waits for it."""
    ours, theirs = channel.pair()
    try:
        theirs._socket.send(data[1:60_000])
        theirs.close()
        if data[:1] < b"\x80":
            refusal(lambda: ours.expect(CREATED, "setting up"))
        else:
            refusal(lambda: ours.expect_child("setting up"))
    finally:
        ours.close()
        theirs.close()
    assert str(step_report.error_of(data)).isprintable()
    way = Ending()
    for piece in (data[:9], data[9:]):
        way.take(piece)
    assert str(way.error("the process", None)).isprintable()


def command_line(data: bytes) -> None:
    """Options, signals, and lines of /etc/subuid."""
    words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")]
    refusal(lambda: arguments.take_options(words, VERB.options, arguments.Arguments()))
    for word in words:
        refusal(functools.partial(signals.number, word))
    with mock.patch.object(subordinate, "_text", lambda _: data.decode("utf-8", "surrogateescape")):
        assert all(0 <= grant.first < 10**10 > grant.count > 0 for grant in subordinate.lines(""))


def _json(*found: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in found]


STATE = {
    "version": 1,
    "id": "box",
    "bundle": "/b",
    "pid": 7,
    "startTime": 5,
    "cgroup": "/a",
    "unit": ["a", "b", "c"],
    "annotations": {"a": "b"},
    "hooks": {"poststop": [{"path": "/h", "args": ["h"], "env": None, "timeout": 5}]},
}
TARGETS: dict[str, Callable[[bytes], None]] = {
    "json": json_text, "config": config, "state": state, "gvariant": gvariant_text, "protobuf": protobuf,
    "descriptors": descriptors_of_image, "mountinfo": mountinfo, "resctrl": resctrl_files, "seccomp": seccomp_profile,
    "resources": resources, "messages": messages, "command-line": command_line,
}  # fmt: skip
SEEDS: dict[str, list[bytes]] = {
    "json": [
        b'{"a": [1, -2.5e3, true, null, "\\u00e9\\ud83d\\ude00"], "b": {}}',
        b" [] ",
        b'"\\u009b"',
        b"1e999",
        b"[" * 60,
    ],
    "config": [bytes(range(24)), b"\xff" * 24, b"\x00\x01\x02\x07abc" * 4],
    "state": [b"s" + _json(STATE)[0], b'j["id","box"]\n["pid",5]\n["unit",["a","b","c"]]\n["cgroup"', b"s{}", b"j"],
    "gvariant": [
        b"uint64 5",
        b"['a', 'b']",
        b"@as []",
        b"('x', 3, [1.5], true)",
        b"-0x1f",
        b"'\\u00e9\\n'",
        b"inf",
        b"@(is) (1, 'a')",
    ],
    "protobuf": [
        rpc.encode(rpc.REQUEST, {"type": 1, "opts": {"pid": 5, "ext_mnt": [{"key": "a", "val": "b"}]}}),
        b"\x08\xff" * 9,
    ],
    "descriptors": _json(["pipe:[1]", "file[1:2]", "tty[3:4]"], {}, ["pipe:[1]"] * 5, [1, None]),
    "mountinfo": [b"a b\0\\040\0\n\t\0\xff - x"],
    "resctrl": [b"L3:0=7f0;1=1f\nMB:0=20", b"L3CODE:00=0; 1 = F", b":;=="],
    "seccomp": [
        *_json(SECCOMP),
        b"AAAA",
        b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_TRAP"}]}',
    ],
    "resources": _json(
        RESOURCES, {"unified": {"memory.max": "1G", "cpu.max": "max 1", "cpuset.cpus": "0-3"}}, {"cpu": {"cpus": "0-1"}}
    ),
    "messages": [
        b"\0created",
        b'\0error {"error": "ConfigError", "message": "a", "errno": 2}',
        FAILURE + b" " + struct.pack("@4i", 1, 0, 2, 0) + b"a\0b",
        b"startedlistens 12345678",
        b"\xff" + bytes(8),
    ],
    "command-line": [b"--bundle\0a\0--pid-file=b\0id", b"RTMIN+3\09\0SIGTERM", b"a:100000:65536\n"],
}
