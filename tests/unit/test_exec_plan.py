"""From a saved process and the options of `exec` to the plan."""

from typing import Any

import pytest
from pyrunc.errors import ConfigError, UsageError
from pyrunc.planning import exec as exec_plan
from pyrunc.planning.exec import ExecOptions, ExecPlan, process_of
from pyrunc.planning.facts import ProcessFacts
from pyrunc.spec.config import parse_config, parse_process

from tests.unit.spec_specimen import SECCOMP, minimal, put

BASE = {"cwd": "/srv", "args": ["old"], "env": ["A=b"], "user": {"uid": 5, "gid": 6, "additionalGids": [7]}}


def asked(**given: Any) -> ExecOptions:
    result = ExecOptions(given.pop("args", []))
    for key, value in given.items():
        setattr(result, key, value)
    return result


def test_the_command_line_as_it_begins() -> None:
    assert {name: getattr(ExecOptions(["x"]), name) for name in ExecOptions.__slots__} == {
        "additional_gids": [], "apparmor": "", "args": ["x"], "capabilities": [], "cwd": "", "env": [],
        "no_new_privileges": None, "process_label": "", "terminal": None, "user": "",
    }  # fmt: skip


def test_without_options_it_is_the_base() -> None:
    made = process_of(BASE, asked())
    assert (made.cwd, made.args, made.env, made.terminal, made.no_new_privileges) == (
        "/srv",
        ["old"],
        ["A=b"],
        False,
        False,
    )
    assert (made.user.uid, made.user.gid, made.user.additional_gids) == (5, 6, [7])


def test_without_a_base_it_is_root_in_the_root_directory() -> None:
    made = process_of(None, asked(args=["x"]))
    assert (made.cwd, made.args, made.user.uid, made.user.gid) == ("/", ["x"], 0, 0)
    with pytest.raises(ConfigError):
        process_of(None, asked())


def test_options_of_the_process() -> None:
    base: dict[str, Any] = {**BASE}
    made = process_of(base, asked(args=["new", "-x"], cwd="/d", apparmor="p", process_label="l", env=["C=", "D=e=f"]))
    assert (made.args, made.cwd, made.apparmor_profile, made.selinux_label) == (["new", "-x"], "/d", "p", "l")
    assert made.env == ["A=b", "C=", "D=e=f"]
    assert base == BASE


