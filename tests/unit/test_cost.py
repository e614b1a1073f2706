"""What twice the input costs: no reading of what others write is worse than linear.

Counted are executed byte codes, which see each loop of ours, and for what runs in C behind one of them the characters
that are copied out of the text and the comparisons of keys. Seconds are not.
"""

import copy
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pyrunc import arguments, jsontext
from pyrunc.bundle import read_given
from pyrunc.cgroup import names, values
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel import files
from pyrunc.kernel.ids import subordinate
from pyrunc.kernel.mount import mountoptions
from pyrunc.kernel.process import processes
from pyrunc.planning import container as plan
from pyrunc.planning import exec as exec_plan
from pyrunc.planning import mounts as planned_mounts
from pyrunc.planning.facts import HostFacts
from pyrunc.spec import rules_process
from pyrunc.spec.config import Config, parse_process
from pyrunc.spec.linux import RANGES_MAX
from pyrunc.spec.reader import Reader
from pyrunc.spec.resources import Resources
from pyrunc.spec.rules import config_problems, config_warnings
from pyrunc.stages import last_steps
from pyrunc.wings import resctrl
from pyrunc.wings.criu import rpc
from pyrunc.wings.events import stats
from pyrunc.wings.seccomp import filters
from pyrunc.wings.systemd import bus, gvariant, properties

from tests.seccomp_profiles import Profile, Rule
from tests.unit.spec_specimen import PROCESS, full, minimal, places

SMALL = 400
SLACK = 1.1  # for what does not grow at all, and grows the more slowly for it


def codes(work: Callable[[], object]) -> int:
    """How many byte codes `work` executes; an error that is meant for a user is an end like any other."""
    count = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except (PyruncError, ValueError):
        pass
    finally:
        sys.settrace(before)
    return count


def assert_linear(work: Callable[[int], Callable[[], object]], size: int = SMALL) -> None:
    """Twice the size costs at most twice as much."""
    codes(work(size))  # what is loaded or made at the first use
    small, large = codes(work(size)), codes(work(2 * size))
    assert large <= small * 2 * SLACK, f"{small} byte codes at {size}, {large} at twice the size"


TEXTS: dict[str, Callable[[int], str]] = {
    "keys": lambda n: "{" + ",".join(f'"{i}":1' for i in range(n)) + "}",
    "a key twice": lambda n: "{" + ",".join(f'"{i}":1' for i in range(n)) + f',"{n - 1}":1}}',
    "blanks": lambda n: " \n" * n + "1" + "\t " * n,
    "only blanks": lambda n: " \n" * n,
    "digits": lambda n: "9" * n * 100,
    "digits of a fraction": lambda n: "0." + "9" * n * 100 + "e1",
    "digits of an exponent": lambda n: "1e" + "9" * n * 100,
    "depth": lambda n: "[" * n * 100,
    "lists": lambda n: "[" + ",".join(["[[],{}]"] * n) + "]",
    "escapes": lambda n: '"' + "\\ud83d\\ude00" * n + '"',
    "halves of pairs": lambda n: '"' + "\\ud83d" * n + '"',
    "text behind": lambda n: "1 " + "x" * n,
}


@pytest.mark.parametrize("text", TEXTS)
def test_json(text: str) -> None:
    assert_linear(lambda n: lambda: jsontext.loads(TEXTS[text](n), "x"))


@pytest.mark.parametrize("text", ["blanks", "only blanks", "digits", "depth", "escapes"])
def test_json_is_not_read_by_character(text: str) -> None:
    """Fifty million blanks took seconds."""
    few, many = (codes(lambda n=n: jsontext.loads(TEXTS[text](n), "x")) for n in (1000, 8000))
    assert many <= few


