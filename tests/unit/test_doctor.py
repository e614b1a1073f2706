"""doctor's table: its documentation, and what its texts may not hold."""

import ast
import re
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel.mount import mountoptions
from pyrunc.kernel.mount.mounts import Mount
from pyrunc.planning.facts import HostFacts
from pyrunc.wings.doctor import causes, users
from pyrunc.wings.doctor.checks import CHECKS, examine
from pyrunc.wings.doctor.finding import MISSING, OK, Finding, Subject, read

from conformance.broken_hosts.hosts import HOSTS

TOP = Path(__file__).resolve().parents[2]
# By these, podman takes an error for one of the container's program (docs/callers.md).
CLASSIFYING = ("permission denied", "operation not permitted", "no such file or directory", "executable file not found")
# Those that no table of hosts can break; tests/system/test_doctor.py does, for the last one tests/unit/test_startup.py.
ELSEWHERE = {"id-mapped-mounts", "security-modules", "installation"}


def subject() -> Subject:
    return Subject(HostFacts(0, in_userns=False), {}, "/nowhere")


def test_every_check_is_in_the_manual() -> None:
    checks = (TOP / "docs/man/doctor.md").read_text().partition("## Checks")[2].partition("\n## ")[0]
    terms = re.findall(r"^(\*\*.*)\n:   ", checks, re.MULTILINE)
    assert set(re.findall(r"\*\*(.+?)\*\*", " ".join(terms))) == set(CHECKS)


def test_every_check_has_a_broken_host() -> None:
    assert {host.check for host in HOSTS} | ELSEWHERE == set(CHECKS)


def named_checks() -> "set[str]":
    """The checks that errors name: `check=` in a call, and what is assigned to such a name."""
    values: list[ast.AST] = []
    for path in {*(TOP / "runtime/pyrunc").rglob("*.py")} - {TOP / "runtime/pyrunc/errors.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                values += [keyword.value for keyword in node.keywords if keyword.arg == "check"]
            elif isinstance(node, ast.Assign) and path.parent.name != "doctor":
                name = ast.unparse(node.targets[0]).lower()
                values += [node.value] if name.endswith(("check", "_checks")) else []
    values = [value.body if isinstance(value, ast.IfExp) else value for value in values]
    parts = [part.value for value in values for part in ast.walk(value) if isinstance(part, ast.Constant)]
    return {word.partition("=")[0] for part in parts if isinstance(part, str) and part != "," for word in part.split()}


def test_errors_name_checks_that_exist() -> None:
    assert named_checks() <= set(CHECKS)


def test_every_check_that_prevents_a_create_is_named_by_an_error() -> None:
    never = {"id-mapped-mounts", "installation"}  # mount_setattr(2) says which file system; nothing fails
    assert set(CHECKS) - named_checks() == never


def test_an_unknown_check_is_not_run() -> None:
    """A child sends it, too."""
    error = PyruncError("it failed", hint="the old hint", check="no-such-check")
    causes.explain(error, subject().host, {}, "/nowhere")
    assert error.hint == "the old hint"


def test_a_missing_system_call_is_explained_wherever_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "system-calls", lambda _: Finding(MISSING, "lacks it"))
    error = PyruncError("call it", errno=38)
    causes.explain(error, subject().host, {}, "/nowhere")
    assert error.hint == "lacks it (pyrunc doctor: system-calls)"


def test_no_text_has_words_by_which_callers_classify_errors() -> None:
    texts = []
    for path in (TOP / "runtime/pyrunc/wings/doctor").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        texts += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert len(texts) > 200
    assert [text for text in texts if any(words in text.lower() for words in CLASSIFYING)] == []


def test_create_loads_it_only_when_something_has_failed() -> None:
    tree = ast.parse((TOP / "runtime/pyrunc/commands/create.py").read_text())
    at_the_start = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    anywhere = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "from pyrunc.wings.doctor import causes" in anywhere
    assert not any("doctor" in line for line in at_the_start)


def test_a_cause_that_the_error_has_said_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "libseccomp", lambda _: Finding(MISSING, "it needs libseccomp: gone", "fetch it"))
    error = PyruncError("it needs libseccomp", check="libseccomp")
    causes.explain(error, subject().host, {}, "/nowhere")
    assert error.hint == "repair: fetch it (pyrunc doctor: libseccomp)"


def test_a_file_of_proc_is_read_to_its_end() -> None:
    assert "[stack]" in read("/proc/self/maps")  # far behind the first page, which is what one read(2) gives


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Subject) -> Finding:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setitem(CHECKS, "seccomp", fails)
    finding = examine(subject(), ["seccomp"])["seccomp"]
    assert (finding.status, finding.text) == (MISSING, "cannot be examined: /some/file (errno 13)")


@pytest.mark.parametrize(
    ("status", "hint"), [(OK, "the old hint"), (MISSING, "gone; repair: fetch it (pyrunc doctor: libseccomp)")]
)
def test_a_cause_is_named_if_it_is_found(monkeypatch: pytest.MonkeyPatch, status: str, hint: str) -> None:
    monkeypatch.setitem(CHECKS, "libseccomp", lambda _: Finding(status, "gone", "fetch it"))
    error = PyruncError("the profile cannot be compiled", hint="the old hint", check="libseccomp")
    causes.explain(error, subject().host, {}, "/nowhere")
    assert error.hint == hint


@pytest.mark.parametrize(
    ("check", "explained"),
    [("cgroups controllers=pids,cpu", True), ("cgroups controllers=pids", False), ("cgroups controllers", False)],
)
def test_controllers_that_lack_explain_only_errors_that_name_them(
    monkeypatch: pytest.MonkeyPatch, check: str, explained: bool
) -> None:
    monkeypatch.setitem(CHECKS, "cgroups", lambda _: Finding(OK, "all"))
    monkeypatch.setitem(CHECKS, "controllers", lambda _: Finding("degraded", "refused", lacking=["cpu", "io"]))
    error = PyruncError("it failed", errno=13, hint="the old hint", check=check)
    causes.explain(error, subject().host, {}, "/nowhere")
    assert (error.hint != "the old hint") == explained


def test_what_prevents_something_is_named_before_what_makes_it_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "cgroups", lambda _: Finding("degraded", "hybrid"))
    monkeypatch.setitem(CHECKS, "controllers", lambda _: Finding(MISSING, "none"))
    error = PyruncError("it failed", check="cgroups controllers=cpu")
    causes.explain(error, subject().host, {}, "/nowhere")
    assert error.hint == "none (pyrunc doctor: controllers)"


@pytest.mark.parametrize("errno", [11, 12])
def test_a_user_namespace_that_there_is_no_room_for_just_now(monkeypatch, errno):
    def refused(*_):
        raise OSError(errno, "no room")

    monkeypatch.setattr(users.trial, "try_in_child", refused)
    assert "just now" in users.user_namespaces(subject()).text


@pytest.mark.parametrize(("kind", "errno", "check"), [
    ("proc", 1, "user-namespaces proc-mount"), ("proc", 2, ""), ("tmpfs", 1, ""),
])  # fmt: skip
def test_a_mount_of_proc_that_is_refused_names_checks(kind: str, errno: int, check: str) -> None:
    mount = Mount(kind, "/proc", kind, mountoptions.parse([]))
    assert mount.failure(OSError(errno, "")).check == check


def test_the_checks_that_an_error_names_cross_the_socket() -> None:
    error = PyruncError("it failed", check="user-namespaces proc-mount")
    assert PyruncError.from_wire(error.to_wire()).check == "user-namespaces proc-mount"
