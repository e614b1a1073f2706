"""What each process of ours in a container may hold at each execve, at each path that it looks up, and when the
container can see it for the first time: a table, and every kind of container held to it.

`restore` is not held to it: CRIU has to trace what it restores, and a process has one tracer (ptrace(2)).
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from pyrunc.kernel.process import lsm
from pyrunc.kernel.process.capabilities import NAMES

from tests import tracing
from tests.bundle import Bundle
from tests.ordinaryuser import OrdinaryUser
from tests.peers import only_pyrunc
from tests.runtime import Container, Runtime, new_id

pytestmark = [
    only_pyrunc("has other processes, which keep other promises"),
    pytest.mark.skipif(not tracing.POSSIBLE, reason=tracing.WHY_NOT),
]

Stop = dict[str, Any]
HOOK = "/bin/stat"  # of the image, and at the same path of the host: no program of a test's is another's hook
PROGRAM = "/bin/echo"
STREAMS = 3
HARMLESS = ("socket:", "anon_inode:", "/memfd:steps", "/memfd:state", "/memfd:hook-output")
ALLOWED = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}]}


class Case(NamedTuple):
    """A command that makes processes in a container, and what is known of them."""

    command: "list[str]"
    bundle: Bundle
    joined: "dict[str, str]"  # namespace: its identity, of those that others are in
    user: int = 0
    outside: int = 0  # uid 0 of the container on the host


def mask(names: "list[str]") -> int:
    return sum(1 << NAMES.index(name) for name in names)


# -- the table -------------------------------------------------------------------------------------------------------


def held(stop: Stop, case: Case) -> "Iterator[str]":
    """What a stop shows that it must not."""
    stage = _stage(stop)
    yield from globals()[f"_{stage}"](stop, case)
    if stop["SigIgn"] and stage in ("program", "hook", "init"):
        yield f"ignores signals {stop['SigIgn']:x}"
    if stop["Threads"] != 1:
        yield f"has {stop['Threads']} threads"
    if stop["namespaces"]["pid"] in case.joined.values() and _is_interpreter(stop["exe"]):
        yield "is an interpreter that others in its pid namespace can see"


def _is_interpreter(executable: str) -> bool:
    """Whether it is CPython, or the launcher that CPython's library is linked to (not /memfd:pyrunc-init)."""
    return "python" in executable or executable.endswith("/pyrunc")


def _stage(stop: Stop) -> str:
    if stop["call"] == "first":
        return "seen"
    if _is_interpreter(stop["exe"]):
        return "leaves" if stop["path"] == "" else "host_hook"
    if stop["call"] in ("execve", "execveat"):
        return "hook" if stop["path"] == HOOK else "program"
    return "init"


def _seen(stop: Stop, case: Case) -> "Iterator[str]":
    """The container's processes can see it from now on; in a pid namespace that is new there is none."""
    if stop["namespaces"]["pid"] in case.joined.values():
        yield from _no_more_than_the_program(stop, case, new_privileges=False)
        yield from _no_way_out(stop)


def _host_hook(stop: Stop, case: Case) -> "Iterator[str]":
    """A createContainer hook: a program of the host's in the container's namespaces."""
    for fd in stop["descriptors"]:
        if fd["number"] >= STREAMS and not fd["close-on-exec"]:
            yield f"passes on descriptor {fd['number']}, {fd['target']}"


def _leaves(stop: Stop, case: Case) -> "Iterator[str]":
    """The interpreter is about to become pyrunc-init, which writes the label through a private procfs, and closes that
    before it looks up a path."""
    yield from _no_way_out(stop, also="/memfd:pyrunc-init", procfs="apparmorProfile" in case.bundle.process)
    if stop["umask"] != 0o022 or stop["SigBlk"] or stop["SigIgn"]:
        yield "keeps umask or signals of the caller's"
    yield from _hidden(stop, case)


def _init(stop: Stop, case: Case) -> "Iterator[str]":
    """pyrunc-init looks up a path in the container."""
    if stop["path"]:  # or asks for the size of its list, first of all
        yield from _no_way_out(stop)


def _hook(stop: Stop, case: Case) -> "Iterator[str]":
    """A startContainer hook: a program of the image."""
    for fd in stop["descriptors"]:
        if fd["number"] >= STREAMS:
            yield f"has descriptor {fd['number']}, {fd['target']}"
    yield from _no_more_than_the_program(stop, case, new_privileges=True)