class Key(str):
    """A key that counts the comparisons that are made with it."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Key.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_a_key_that_stands_twice_is_not_looked_for_again_and_again() -> None:
    for size in (100, 1000):
        Key.comparisons = 0
        pairs: list[tuple[str, Any]] = [(Key(f"{i}"), 1) for i in range(size)]
        with pytest.raises(jsontext._DuplicateKey, match=f"^{size - 1}$"):
            jsontext._pairs([*pairs, (Key(f"{size - 1}"), 1)])
        assert Key.comparisons < 10


def test_digits_are_not_told_as_the_interpreter_does() -> None:
    with pytest.raises(jsontext.JSONTextError, match=r"^x: an integer of more than 4300 digits$"):
        jsontext.loads("9" * 5000, "x")


LISTS = [at for container, key, at in places(full()) if isinstance(container[key], list)]
MAPS = ["/annotations", *(f"/linux/{key}" for key in ("sysctl", "netDevices", "timeOffsets"))]
MAPS += [f"/linux/resources/{key}" for key in ("rdma", "unified")]


def grown(pointer: str, size: int) -> Any:
    """The specimen with `size` entries in the list or map at `pointer`."""
    value = full()
    container, key = next((container, key) for container, key, at in places(value) if at == pointer)
    entries = container[key]
    if isinstance(entries, list):
        container[key] = [copy.deepcopy(entries[0]) for _ in range(size)]
        for i, entry in enumerate(container[key] if pointer.endswith("Mappings") else ()):
            entry |= {"containerID": i, "hostID": i, "size": 1}
    else:
        name, entry = next(iter(entries.items()))
        container[key] = {f"{name}{i}": copy.deepcopy(entry) for i in range(size)}
    return value


@pytest.mark.parametrize("pointer", [*LISTS, *MAPS])
def test_config(pointer: str) -> None:
    """Reader and rules, all of them: `validate` does not stop at the first violation."""

    def work(size: int) -> Callable[[], object]:
        value = grown(pointer, size)

        def read() -> None:
            config = Config(Reader(value, ""))
            list(config_problems(config))
            list(config_warnings(config))

        return read

    assert_linear(work, 100)


class Text(str):
    """A text that counts the characters which are copied out of it."""

    __slots__ = ()
    copied = 0

    def __getitem__(self, index: Any) -> str:
        part = super().__getitem__(index)
        Text.copied += len(part)
        return part


GVARIANTS: dict[str, Callable[[int], str]] = {
    "numbers": lambda n: "[" + "1, " * n + "1]",
    "strings": lambda n: "(" + "'ab' ,  " * n + ")",
    "one string": lambda n: "'" + "a" * n + "'",
    "unterminated string": lambda n: "'" + "a" * n,
    "blanks": lambda n: " " * n + "1" + " " * n + "x",
    "tuples": lambda n: "[" + "(1, 'x'), " * n + "]",
    "a word": lambda n: "9" * n,
    "a signature": lambda n: "@" + "(i)" * n,
}


@pytest.mark.parametrize("text", GVARIANTS)
def test_gvariant(text: str) -> None:
    assert_linear(lambda n: lambda: gvariant.parse(GVARIANTS[text](n)))
    copied = []
    for size in (SMALL, 2 * SMALL):
        Text.copied, given = 0, Text(GVARIANTS[text](size))
        codes(lambda given=given: gvariant.parse(given))
        copied.append(Text.copied)
    assert copied[1] <= copied[0] * 2 * SLACK


@pytest.mark.parametrize("option", ["idmap", "idmap=uids=@0-{0}-1;gids=@0-{0}-1"])
def test_ranges_of_a_mount(option: str) -> None:
    """Those of the container are looked through for each mount."""

    def work(size: int) -> Callable[[], object]:
        value = full()
        entries = [{"containerID": i, "hostID": i, "size": 1} for i in range(size)]
        value["linux"] |= {"uidMappings": entries, "gidMappings": entries}
        value["mounts"] = [{"destination": "/a", "options": ["bind", option.format(size - 1)]} for _ in range(size)]
        config = Config(Reader(value, ""))
        return lambda: list(config_problems(config))

    assert_linear(work, RANGES_MAX + 1)


def test_ranges_in_an_option() -> None:
    assert_linear(lambda n: lambda: list(config_problems(mounting("idmap=uids=" + "#".join(["@0-0-1"] * n)))), 400)


def mounting(option: str) -> Config:
    """A config with one mount."""
    value = full()
    value["mounts"] = [{"destination": "/a", "options": ["bind", option]}]
    return Config(Reader(value, ""))


GRANTS = tuple(subordinate.Grant("ann", 10 * i, 5) for i in range(2 * SMALL))
READINGS: dict[str, Callable[[int], Callable[[], object]]] = {
    "options of a mount": lambda n: lambda: mountoptions.parse(["ro", "a=b", "rslave", "rnosuid"] * n),
    "words of a command": lambda n: (
        lambda: arguments.take_options(
            ["-e", "x", "--", "a"] * n, (arguments.Option("e", "", "X", repeat=True),), arguments.Arguments()
        )
    ),
    "options of a command": lambda n: (
        lambda: arguments.take_options(
            ["-e", "x", "a"] * n, (arguments.Option("e", "", "X", repeat=True),), arguments.Arguments()
        )
    ),
    "environment": lambda n: (
        lambda: parse_process(PROCESS | {"env": [f"A{i}=1" for i in range(n)]}).environment(["B="])
    ),
    "variables of exec": lambda n: lambda: exec_plan.process_of(PROCESS, asked(env=[f"A{i}=1" for i in range(n)])),
    "capabilities of exec": lambda n: lambda: exec_plan.process_of(PROCESS, asked(capabilities=["kill"] * n)),
    "groups of exec": lambda n: lambda: exec_plan.process_of(PROCESS, asked(additional_gids=["1"] * n)),
    "cgroup of exec": lambda n: lambda: exec_plan.sub_cgroup("/a" * n),
    "path of a cgroup": lambda n: lambda: names.fs_path("/a" * n, "c"),
    "slice": lambda n: lambda: names.unit("-".join("a" * n) + ".slice:a:b", "c"),
    "version": lambda n: lambda: Config(Reader(minimal() | {"ociVersion": "1.0.0-" + ".".join("a" * n)}, "")),
    "lines of a cgroup's file": lambda n: lambda: setting({"unified": {"io.max": "8:0 rbps=1\n" * n}}),
    "files of a cgroup": lambda n: lambda: setting({"unified": {f"a.b{i}": "1" for i in range(n)}}),
    "devices with limits": lambda n: lambda: setting({"rdma": {f"a{i}": {"hcaHandles": 1} for i in range(n)}}),
    "pages with limits": lambda n: lambda: setting({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}] * n}),
    "counters of a cgroup": lambda n: lambda: stats.counters("".join(f"k{i} {i}\n" for i in range(n))),
    "signature of D-Bus": lambda n: lambda: bus.split("(si)" * n),
    "structure of D-Bus": lambda n: lambda: bus._contents(f"({'i' * n})", list(range(n))),
    "granted ranges": lambda n: lambda: subordinate.IdRights(1, 1, "ann", GRANTS[:n], (), {}).may_map("uid", 10 * n, 5),
    "message of a long error": lambda n: lambda: str(PyruncError("a" * n * 100)),
}


def asked(**given: Any) -> exec_plan.ExecOptions:
    """Options of exec."""
    result = exec_plan.ExecOptions(["x"])
    for key, value in given.items():
        setattr(result, key, value)
    return result


def setting(resources: Any) -> object:
    """What systemd and the cgroup's files are told."""
    return properties.of_settings(values.settings(Resources(Reader(resources, "")), lambda _: None))


