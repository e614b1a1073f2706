"""What containerd takes from a container: capabilities, system calls, paths, devices; and what --privileged gives."""

from __future__ import annotations

import json

from conformance.containerd.harness import Containerd
from conformance.harness.checks import check, matches, output_checks

STATUS = "grep -E '^({})' /proc/self/status | tr -s '\\t' ' '"

test_outputs = output_checks(
    "security",
    [
        (
            "capabilities: containerd's own set",
            "",
            STATUS.format("CapEff|CapBnd"),
            "CapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb",
        ),
        (
            "--cap-drop, --cap-add",
            "--cap-drop CAP_CHOWN --cap-add CAP_SYS_TIME",
            STATUS.format("CapEff"),
            "CapEff: 00000000aa0425fa",
        ),
        ("no-new-privileges is on, --allow-new-privs takes it off", "", STATUS.format("NoNewPrivs"), "NoNewPrivs: 1"),
        ("--allow-new-privs", "--allow-new-privs", STATUS.format("NoNewPrivs"), "NoNewPrivs: 0"),
        (
            "--seccomp: containerd's profile blocks unshare",
            "--seccomp",
            STATUS.format("Seccomp:") + "; unshare -U true 2>&1; true",
            "Seccomp: 2\n.*Operation not permitted",
        ),
        ("no profile without it", "", STATUS.format("Seccomp:"), "Seccomp: 0"),
        (
            "/proc/sys, /sys are read-only",
            "",
            "(echo x >/proc/sys/kernel/hostname) 2>&1; (mkdir /sys/x) 2>&1; true",
            "(.*Read-only file system\n?){2}",
        ),
        (
            "masked paths are empty",
            "",
            "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware 2>/dev/null | wc -l",
            "0\n0",
        ),
        (
            "devices: one that was not given is denied",
            "",
            "mknod /x c 10 229 && cat /x 2>&1; mknod /null c 1 3 && echo x >/null && echo fine",
            ".*Operation not permitted\nfine",
        ),
        (
            "--privileged: every capability and device",
            "--privileged",
            STATUS.format("CapEff") + "; ls -d /dev/kmsg",
            "CapEff: 000001ffffffffff\n/dev/kmsg",
        ),
    ],
)


@check("security", "--seccomp-profile: an action of one's own")
def test_profile(engine: Containerd) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    path = engine.new_file(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    matches(
        engine.sh(["--seccomp", "--seccomp-profile", str(path)], "mkdir /x 2>&1; true"), ".*No space left on device"
    )