@pytest.mark.parametrize("key", ["terminal", "noNewPrivileges"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("wanted", [True, False, None])
def test_switches(key: str, before: bool, wanted: "bool | None") -> None:
    name = {"terminal": "terminal", "noNewPrivileges": "no_new_privileges"}[key]
    assert getattr(process_of(BASE | {key: before}, asked(**{name: wanted})), name) == (
        before if wanted is None else wanted
    )


@pytest.mark.parametrize("text", ["", "A", "=b", "="])
def test_no_assignment(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        process_of(BASE, asked(env=[text]))
    assert caught.value.message == f"--env `{text}` is not of the form NAME=value"
    assert process_of(BASE, asked(env=["A="])).env == ["A=b", "A="]


@pytest.mark.parametrize(
    ("base", "user", "gids", "expected"),
    [
        (BASE, "1", [], (1, 6, [7])),
        (BASE, "1:2", [], (1, 2, [7])),
        (BASE, "", ["8", "9"], (5, 6, [7, 8, 9])),
        (BASE, "0:0", ["8"], (0, 0, [7, 8])),
        ({"cwd": "/", "args": ["x"]}, "1", [], (1, 0, [])),
        ({"cwd": "/", "args": ["x"]}, "", ["1"], (0, 0, [1])),
        (BASE, "2147483647:2147483647", ["2147483647"], (2**31 - 1, 2**31 - 1, [7, 2**31 - 1])),
        (BASE, "0000000001", [], (1, 6, [7])),
    ],
)
def test_ids(base: dict[str, Any], user: str, gids: list[str], expected: tuple[int, int, list[int]]) -> None:
    made = process_of(base, asked(user=user, additional_gids=gids)).user
    assert (made.uid, made.gid, made.additional_gids) == expected
    assert made.names_gid


@pytest.mark.parametrize("text", ["root", "-1", "1.0", "\u00b2", "\u0661", "2147483648", "00000000001", " 1"])
def test_no_ids(text: str) -> None:
    for user in (text, f"{text}:1", f"1:{text}", "1:" if text == "root" else text):
        with pytest.raises(UsageError) as caught:
            process_of(BASE, asked(user=user))
        assert caught.value.message == f"--user `{user}` is not a numeric UID[:GID]"
    with pytest.raises(UsageError) as caught:
        process_of(BASE, asked(additional_gids=["1", text]))
    assert caught.value.message == f"--additional-gids `{text}` is not a numeric UID[:GID]"


def test_capabilities_are_added_to_three_sets() -> None:
    before = {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    before |= {"permitted": ["CAP_KILL"]}
    made = process_of(BASE | {"capabilities": before}, asked(capabilities=["net_admin", "CAP_CHOWN"])).capabilities
    assert made is not None
    more = ["CAP_NET_ADMIN", "CAP_CHOWN"]
    assert list(made.bounding) == list(made.permitted) == ["CAP_KILL", *more]
    assert list(made.effective) == more
    assert list(made.inheritable) == list(made.ambient) == ["CAP_KILL"]


def test_capabilities_that_the_config_makes_inheritable_become_ambient() -> None:
    """As the program has no capabilities of its file, it would lose them otherwise."""
    before = {"inheritable": ["CAP_KILL", "CAP_CHOWN"], "ambient": ["CAP_CHOWN"], "bounding": [], "effective": []}
    made = process_of(BASE | {"capabilities": before}, asked(capabilities=["kill", "net_admin"])).capabilities
    assert made is not None
    assert list(made.ambient) == ["CAP_CHOWN", "CAP_KILL"]
    assert list(made.inheritable) == ["CAP_KILL", "CAP_CHOWN"]


def test_what_is_no_list_is_left_to_the_reader() -> None:
    for key, value, given in (
        ("env", "A=b", {"env": ["C=d"]}), ("user", 5, {"user": "1"}), ("capabilities", 5, {"capabilities": ["KILL"]}),
    ):  # fmt: skip
        process_of(BASE | {key: value}, asked(**given))
        with pytest.raises(ConfigError):
            process_of(BASE | {key: value}, asked())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", (0,)), ("1", (1,)), ("0-3", (0, 1, 2, 3)), ("2-2", (2,)), ("7,0-1, 3", (0, 1, 3, 7)), ("8191", (8191,)),
     ("8190-8191", (8190, 8191))],
)  # fmt: skip
def test_cpus(text: str, expected: tuple[int, ...]) -> None:
    assert exec_plan.cpus(text) == expected


@pytest.mark.parametrize(
    ("text", "shown"), [("8192", "8192"), ("0,8192", "8192"), ("0-8192", "8192"), ("0-9999", "9999")]
)
def test_no_such_cpu(text: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        exec_plan.cpus(text)
    assert caught.value.message == f"there is no CPU {shown}"


@pytest.mark.parametrize(
    ("affinity", "initial", "final"),
    [
        (None, None, None),
        ({}, None, None),
        ({"initial": "1"}, (1,), None),
        ({"final": "0-1"}, None, (0, 1)),
        ({"initial": "1", "final": "0-1"}, (1,), (0, 1)),
    ],
)
def test_affinity(affinity: Any, initial: Any, final: Any) -> None:
    process = parse_process(BASE | {"execCPUAffinity": affinity})
    made = ExecPlan("c1", parse_config(minimal()), process, 0, ProcessFacts())
    assert (made.initial_cpus, made.final_cpus) == (initial, final)


def test_the_smallest_plan() -> None:
    process = parse_process(BASE)
    made = ExecPlan("c1", parse_config(minimal()), process, 0, ProcessFacts())
    assert {name: getattr(made, name) for name in ExecPlan.__slots__} == {
        "attributes": (), "cgroup": None, "container_id": "c1", "env": ("A=b",),
        "filter": None, "final_cpus": None, "initial_cpus": None, "keeps_groups": False, "kept_fds": 0, "keyring": "",
        "listener": None, "memory_policy": None, "new_keyring": True, "personality": None, "process": process,
        "profile": None,
    }  # fmt: skip


def test_what_the_config_says_holds_for_exec() -> None:
    host = ProcessFacts()
    host.selinux, host.inherited = True, frozenset(range(9))
    value = minimal()
    put(value, "/linux/seccomp", SECCOMP)
    put(value, "/annotations", {"run.oci.keep_original_groups": "1"})
    put(value, "/linux/personality", {"domain": "LINUX32"})
    put(value, "/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "0", "flags": []})
    made = ExecPlan("c1", parse_config(value), parse_process(BASE | {"selinuxLabel": "s"}), 2, host)
    assert made.profile is not None
    assert (made.listener, made.keeps_groups, made.kept_fds) == (("/run/agent.sock", "a\0b"), True, 2)
    assert made.personality is not None
    assert made.memory_policy is not None
    assert [one.value for one in made.attributes] == [b"s"]
    put(value, "/annotations", {"run.oci.seccomp_bpf_data": "BgAAAAAA/38="})
    ready = ExecPlan("c1", parse_config(value), parse_process(BASE), 0, ProcessFacts())
    assert (ready.profile, ready.filter is not None) == (None, True)


@pytest.mark.parametrize(
    ("text", "path"), [("", ""), ("/", ""), ("a", "/a"), ("/a//b/", "/a/b"), ("a.b/..c", "/a.b/..c"), ("...", "/...")]
)
def test_cgroup_below_the_containers(text: str, path: str) -> None:
    assert exec_plan.sub_cgroup(text) == path


@pytest.mark.parametrize("text", [".", "..", "a/..", "../a", "a/./b", "a\0", "\0"])
def test_no_cgroup_below_the_containers(text: str) -> None:
    with pytest.raises(UsageError, match="must not leave the container's cgroup"):
        exec_plan.sub_cgroup(text)


@pytest.mark.parametrize("text", ["cpu:/a", "cpu,memory:a", "name=systemd:/a", "pids:"])
def test_controllers_of_cgroup_v1(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        exec_plan.sub_cgroup(text)
    assert caught.value.message == f"--cgroup `{text}` names controllers of cgroup v1"
    assert caught.value.hint == "give only the path: cgroup v2 has one hierarchy for all controllers"


@pytest.mark.parametrize("text", [":a", "x:a", "cpu,x:a", "cpu"])
def test_names_that_are_no_controllers(text: str) -> None:
    assert exec_plan.sub_cgroup(text) == f"/{text}"


V1 = "blkio cpu cpuacct cpuset devices freezer hugetlb memory misc name=systemd net_cls net_prio perf_event pids rdma"


def test_the_controllers_of_cgroup_v1() -> None:
    assert sorted(exec_plan._OF_V1) == V1.split()


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("socket", ["/s", ""])
def test_terminal(terminal: bool, detach: bool, socket: str) -> None:
    process = parse_process(BASE | {"terminal": terminal})
    error = ""
    if terminal and detach and not socket:
        error = "cannot allocate a terminal for a detached process without --console-socket"
    if socket and not terminal:
        error = "--console-socket is given, but the process has no terminal; add --tty"
    if not error:
        exec_plan.check_terminal(process, detach=detach, console_socket=socket)
        return
    with pytest.raises(UsageError) as caught:
        exec_plan.check_terminal(process, detach=detach, console_socket=socket)
    assert caught.value.message == error