@pytest.mark.parametrize("what", READINGS)
def test_reading(what: str) -> None:
    assert_linear(READINGS[what])


def test_journal(tmp_path: Any) -> None:
    """Of a container whose create was killed; everybody who may write into the state directory can make it long."""

    def work(size: int) -> Callable[[], object]:
        (tmp_path / "journal").write_bytes(b'["cgroup","/a"]\nnot JSON\n' * size)
        fd = os.open(tmp_path, os.O_RDONLY | os.O_CLOEXEC)
        return lambda: Container("c1", str(tmp_path), fd)._journal()

    assert_linear(work)


HOST_PARTS = ("netDevices", "intelRdt", "mountLabel", "namespaces")
PLANNED = [at for at in (*LISTS, *MAPS) if not at.startswith(tuple(f"/linux/{part}" for part in HOST_PARTS))]


@pytest.mark.parametrize("pointer", PLANNED)
def test_plan(pointer: str) -> None:
    """What was read is planned; whether rules refuse it is not asked."""

    def work(size: int) -> Callable[[], object]:
        value = grown(pointer, size)
        for part in HOST_PARTS:
            value["linux"].pop(part)
        value["process"] |= {"apparmorProfile": "", "selinuxLabel": ""}
        options = plan.CreateOptions("c1", "/b")
        options.cgroup_manager = "systemd"  # its properties come from the settings that cgroupfs writes
        config = Config(Reader(value | {"root": {"path": "/"}}, ""))
        config.linux.cgroups_path = None
        return lambda: plan.ContainerPlan(config, options, HostFacts(0, in_userns=False))

    assert codes(work(100)) > 2000  # it comes to its end
    assert_linear(work, 100)