def _program(stop: Stop, case: Case) -> "Iterator[str]":
    process = case.bundle.process
    yield from _no_way_out(stop)
    yield from _hidden(stop, case)
    yield from _no_more_than_the_program(stop, case, new_privileges=True)
    if any(not fd["close-on-exec"] for fd in stop["descriptors"] if fd["number"] >= STREAMS):
        yield "passes on a descriptor"
    for name, of in (("CapBnd", "bounding"), ("CapPrm", "permitted"), ("CapEff", "effective"), ("CapAmb", "ambient")):
        if stop[name] != mask(process["capabilities"].get(of, [])):
            yield f"{name} is {stop[name]:x}"
    if stop["umask"] != 0o022 or stop["SigBlk"]:
        yield "keeps umask or signals of the caller's"
    if stop["cwd path"] != process["cwd"] and (process["cwd"] != "/" or stop["cwd"] != stop["root"]):
        yield f"cwd is {stop['cwd path']}"
    if stop["root"] == [os.stat("/").st_dev, os.stat("/").st_ino]:
        yield "has the host's root"
    if stop["keyring"] < 0 or stop["keyring"] == tracing.session_keyring():
        yield f"session keyring is {stop['keyring']}, the caller's"
    mine = tracing.namespaces("self")
    for kind, name in (("mnt", "mount"), ("pid", "pid"), ("user", "user"), ("net", "network"), ("ipc", "ipc")):
        asked = [entry for entry in case.bundle.linux["namespaces"] if entry["type"] == name]
        found = stop["namespaces"][kind]
        if asked and found == mine[kind]:
            yield f"is in the host's {name} namespace"
        if kind in case.joined and found != case.joined[kind]:
            yield f"is in {name} namespace {found}, not {case.joined[kind]}"


def _no_more_than_the_program(stop: Stop, case: Case, *, new_privileges: bool) -> "Iterator[str]":
    process = case.bundle.process
    most = mask(process["capabilities"].get("permitted", []))
    for name in ("CapEff", "CapPrm"):
        if stop[name] & ~most:
            yield f"{name} is {stop[name]:x}, more than {most:x}"
    if stop["CapBnd"] & ~mask(process["capabilities"].get("bounding", [])):
        yield f"CapBnd is {stop['CapBnd']:x}"
    if set(stop["Uid"]) != {case.outside + case.user} or set(stop["Gid"]) != {case.outside + case.user}:
        yield f"is uid {stop['Uid']}, gid {stop['Gid']}"
    if stop["NoNewPrivs"] != int(process["noNewPrivileges"]):
        yield f"no_new_privs is {stop['NoNewPrivs']}"
    if new_privileges and ("seccomp" in case.bundle.linux) != (stop["Seccomp"] == 2):
        yield f"Seccomp is {stop['Seccomp']}"


def _no_way_out(stop: Stop, also: str = "\0", *, procfs: bool = False) -> "Iterator[str]":
    """No descriptor through which a path could be looked up, and, but for the streams, none of a file. procfs: but for
    one, the root of a procfs that is mounted nowhere."""
    for fd in stop["descriptors"]:
        target = fd["target"]
        if procfs and fd["procfs"] and target == "/":
            procfs = False
        elif fd["directory"] or fd["procfs"]:
            yield f"has descriptor {fd['number']}, {target}, which leads on"
        elif fd["number"] >= STREAMS and not (fd["fifo"] or target.startswith((*HARMLESS, also))):
            yield f"has descriptor {fd['number']}, {target}"


def _hidden(stop: Stop, case: Case) -> "Iterator[str]":
    if stop["dumpable"] == 1:
        yield "can be traced"


# -- kinds of containers ---------------------------------------------------------------------------------------------


@pytest.fixture
def pod(runtime: Runtime, make_bundle: Callable[[], Bundle]) -> "Iterator[Callable[..., Container]]":
    """A function that starts a container for others to join."""
    with contextlib.ExitStack() as stack:

        def start(bundle: "Bundle | None" = None) -> Container:
            return stack.enter_context(runtime.running((bundle or make_bundle()).shell("exec sleep 1000")))

        yield start


