"""Properties of every list of last steps (`stages.last_steps`): what is open when a path of the
container is looked up, and who somebody in the container's pid namespace can meet."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from pyrunc.kernel import syscalls
from pyrunc.planning import container as planning
from pyrunc.planning.exec import ExecPlan
from pyrunc.planning.facts import HostFacts
from pyrunc.spec.config import parse_config
from pyrunc.stages import last_steps, step_report
from pyrunc.stages.entering import HelperFds
from pyrunc.stages.step_list import StepList
from pyrunc.wings.seccomp.filters import Filter

from tests.bundle import default_config

PROC, TALK, FIFO, RESULT = 10, 11, 12, 13
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_CAP_AMBIENT = 4, 24, 47
LOOKS_UP_PATHS = {"chdir", "execve", step_report.CHECK_CWD, step_report.FIND, step_report.HOOK, step_report.EXEC}
CHANGES_WHO_IT_IS = {"setgroups", "setresgid", "setresuid", "set_mempolicy", "personality", "sched_setattr"}
OTHERS = ("chdir", "execve", "close", "prctl", "seccomp", "capset", "setsid", "write", "read")
NAMES = {syscalls.number(name): name for name in (*CHANGES_WHO_IT_IS, *OTHERS)}


class Step(NamedTuple):
    """A step of a list: what (a system call's name, or a kind of `step_report`), and its arguments."""

    what: "str | int"
    arguments: "list[int]"


class Case(NamedTuple):
    """A list, and what it is about."""

    name: str
    steps: "list[Step]"
    splits: bool
    keeps_privilege: bool  # CAP_SYS_ADMIN for the filter


def decoded(program: StepList) -> "list[Step]":
    steps = []
    for kind, _, number, *words in program._steps:
        name = NAMES.get(number, f"system call {number}")
        steps.append(Step(name if kind == step_report.CALL else kind, words[:6]))
    return steps


def cases() -> "Iterator[Case]":
    """All combinations of what changes the order of the steps."""
    for labelled, filtered, new_privileges, hooked, joined, limited in itertools.product([False, True], repeat=6):
        config = default_config()
        process = config["process"]
        process["noNewPrivileges"] = not new_privileges
        process["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": 1, "hard": 1}] if limited else []
        if hooked:
            config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
        if joined:
            config["linux"]["namespaces"][0]["path"] = "/proc/self/ns/pid"
        options = planning.CreateOptions("id", "/bundle")
        host = HostFacts(0, in_userns=False)
        host.selinux = True
        process["selinuxLabel"] = "label" if labelled else ""
        parsed = parse_config(config)
        create, enter = planning.build(parsed, options, host), ExecPlan("id", parsed, parsed.process, 0, host)
        learnt = SimpleNamespace(
            filter=Filter(bytes(8), 0, []) if filtered else None, denies_setgroups=False, hook_streams=(-1, -1)
        )
        proc = PROC if labelled else -1
        fds, enters = HelperFds(-1, FIFO, RESULT), HelperFds(-1)
        fds.proc = enters.proc = proc
        words = zip(
            ("label", "filter", "new privileges", "hook", "joined pids", "limit"),
            (labelled, filtered, new_privileges, hooked, joined, limited),
            strict=True,
        )
        name = ", ".join(word for word, there in words if there)
        keeps = filtered and new_privileges
        steps = last_steps.of_create(create, learnt, [], fds, TALK)
        yield Case(f"create: {name}", decoded(steps), create.splits, keeps)
        if not (hooked or joined):
            steps = last_steps.of_exec(enter, learnt, [], enters, TALK)
            yield Case(f"exec: {name}", decoded(steps), splits=True, keeps_privilege=keeps)


CASES = list(cases())
each = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def first(steps: "list[Step]", *whats: "str | int") -> int:
    return next(i for i, step in enumerate(steps) if step.what in whats)


@each
def test_procfs_is_closed_before_a_path_is_looked_up(case: Case) -> None:
    """/proc/self/fd/N/PID/root leads from it to the root of any process that may be traced."""
    opened = [i for i, step in enumerate(case.steps) if step.what == step_report.WRITE]
    if not opened:
        assert all(PROC not in step.arguments[:1] for step in case.steps)
        return
    closed = case.steps.index(Step("close", [PROC, *[0] * 5]))
    assert opened[-1] < closed < first(case.steps, *LOOKS_UP_PATHS)
    assert closed < first(case.steps, "read", "write")  # nor is it open while somebody is waited for
    assert all(PROC not in step.arguments[:1] for step in case.steps[closed + 1 :] if step.what != "prctl")


@each
def test_process_hides_again_after_the_last_change_of_its_ids(case: Case) -> None:
    """The kernel sets what fs.suid_dumpable says."""
    last = max(i for i, step in enumerate(case.steps) if step.what in CHANGES_WHO_IT_IS)
    hides = [i for i, step in enumerate(case.steps) if step == Step("prctl", [PR_SET_DUMPABLE, *[0] * 5])]
    assert hides[0] == 0
    assert hides[-1] > last
    if case.splits:
        assert hides[-1] < first(case.steps, step_report.SPLIT)


@each
def test_whoever_can_be_seen_is_already_the_user(case: Case) -> None:
    assert any(step.what == step_report.SPLIT for step in case.steps) == case.splits
    if not case.splits:
        return
    behind = case.steps[first(case.steps, step_report.SPLIT) + 1 :]
    assert not [step for step in behind if step.what in CHANGES_WHO_IT_IS]
    options = {step.arguments[0] for step in behind if step.what == "prctl"}
    assert not options & {PR_CAPBSET_DROP, PR_CAP_AMBIENT}
    # What takes CAP_SYS_ADMIN is done, and that given up.
    assert not [step for step in behind if step.what == "capset"]
    if case.keeps_privilege:
        assert not [step for step in behind if step.what == "seccomp"]


@each
def test_programs_of_the_image_run_under_filter_and_label(case: Case) -> None:
    """startContainer hooks, as well as the program itself."""
    runs = first(case.steps, step_report.HOOK, step_report.EXEC)
    assert ("filter" in case.name) == any(step.what == "seccomp" for step in case.steps[:runs])
    assert ("label" in case.name) == any(step.what == step_report.WRITE for step in case.steps[:runs])


@each
def test_filter_comes_last_if_it_can(case: Case) -> None:
    """A profile need not allow what pyrunc-init does, but for hooks and where privilege is given up early."""
    if "filter" not in case.name or "hook" in case.name or (case.splits and case.keeps_privilege):
        return
    assert {step.what for step in case.steps[first(case.steps, "seccomp") + 1 :]} <= {"capset", step_report.EXEC}