@pytest.mark.parametrize("source", ["/r/x", "/r/d1", "/r" + "/a" * 50])
def test_mounts_of_what_earlier_mounts_make(source: str) -> None:
    """Each source is looked for among all destinations before it."""

    def work(size: int) -> Callable[[], object]:
        options = mountoptions.parse(["bind"])
        entries = [mountoptions.Mount(source, f"/d{i}" + "/a" * 50, "", options) for i in range(size)]
        return lambda: planned_mounts.with_earlier(entries, "/r")

    assert_linear(work, 50)


def test_criu_protocol() -> None:
    assert_linear(lambda n: lambda: rpc.decode(b"\x08\x01\x12\x02ab" * n))
    assert_linear(lambda n: lambda: rpc.encode(rpc.OPTIONS, {"external": ["a"] * n}))
    with pytest.raises(PyruncError, match="is malformed"):
        rpc.decode(b"\x08" + b"\xff" * 1_000_000 + b"\x01")  # one number: each byte would shift all before it


def test_resctrl_schemata() -> None:
    assert_linear(lambda n: lambda: resctrl._parse(["L3:" + ";".join(f"{i}=f" for i in range(n))]))


def test_mounts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"31 23 0:27 / /a\\040b rw,nosuid shared:1 - tmpfs tmpfs rw\n"
    assert_linear(lambda n: lambda: (monkeypatch.setattr(files, "read", lambda _: line * n), processes.mount_table()))


@pytest.mark.parametrize("names", [lambda i: f"/a{i}/b", lambda i: f"/a/{i}/b"])
def test_mounts_of_earlier_mounts(names: Callable[[int], str]) -> None:
    def bind_all(n: int) -> Callable[[], object]:
        options = mountoptions.parse(("rbind",))
        made = [mountoptions.Mount(f"/root{names(i)}", names(i + 1), "", options) for i in range(n)]
        return lambda: planned_mounts.with_earlier(made, "/root")

    assert_linear(bind_all)


class Piece(bytes):
    """What one read(2) gave; that is never added to what came before, because that copies it again each time."""

    __slots__ = ()

    def __radd__(self, other: object) -> bytes:
        raise AssertionError("pieces are added one by one")


@pytest.mark.parametrize("read", [lambda: files.read("/dev/null"), lambda: read_given("-")])
def test_pieces_of_a_file(read: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [Piece(b""), *[Piece(b"x")] * 9]
    monkeypatch.setattr(files.posix, "read", lambda *_: pieces.pop())
    assert read() == b"x" * 9


HUGE = "0-999999999"
LONG = ",".join(["0-65535"] * 10_000)


@pytest.mark.parametrize("text", [HUGE, LONG, "0-65536", "65536", "0," * 40_000 + "1"])
def test_lists_of_numbers_do_not_grow_by_what_they_say(text: str) -> None:
    """A few characters name as many CPUs as they like."""
    assert not rules_process.is_number_list(text)
    with pytest.raises(ValueError, match=r"not a range|too many"):
        values.members(text)
    with pytest.raises(ValueError, match=r"not a range|too many"):
        properties.bits(text)


def test_lists_of_numbers_within_their_limits() -> None:
    text = ",".join(["0-8191"] * 5000)
    assert rules_process.is_number_list(text)
    policy: Any = type("Policy", (), {"mode": "MPOL_BIND", "nodes": text, "flags": []})()
    steps: Any = type("Steps", (), {"call": lambda *_, **__: 0, "blob": lambda *_: 0})()
    for work in (
        lambda: exec_plan.cpus(text), lambda: values.members(text), lambda: properties.bits(text),
        lambda: last_steps._memory_policy(steps, policy),
    ):  # fmt: skip
        assert codes(work) < 500_000  # and not 5000 times 8192
    assert exec_plan.cpus("3,0-1,1") == (0, 1, 3)


def test_rules_of_seccomp_end_where_the_kernel_does() -> None:
    """libseccomp compares a rule with arguments with all others: 8000 took 17 seconds, and were too many in the end."""
    added: list[Any] = []

    class Library:
        version = "2.5"

        def function(self, name: str, _: str) -> Callable[..., int]:
            return (lambda *_: 0) if name == "seccomp_syscall_resolve_name" else lambda *rule: added.append(rule) or 0

    rules = tuple(Rule(("read",), "SCMP_ACT_ALLOW", None, ((0, "SCMP_CMP_EQ", i, 0),)) for i in range(5000))
    with pytest.raises(PyruncError, match="more than 4096 rules"):
        filters._add_rules(Library(), None, Profile("SCMP_ACT_ERRNO", rules), 0)
    assert len(added) == 4096
