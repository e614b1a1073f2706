"""Planning makes no system calls, changes none of its inputs, and comes to the same plan each time."""

import ctypes
import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel.ids.subordinate import Grant
from pyrunc.planning import container as plan
from pyrunc.planning.exec import ExecPlan
from pyrunc.planning.facts import HostFacts
from pyrunc.spec.config import Config, parse_config
from pyrunc.wings.seccomp.filters import Filter, filter_of

from tests.bundle import default_config
from tests.seccomp_profiles import Profile, Rule
from tests.unit.spec_specimen import SECCOMP, full, minimal, places, put
from tests.unit.test_container_plan import GRANT, options, ordinary, within

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SAYING = 900  # the descriptor through which a child may speak
_MEMORY = ("brk", "mmap", "munmap", "mremap", "madvise", "mprotect")
_PR_SET_SECCOMP, _MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


def knowing(host: HostFacts) -> HostFacts:
    """A host that lacks nothing that a config could ask for."""
    host.selinux, host.apparmor, host.pyroute2, host.resctrl = True, frozenset(("p", "profile")), True, "/r"
    host.inherited, host.cgroup = frozenset(range(9)), "/user.slice/own"
    host.granted_to_root = dict.fromkeys(("uid", "gid"), (Grant("root", 5000, 65536),))
    return host


HOSTS: dict[str, Callable[[], HostFacts]] = {
    "root": lambda: knowing(HostFacts(0, in_userns=False)),
    "ordinary": lambda: knowing(ordinary(GRANT)),
    "one id": ordinary,
    "within": lambda: knowing(within()),
    "bare": lambda: HostFacts(0, in_userns=False),
}
COMMANDS: dict[str, dict[str, Any]] = {
    "plain": {"detach": False},
    "systemd": {"cgroup_manager": "systemd", "environment": {b"DBUS_SESSION_BUS_ADDRESS": b"x", b"LISTEN_FDS": b"2"},
                "detach": False},
    "disabled": {"cgroup_manager": "disabled", "preserve_fds": 4, "notify_source": "/run/c1", "detach": False},
}


def rich() -> dict[str, Any]:
    """All that can be honoured at once."""
    value = full()
    value["linux"]["cgroupsPath"] = ""
    resources = value["linux"]["resources"]
    del resources["memory"]["disableOOMKiller"], resources["network"]
    for key in [key for key in resources["cpu"] if key.startswith("realtime")]:
        del resources["cpu"][key]
    return value


def configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the bundles, the richest, the default, each of the richest without one of its parts, and some more."""
    for path in sorted(BUNDLES.glob("*/config.json")):
        yield path.parent.name, json.loads(path.read_text())
    yield "default", default_config()
    yield "minimal", minimal()
    yield "full", full()
    yield "rich", rich()
    for _, key, pointer in places(rich()):
        if isinstance(key, str) and pointer.count("/") <= 3:
            value = rich()
            *parents, last = pointer.split("/")[1:]
            section = value
            for part in parents:
                section = section[int(part)] if isinstance(section, list) else section[part]
            section.pop(last, None)
            yield f"rich without {pointer}", value
    for number, changes in enumerate(_CHANGES):
        value = default_config()
        value["linux"].setdefault("resources", {})
        for pointer, item in changes.items():
            put(value, pointer, item)
        yield f"default, changed: {number}", value


_TMPFS = {"destination": "/a", "type": "tmpfs", "options": ["ro", "tmpcopyup"]}
_CHANGES: tuple[dict[str, Any], ...] = (
    {"/mounts": [_TMPFS, {"destination": "/b", "source": "/bundle/rootfs/a", "options": ["rbind", "mode=1"]}]},
    {"/mounts": [{"destination": "/b", "source": "b", "options": ["bind", "ro", "idmap"]}]},
    {"/linux/namespaces": [{"type": kind} for kind in ("user", "mount", "cgroup", "time", "pid", "network")]},
    {"/linux/namespaces": [{"type": kind, "path": f"/{kind}"} for kind in ("user", "mount", "pid")], "/process": None},
    {"/linux/netDevices": {"eth0": {"name": "a"}}},
    {"/linux/sysctl": {"kernel.msgmax": "1"}},
    {"/linux/intelRdt": {"enableMonitoring": True, "closID": "c"}},
    {"/linux/devices": [{"type": "c", "path": "/a", "major": 1, "minor": 3, "uid": 5}, {"type": "p", "path": "/p"}]},
    {"/linux/resources": {"memory": {"limit": 5000000, "kernel": 5}, "devices": [{"allow": False}]}},
    {"/linux/cgroupsPath": "a.slice:b:c", "/annotations": {"org.systemd.property.TimeoutStopUSec": "uint64 5"}},
    {"/annotations": {"run.oci.seccomp_bpf_data": "BgAAAAAA/38=", "run.oci.delegate-cgroup": "x"}},
    {"/linux/seccomp": SECCOMP, "/process/apparmorProfile": "p", "/process/selinuxLabel": "s"},
    {"/linux/mountLabel": "m"},
    {"/process/apparmorProfile": "unknown"},
    {"/process/user": {"uid": 5, "gid": 6, "additionalGids": [7]}, "/hostname": "h"},
)  # fmt: skip


def planned(config: Config, command: str, host: HostFacts) -> "plan.ContainerPlan | str":
    """The plan, or the error in its place."""
    try:
        return plan.build(config, options(**COMMANDS[command]), host)
    except PyruncError as error:
        return str(error)


def entering(config: Config, host: HostFacts) -> "ExecPlan | str":
    """What exec would plan for the process of the config."""
    if not config.process.exists:
        return ""
    try:
        return ExecPlan("c1", config, config.process, 3, host)
    except PyruncError as error:
        return str(error)


def read() -> list[tuple[str, Config]]:
    """Those of the configs that are valid, read."""
    found = []
    for name, value in configs():
        try:
            found.append((name, parse_config(value)))
        except PyruncError:
            continue
    assert len(found) > 60
    return found


CONFIGS = read()


def plain(value: object) -> object:
    """What compares by its attributes, all the way down."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    kind = type(value)
    if not kind.__module__.startswith("pyrunc."):
        return value
    names = {name: None for each in kind.__mro__ for name in getattr(each, "__slots__", ())}
    names |= getattr(value, "__dict__", {})
    return [kind.__name__, *((name, plain(getattr(value, name, "not set"))) for name in names)]


