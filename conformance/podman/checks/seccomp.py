"""seccomp: podman's default profile is loaded, blocks what it should, and can be replaced or left out."""

from __future__ import annotations

import json
import os

import pytest

from conformance.harness.checks import check, equal, matches, output_checks
from conformance.podman.harness import HOST_PROGRAMS, Podman

STATUS = "grep -E '^Seccomp:' /proc/self/status"

test_outputs = output_checks(
    "seccomp",
    [
        ("default profile: a filter is loaded", "", STATUS, ".*2"),
        (
            "default profile: for an ordinary user, with and without new privileges",
            "--user 1000:1000 --cap-drop all --security-opt no-new-privileges",
            STATUS,
            ".*2",
        ),
        ("default profile: with an init and a terminal", "--init -t", STATUS, ".*2"),
        ("--security-opt seccomp=unconfined", "--security-opt seccomp=unconfined", STATUS, ".*0"),
        ("--privileged: none", "--privileged", STATUS, ".*0"),
    ],
)


def profile(podman: Podman, *rules: dict[str, object], default: str = "SCMP_ACT_ALLOW", **more: object) -> list[str]:
    """podman's words for a profile of these rules."""
    path = podman.new_folder() / "profile.json"
    path.write_text(json.dumps({"defaultAction": default, "syscalls": list(rules), **more}))
    path.chmod(0o644)
    return ["--security-opt", f"seccomp={path}"]


def mkdir_rule(action: str, **more: object) -> dict[str, object]:
    return {"names": ["mkdir", "mkdirat"], "action": action, **more}


@check("seccomp", "profile of the user's own: EPERM, an errno of its choice, and a name nobody knows")
def test_errno(podman: Podman) -> None:
    script = "mkdir /tmp/a 2>&1; touch /tmp/b && echo fine"
    unknown: dict[str, object] = {"names": ["no_such_call_ever"], "action": "SCMP_ACT_ERRNO"}
    matches(podman.sh(profile(podman, mkdir_rule("SCMP_ACT_ERRNO"), unknown), script), ".*not permitted\nfine")
    rules = mkdir_rule("SCMP_ACT_ERRNO", errnoRet=28)
    matches(podman.sh(profile(podman, rules), script), ".*No space left on device\nfine")


@check("seccomp", "profile: a call that kills: 159 (SIGSYS)")
def test_kill(podman: Podman) -> None:
    rules = mkdir_rule("SCMP_ACT_KILL_PROCESS")
    equal(podman.sh(profile(podman, rules), "mkdir /tmp/a; echo $?"), "159")


@check("seccomp", "profile: arguments are compared")
def test_arguments(podman: Podman) -> None:
    rule: dict[str, object] = {
        "names": ["kill"],
        "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}],
    }
    script = "trap 'echo got' USR1 USR2; kill -USR1 $$; kill -USR2 $$ 2>/dev/null || echo refused"
    equal(podman.sh(profile(podman, rule), script), "got\nrefused")


@check("seccomp", "exec: the filter is there, too")
def test_executed(podman: Podman) -> None:
    # crun 1.21 caches filters, and takes profiles that differ in errnoRet alone for the same: one more rule helps
    other: dict[str, object] = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    name = podman.start(profile(podman, mkdir_rule("SCMP_ACT_ERRNO"), other), "sleep", "1000")
    matches(podman("exec", name, "grep", "^Seccomp:", "/proc/self/status"), ".*2")
    matches(podman("exec", name, "sh", "-c", "mkdir /tmp/a 2>&1; true"), ".*not permitted")


@check("seccomp", "default profile: a call that it does not know gets ENOSYS, one that it denies EPERM")
def test_default_profile(podman: Podman) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the system calls are those of x86_64")
    # 180 nfsservctl: denied by the profile, unknown to the kernel; 9999: unknown to both
    script = "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
    script += "for n in (180, 9999): c.syscall(n); print(ctypes.get_errno())"
    command = ["/usr/bin/python3", "-I", "-S", "-c", script]
    equal(podman.run(HOST_PROGRAMS, *command).split(), ["1", "38"], "with the profile")
    equal(
        podman.run([*HOST_PROGRAMS, "--security-opt", "seccomp=unconfined"], *command).split(), ["38", "38"], "without"
    )


@check("seccomp", "a broken profile is refused, and podman says why")
def test_broken(podman: Podman) -> None:
    result = podman.call(*podman.run_words(profile(podman, mkdir_rule("SCMP_ACT_NONSENSE")), "true"))
    equal(result.status != 0, True, "it cannot run")
    matches(result.err, ".*(SCMP_ACT_NONSENSE|seccomp|action).*", "error")