CHANGES: "dict[str, Callable[[Bundle], object]]" = {
    "plain": lambda _: None,
    "privileges can be gained, with a filter": lambda bundle: (
        bundle.process.update(noNewPrivileges=False),
        bundle.linux.update(seccomp=ALLOWED),
    ),
    "no new privileges, with a filter": lambda bundle: bundle.linux.update(seccomp=ALLOWED),
    "may trace": lambda bundle: (
        bundle.all_sets("CAP_SYS_PTRACE", "CAP_KILL"),
        bundle.process.update(noNewPrivileges=False),
        bundle.linux.update(seccomp=ALLOWED),
    ),
    "another user": lambda bundle: bundle.process.update(user={"uid": 1000, "gid": 1000}, cwd="/tmp"),
    "user namespace": lambda bundle: bundle.user_namespace(),
    "ambient": lambda bundle: bundle.capabilities(
        **{key: ["CAP_KILL"] for key in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    ),
    "hooks": lambda bundle: [
        bundle.config.setdefault("hooks", {}).setdefault(place, []).append({"path": HOOK, "args": [HOOK, "/"]})
        for place in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    ],
    "terminal": lambda bundle: bundle.process.update(terminal=True),
    "label": lambda bundle: bundle.process.update(apparmorProfile="unconfined"),
    "host's pids": lambda bundle: bundle.share("pid").drop_mounts("/proc").mount("/proc", "/proc", "rbind"),
    "no mount namespace": lambda bundle: (
        bundle.share("mount"),
        bundle.config.update(mounts=[]),
        [bundle.linux.pop(key) for key in ("maskedPaths", "readonlyPaths")],
    ),
}
NOT_IN_PODS = ("host's pids", "no mount namespace", "hooks")  # hooks are told a pid, which is seen (ADR 8)


def changed(bundle: Bundle, kind: str) -> Bundle:
    """A bundle that runs PROGRAM, of a kind."""
    if kind == "label" and not lsm.apparmor_enabled():
        pytest.skip("AppArmor is not enabled in this kernel, so there is no label to write")
    bundle.process["args"] = [PROGRAM, "ran"]
    bundle.process["rlimits"] += [{"type": "RLIMIT_NPROC", "soft": 64, "hard": 64}]
    CHANGES[kind](bundle)
    return bundle


def check(case: Case, caller: "dict[str, Any] | None" = None) -> None:
    """Run the command, and hold every stop to the table."""
    errors = os.memfd_create("errors")
    status, stops = tracing.watch(case.command, errors, caller or {})
    said = os.pread(errors, 1 << 16, 0).decode()
    os.close(errors)
    assert status == 0, said
    programs = [stop for stop in stops if _stage(stop) == "program"]
    assert len(programs) == 1, f"{len(programs)} programs were seen among {len(stops)} stops"
    wrong = [
        f"{_stage(stop)} {stop['exe']} {stop['call']}({stop['path']}): {what}"
        for stop in stops
        for what in held(stop, case)
    ]
    assert not wrong, "\n".join(wrong)


def run_command(runtime: Runtime, bundle: Bundle) -> "list[str]":
    container_id = new_id()
    bundle.save(container_id)
    return runtime.argv("run", "--bundle", bundle.path, container_id)


def user_of(bundle: Bundle) -> "tuple[int, int]":
    maps = bundle.linux.get("uidMappings")
    return int(bundle.process["user"]["uid"]), int(maps[0]["hostID"]) if maps else 0


@pytest.mark.parametrize("kind", CHANGES)
def test_run(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    changed(bundle, kind)
    check(Case(run_command(runtime, bundle), bundle, {}, *user_of(bundle)))


@pytest.mark.parametrize("kind", [kind for kind in CHANGES if kind not in NOT_IN_PODS])
def test_run_in_a_pod(runtime: Runtime, bundle: Bundle, pod: "Callable[..., Container]", kind: str) -> None:
    """Which shares its pids, and its network."""
    changed(bundle.drop_mounts("/sys", "/dev/mqueue"), kind)  # those are of the namespaces' owner
    if kind == "user namespace":  # nor is a procfs of theirs to be had; the host's does not stand in
        bundle.drop_mounts("/proc")
    main = pod()
    for name in ("pid", "network", "ipc"):
        bundle.namespace(name, f"/proc/{main.pid}/ns/{'net' if name == 'network' else name}")
    joined = {name: tracing.namespaces(main.pid)[name] for name in ("pid", "net", "ipc")}
    check(Case(run_command(runtime, bundle), bundle, joined, *user_of(bundle)))


def test_run_in_a_pod_with_a_user_namespace(
    runtime: Runtime, make_bundle: "Callable[[], Bundle]", pod: "Callable[..., Container]"
) -> None:
    main = pod(make_bundle().user_namespace())
    bundle = changed(make_bundle(), "user namespace").drop_mounts("/sys", "/dev/mqueue")
    for name in ("pid", "network", "ipc", "user"):
        bundle.namespace(name, f"/proc/{main.pid}/ns/{'net' if name == 'network' else name}")
    joined = {name: tracing.namespaces(main.pid)[name] for name in ("pid", "net", "ipc", "user")}
    user, outside = user_of(bundle)
    for key in ("uidMappings", "gidMappings"):
        del bundle.linux[key]
    check(Case(run_command(runtime, bundle), bundle, joined, user, outside))


@pytest.mark.parametrize("kind", [kind for kind in CHANGES if kind != "hooks"])
def test_exec(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    changed(bundle, kind).process.update(terminal=False)
    bundle.process["args"] = ["sleep", "1000"]
    with runtime.running(bundle) as container:
        joined = tracing.namespaces(container.pid)
        mine = tracing.namespaces("self")
        joined = {name: joined[name] for name in ("pid", "mnt", "net", "ipc", "user") if joined[name] != mine[name]}
        command = runtime.argv("exec", container.id, PROGRAM, "ran")
        check(Case(command, bundle, joined, *user_of(bundle)))


def test_exec_with_a_terminal(runtime: Runtime, bundle: Bundle) -> None:
    changed(bundle, "plain").process["args"] = ["sleep", "1000"]
    with runtime.running(bundle) as container:
        joined = {"pid": tracing.namespaces(container.pid)["pid"]}
        check(Case(runtime.argv("exec", "--tty", container.id, PROGRAM, "ran"), bundle, joined))


def test_ordinary_user(runtime: Runtime, bundle: Bundle, user: OrdinaryUser) -> None:
    bundle = changed(user.own(bundle), "plain").drop_mounts("/sys", "/sys/fs/cgroup", "/dev/mqueue")
    for entry in bundle.config["mounts"]:
        entry["options"] = [word for word in entry["options"] if not word.startswith("gid=")]
    check(Case(run_command(runtime, bundle), bundle, {}, 0, user.id), runtime.options)
