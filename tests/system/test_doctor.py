"""`pyrunc doctor` on hosts that lack something, and the errors of `create` there."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from conformance.broken_hosts.hosts import HOSTS, ROOT, Host, Json, limit_memory, without
from conformance.broken_hosts.making import Workshop, installed_init
from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, mount, umount
from tests.ordinaryuser import GRANTED, OrdinaryUser, unreachable
from tests.peers import only_pyrunc
from tests.runtime import CHECKOUT, DEFAULT_RUNTIME, Runtime, error_text, executable

pytestmark = only_pyrunc("no other runtime examines the host")

USER = 54321
INIT = DEFAULT_RUNTIME.parents[2] / "runtime/pyrunc/pyrunc-init"
# struct vfs_cap_data of capabilities(7): version 2, effective; CAP_SETUID or CAP_SETGID permitted; nothing inherited.
SET_ID_CAPABILITY = {"newuidmap": 1 << 7, "newgidmap": 1 << 6}


@pytest.fixture
def workshop(runtime: Runtime, area: Path) -> Workshop:
    """Where hosts are broken."""
    folder = area / "workshop"
    folder.mkdir()
    ours = executable() == DEFAULT_RUNTIME
    return Workshop(executable(), folder, USER, str(INIT) if ours else installed_init(executable()))


def findings(runtime: Runtime, *checks: str, expect: int = 0, **popen: Any) -> dict[str, Json]:
    """What doctor says, by the checks' names."""
    result = runtime.call("doctor", "--json", *checks, **popen)
    assert result.returncode == expect, result.stderr + result.stdout
    return {finding["name"]: finding for finding in json.loads(result.stdout)["checks"]}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_doctor_and_create_name_the_cause(workshop: Workshop, bundle: Bundle, host: Host) -> None:
    if host.whole_machine:
        pytest.skip("changes the whole machine: conformance/broken_hosts makes it in the test VM")
    if reason := host.needs():
        pytest.skip(reason)
    if "$INIT" in host.as_root and not workshop.init:
        pytest.skip(f"{executable()} is neither this checkout's nor installed: where is its pyrunc-init?")
    if host.who != ROOT and (reason := unreachable(executable()) or unreachable(CHECKOUT)):
        pytest.skip(reason)
    workshop.examine(host, bundle)


def test_examines_without_a_trace(runtime: Runtime) -> None:
    """The fixture compares processes, mounts and files; the state root is made by the first container."""
    assert runtime.call("doctor").returncode == 0
    assert not runtime.root.exists()


def test_text_and_json_say_the_same(runtime: Runtime) -> None:
    text = runtime.call("doctor").stdout
    by_name = findings(runtime)
    for name, finding in by_name.items():
        assert f"{finding['status']:<10}{name}" in text
        assert finding["finding"] in text
        assert finding["status"] == "ok" or finding["repair"] in text
    assert text.endswith("\nroot can run containers\n")


def test_only_the_checks_that_are_named(runtime: Runtime) -> None:
    assert set(findings(runtime, "seccomp", "namespaces")) == {"seccomp", "namespaces"}
    error_text(runtime.call("doctor", "seccomp", "horoscope"), "unknown check `horoscope`", "user-namespaces")


def test_file_capabilities_do_for_newuidmap(runtime: Runtime, bundle: Bundle, user: OrdinaryUser, area: Path) -> None:
    if os.statvfs(area).f_flag & os.ST_NOSUID:
        pytest.skip(f"file capabilities count for nothing in {area}: it is mounted nosuid")
    user.own(bundle).user_namespace(GRANTED[0], 10).process["user"] = {"uid": 0, "gid": 0}
    for mount_entry in bundle.config["mounts"]:
        mount_entry["options"] = [word for word in mount_entry["options"] if not word.startswith("gid=")]
    covered = []
    try:
        for name, capability in SET_ID_CAPABILITY.items():
            path = str(shutil.which(name))
            program = shutil.copy(path, area / name)
            program.chmod(0o755)
            words = (0x02000001, capability, 0, 0, 0)
            os.setxattr(program, "security.capability", b"".join(word.to_bytes(4, "little") for word in words))
            mount(str(program), path, "", MS_BIND)
            covered.append(path)
        assert findings(runtime, "id-map-programs", **user.caller())["id-map-programs"]["status"] == "ok"
        result = runtime.run(bundle.shell("cat /proc/self/uid_map"), **user.caller())
    finally:
        for path in covered:
            umount(path)
    assert result.stdout.split() == ["0", str(GRANTED[0]), "10"], result.stderr


