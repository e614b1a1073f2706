"""What docker takes from a container: capabilities, system calls, paths, devices; and what --privileged gives back."""

from __future__ import annotations

import json

from conformance.docker.harness import Docker
from conformance.harness.checks import check, equal, matches, output_checks

STATUS = "grep -E '^({})' /proc/self/status | tr -s '\\t' ' '"

test_outputs = output_checks(
    "security",
    [
        (
            "capabilities: docker's own set",
            "",
            STATUS.format("CapPrm|CapEff|CapBnd|CapAmb"),
            "CapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nCapAmb: 0000000000000000",
        ),
        (
            "capabilities: an ordinary user has none",
            "--user 1000",
            STATUS.format("CapPrm|CapEff"),
            "CapPrm: 0000000000000000\nCapEff: 0000000000000000",
        ),
        (
            "--cap-drop all --cap-add",
            "--cap-drop all --cap-add net_raw",
            STATUS.format("CapEff|CapBnd"),
            "CapEff: 0000000000002000\nCapBnd: 0000000000002000",
        ),
        (
            "--cap-drop: what it allows is refused",
            "--cap-drop chown",
            "chown 7 /tmp 2>&1; true",
            ".*Operation not permitted",
        ),
        ("no-new-privileges", "--security-opt no-new-privileges", STATUS.format("NoNewPrivs"), "NoNewPrivs: 1"),
        ("new privileges are possible by default", "", STATUS.format("NoNewPrivs"), "NoNewPrivs: 0"),
        (
            "seccomp: the default profile is there, and blocks unshare",
            "",
            STATUS.format("Seccomp:") + "; unshare -U true 2>&1; true",
            "Seccomp: 2\n.*Operation not permitted",
        ),
        (
            "seccomp: the profile allows with the capability what it blocks without",
            "--cap-add sys_admin --security-opt apparmor=unconfined",  # docker's profile denies all mounts
            "unshare -m true && echo fine",
            "fine",
        ),
        ("seccomp=unconfined", "--security-opt seccomp=unconfined", STATUS.format("Seccomp:"), "Seccomp: 0"),
        (
            "/proc/sys, /sys are read-only",
            "",
            "(echo x >/proc/sys/kernel/hostname) 2>&1; (mkdir /sys/fs/cgroup/x) 2>&1; true",
            "(.*Read-only file system\n?){2}",
        ),
        (
            "masked paths are empty",
            "",
            "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware 2>/dev/null | wc -l",
            "0\n0",
        ),
        (
            "systempaths=unconfined",
            "--security-opt systempaths=unconfined",
            "grep -c ' /proc/' /proc/mounts; true",
            "0",
        ),
        (
            "--privileged: every capability and device, no filter",
            "--privileged",
            STATUS.format("CapEff|Seccomp:") + "; ls -d /dev/kmsg; mkdir /sys/fs/cgroup/x && echo made",
            "CapEff: 000001ffffffffff\nSeccomp: 0\n/dev/kmsg\nmade",
        ),
    ],
)


@check("security", "seccomp=FILE: an action of one's own")
def test_profile(docker: Docker) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    path = docker.new_file(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    matches(docker.sh(["--security-opt", f"seccomp={path}"], "mkdir /x 2>&1; true"), ".*No space left on device")


@check("security", "devices: one that was not given is denied, also to CAP_MKNOD")
def test_device_denied(docker: Docker) -> None:
    script = "mknod /x c 10 229 && cat /x 2>&1; mknod /null c 1 3 && echo x >/null && echo fine"
    matches(docker.sh([], script), ".*Operation not permitted.*\nfine")


@check("security", "--device-cgroup-rule")
def test_device_rule(docker: Docker) -> None:
    script = "mknod /x c 10 229 && : <>/x && echo open"
    equal(docker.sh(["--device-cgroup-rule", "c 10:229 rwm"], script), "open")