@cache
def only_memory() -> Filter:
    """Any other system call is the process's end."""
    rules = (
        Rule((*_MEMORY, "exit_group"), "SCMP_ACT_ALLOW"),
        Rule(("write",), "SCMP_ACT_ALLOW", args=((0, "SCMP_CMP_EQ", SAYING, 0),)),
    )
    return filter_of(Profile("SCMP_ACT_KILL_PROCESS", rules))


def confined(work: Callable[[], None]) -> tuple[int, bytes]:
    """Do this in a child that is killed by the first system call; (the signal or status of its end, what it said)."""
    instructions = only_memory().instructions
    buffer = ctypes.create_string_buffer(instructions, len(instructions))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(instructions) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    where, saying = ctypes.c_void_p(ctypes.addressof(program)), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            gc.disable()
            gc.freeze()  # what a test before us has left may close files when it goes
            os.dup2(saying[1], SAYING)
            if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _MODE_FILTER, where, 0, 0):
                os._exit(2)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(SAYING, repr(error).encode()[:4000])
            os._exit(1)
    os.close(saying[1])
    with os.fdopen(saying[0], "rb") as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_the_filter_kills_for_a_system_call() -> None:
    assert confined(lambda: None) == (0, b"")
    assert confined(lambda: os.getpid() and None) == (-signal.SIGSYS, b"")
    assert confined(lambda: os.stat("/") and None) == (-signal.SIGSYS, b"")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("host", HOSTS)
def test_planning_makes_no_system_call(command: str, host: str) -> None:
    """But for memory, once its modules are loaded. What cannot be honoured is refused without any, too."""
    facts = HOSTS[host]()

    def work() -> None:
        for name, config in CONFIGS:
            os.write(SAYING, f"{name}\n".encode())
            planned(config, command, facts)
            entering(config, facts)
        os.write(SAYING, b"end")

    for _, config in CONFIGS:
        planned(config, command, facts)
        entering(config, facts)
    status, said = confined(work)
    assert (status, said.splitlines()[-1]) == (0, b"end")


@pytest.mark.parametrize("host", HOSTS)
def test_the_same_comes_of_the_same_and_nothing_is_changed(host: str) -> None:
    plans = 0
    for name, config in CONFIGS:
        for command in COMMANDS:
            facts, given = HOSTS[host](), options(**COMMANDS[command])
            before = plain([config, facts, given])
            first, second = (planned(config, command, facts) for _ in range(2))
            assert plain(first) == plain(second), name
            assert plain(entering(config, facts)) == plain(entering(config, facts)), name
            assert plain([config, facts, given]) == before, name
            plans += not isinstance(first, str)
    assert plans > (200 if host == "root" else 30)


TAKEN_OVER = ("process", "hooks", "annotations", "personality", "memory_policy", "profile", "options")
"""What of a plan is the config's own, or the command line's."""


def parts(value: object, name: str) -> Iterator[tuple[str, object]]:
    """All that a plan consists of, with a name for each."""
    yield name, value
    if isinstance(value, (tuple, list, dict, frozenset)):
        for i, item in enumerate(value.items() if isinstance(value, dict) else value):
            yield from parts(item, f"{name}[{i}]")
    for key in slots(value):
        yield from parts(getattr(value, key), f"{name}.{key}")


def slots(value: object) -> list[str]:
    return [key for kind in type(value).__mro__ for key in getattr(kind, "__slots__", ()) if hasattr(value, key)]


@pytest.mark.parametrize("host", HOSTS)
def test_a_plan_does_not_change(host: str) -> None:
    """Nor what it consists of. What has no attributes has nothing to write to, either."""
    made: list[object] = []
    for _, config in CONFIGS:
        made += [planned(config, command, HOSTS[host]()) for command in COMMANDS]
        made.append(entering(config, HOSTS[host]()))
    for one in made:
        for key in slots(one):
            for name, value in parts(getattr(one, key), key) if key not in TAKEN_OVER else ():
                assert not isinstance(value, (list, dict, set)), name
                for attribute in slots(value):
                    with pytest.raises(AttributeError, match="does not change"):
                        setattr(value, attribute, getattr(value, attribute))
            with pytest.raises(AttributeError, match="does not change"):
                setattr(one, key, None)
            with pytest.raises(AttributeError, match="does not change"):
                delattr(one, key)