def test_few_subordinate_ids(runtime: Runtime, user: OrdinaryUser) -> None:
    user.grant(f"{user.name}:100000:1000")
    finding = findings(runtime, "subordinate-ids", **user.caller())["subordinate-ids"]
    assert (finding["status"], finding["fatal"]) == ("degraded", False)
    assert "only 1000" in finding["finding"]
    assert finding["repair"].split()[2] == "101000-166535"  # behind those of others


def test_a_noexec_state_directory_will_do(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    place = area / "noexec"
    place.mkdir()
    script = f'mount -n -t tmpfs -o noexec,nodev,nosuid none {place}; exec "$@"'
    there = Runtime(place / "state")
    broken = there.behind("unshare", "--mount", "sh", "-ec", script, "sh")
    assert findings(broken, "state-directory")["state-directory"]["status"] == "ok"
    assert broken.run(bundle.shell("echo ran")).stdout == "ran\n"


def test_a_full_state_directory(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    place = area / "full"
    place.mkdir()
    script = f'mount -n -t tmpfs -o nr_inodes=2 none {place}; : > {place}/file; exec "$@"'
    broken = Runtime(place / "state").behind("unshare", "--mount", "sh", "-ec", script, "sh")
    assert "full" in findings(broken, "state-directory", expect=1)["state-directory"]["finding"]
    error_text(broken.run(bundle), "full", "(pyrunc doctor: state-directory)", "No space left on device")


def test_a_root_file_system_without_id_mapped_mounts(runtime: Runtime) -> None:
    """EINVAL, as from a file system that lacks FS_ALLOW_IDMAP: one that carries a whole host is hard to find."""
    finding = findings(runtime.behind(*without("22", "mount_setattr")), "id-mapped-mounts")["id-mapped-mounts"]
    assert finding["status"] == "degraded"
    assert "file system of / does not support them" in finding["finding"]


@pytest.mark.skipif("memory" not in Path("/proc/self/cgroup").read_text(), reason="needs a host with cgroup v1")
def test_controllers_that_belong_to_version_1(runtime: Runtime, bundle: Bundle) -> None:
    finding = findings(runtime, "cgroups")["cgroups"]
    assert finding["status"] == "degraded"
    assert "memory" in finding["finding"]
    limit_memory(bundle.config)
    runtime.create_fails(bundle, "bound to cgroup v1", "systemd.unified_cgroup_hierarchy=1", "(pyrunc doctor: cgroups)")


@pytest.mark.parametrize(("key", "module"), [("apparmorProfile", "AppArmor"), ("selinuxLabel", "SELinux")])
def test_no_security_module(runtime: Runtime, bundle: Bundle, key: str, module: str) -> None:
    finding = findings(runtime, "security-modules")["security-modules"]
    if finding["status"] == "ok":
        pytest.skip(f"this host has one: {finding['finding']}")
    bundle.process[key] = "anything"
    runtime.create_fails(bundle, f"{module} is not enabled", "(pyrunc doctor: security-modules)")


def test_an_error_with_another_cause_names_no_check(runtime: Runtime, bundle: Bundle) -> None:
    """The host is broken, but that is not why."""
    bundle.config["root"]["path"] = "nowhere"
    broken = runtime.behind(*without("38", "seccomp"))
    assert findings(broken, "seccomp")["seccomp"]["status"] == "missing"
    assert "doctor" not in error_text(broken.run(bundle), "nowhere")
