"""exec: ids, capabilities, descriptors, and what the container can see of the process that enters it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrunc.stages.step_list import StepList

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import CHECKOUT, Container, Result, Runtime, error_text, new_id
from tests.system.test_exec import execute, output, shell

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING = 6, -3  # linux/keyctl.h


@pytest.fixture
def box(runtime: Runtime, bundle: Bundle) -> Iterator[Container]:
    """A running container that sleeps."""
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        yield container


@pytest.mark.parametrize(
    ("user", "ids"),
    [("1", "1:0"), ("1:2", "1:2"), ("01", "1:0"), ("0", "0:0"), ("1000:0", "1000:0"), ("2147483647", "2147483647:0")],
)
def test_numeric_user(box: Container, user: str, ids: str) -> None:
    assert shell(box, 'echo "$(id -u):$(id -g)"', "--user", user).strip() == ids


@pytest.mark.parametrize(
    "user",
    ["", ":", "1:", ":1", "-1", "2147483648", "0:2147483648", "4294967295", "0:4294967295", "4294967296", "1 ", " 1",
     "0x1", "1:2:3", "root", "1.0", "1_0", "\u0661"],
)  # fmt: skip
@differs(crun="1.8.1 takes what atoi(3) finds", runc="1.1.5 wraps around and takes an empty one")
def test_user_that_is_none(box: Container, user: str) -> None:
    """CVE-2016-3697, CVE-2026-30892: never another id than the one that was meant."""
    result = execute(box, "--user", user, "ID", "id", "-u")
    assert result.returncode == 255
    error_text(result, "--user")
    assert result.stdout == ""


@differs(crun="does not say where the number stands", runc="does not say where the number stands")
def test_id_that_is_not_mapped_is_the_options(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.user_namespace().shell("exec sleep 1000")) as container:
        for user in ("70000", "0:70000"):
            error_text(execute(container, "--user", user, "ID", "true"), "70000", "(--user)")


def test_number_is_no_name_of_the_image(box: Container) -> None:
    (box.bundle.rootfs / "etc/passwd").write_text("1000:x:0:0::/:/bin/sh\n")
    assert output(box, "--user", "1000", "ID", "id", "-u") == "1000\n"


@differs(crun="1.8.1 runs as root if no user is named")
def test_group_of_the_config_stays(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 3, "gid": 4, "additionalGids": [5]}
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        assert shell(box, "id -u; id -g; id -G").split() == ["3", "4", "4", "5"]
        assert shell(box, "id -u; id -g", "-u", "1").split() == ["1", "4"]


@differs(crun="1.8.1 has no --additional-gids")
def test_additional_groups(box: Container) -> None:
    assert shell(box, "id -G", "-g", "5", "-g", "6", "-u", "1:1").split() == ["1", "5", "6"]


@differs(crun="1.8.1 is refused now and then: it joins before it is root")
def test_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.user_namespace().shell("exec sleep 1000")) as box:
        assert shell(box, "id -u; id -g; readlink /proc/self/ns/user").split() == [
            "0", "0", os.readlink(f"/proc/{box.pid}/ns/user"),
        ]  # fmt: skip
        assert shell(box, "id -u; touch /tmp/mine; stat -c %u /tmp/mine", "--user", "7:8").split() == ["7", "7"]
        assert (box.bundle.rootfs / "tmp/mine").stat().st_uid == 100007


def test_user_that_is_not_mapped(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.user_namespace(100000, 10).shell("exec sleep 1000")) as box:
        error_text(execute(box, "--user", "10", "ID", "true"))


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup"])
def test_namespace_of_the_host(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    bundle.share(kind)
    if kind == "uts":
        bundle.config.pop("hostname")
    if kind == "network":
        bundle.drop_mounts("/sys")
    name = {"network": "net"}.get(kind, kind)
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        assert output(box, "ID", "readlink", f"/proc/self/ns/{name}").strip() == os.readlink(f"/proc/self/ns/{name}")


@only_pyrunc("others need a mount namespace")
def test_without_a_mount_namespace(runtime: Runtime, bundle: Bundle) -> None:
    bundle.share("mount").config["mounts"] = []
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    (bundle.rootfs / "marker").touch()
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        assert output(box, "ID", "ls", "/marker", "/../marker") == "/../marker\n/marker\n"


def capability_sets(text: str) -> dict[str, int]:
    """The sets in a /proc/PID/status."""
    return {line[3:6]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}


def test_capabilities_are_the_containers(runtime: Runtime, bundle: Bundle) -> None:
    bundle.all_sets("CAP_NET_RAW")
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        sets = capability_sets(output(box, "ID", "cat", "/proc/self/status"))
    assert sets == {"Inh": 0, "Prm": NET_RAW, "Eff": NET_RAW, "Bnd": NET_RAW, "Amb": 0}


@differs(crun="1.8.1 replaces the sets and sets the inheritable one, too", runc="1.1.5 adds to the ambient set, too")
@pytest.mark.parametrize("name", ["CAP_NET_ADMIN", "NET_ADMIN", "net_admin"])
def test_added_capability(runtime: Runtime, bundle: Bundle, name: str) -> None:
    """CVE-2022-27650, CVE-2022-29162: an inheritable one would let files raise it."""
    bundle.all_sets("CAP_NET_RAW")
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        sets = capability_sets(output(box, "--cap", name, "ID", "cat", "/proc/self/status"))
    both = NET_ADMIN | NET_RAW
    assert sets == {"Inh": 0, "Prm": both, "Eff": both, "Bnd": both, "Amb": 0}


@differs(crun="1.28 gives none")
def test_added_capability_is_ambient_if_it_is_inheritable(runtime: Runtime, bundle: Bundle) -> None:
    """A user would not have it otherwise."""
    names = ["CAP_NET_RAW"]
    bundle.capabilities(bounding=names, effective=names, permitted=names, inheritable=names)
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        result = execute(box, "--user", "1000:1000", "--cap", "CAP_NET_RAW", "ID", "cat", "/proc/self/status")
    assert capability_sets(result.stdout)["Amb"] == NET_RAW


@only_pyrunc("fails: capset, operation not permitted")
def test_added_capability_that_the_caller_has_not_is_a_warning(box: Container) -> None:
    behind = Container(box.runtime.behind("setpriv", "--bounding-set", "-net_raw"), box.id, box.bundle)
    result = execute(behind, "--cap", "CAP_NET_RAW", "ID", "true")
    assert (result.returncode, result.stderr.count("CAP_NET_RAW")) == (0, 1), result.stderr


@differs(crun="1.8.1 passes over it", runc="1.1.5 warns only")
def test_unknown_capability(box: Container) -> None:
    error_text(execute(box, "--cap", "CAP_NONSENSE", "ID", "true"), "nonsense")


def test_no_new_privileges(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = False
    script = "grep NoNewPrivs /proc/self/status | cut -f2"
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        assert shell(box, script).strip() == "0"
        assert shell(box, script, "--no-new-privs").strip() == "1"


@only_pyrunc("others go on without the label")
@pytest.mark.parametrize("option", ["--apparmor", "--process-label"])
def test_labels_are_applied_or_refused(box: Container, option: str) -> None:
    result = execute(box, option, "no-such-label", "ID", "true")
    assert result.returncode == 255
    module = {"--apparmor": "apparmor", "--process-label": "selinux"}[option]
    message = error_text(result).lower()
    assert module in message or "attr/exec" in message  # the latter by the kernel, where the module is enabled


@only_pyrunc("others go on without the label")
@pytest.mark.parametrize("key, module", [("apparmorProfile", "apparmor"), ("selinuxLabel", "selinux")])
def test_labels_of_the_config_are_applied_or_refused(runtime: Runtime, bundle: Bundle, key: str, module: str) -> None:
    bundle.process[key] = "no-such-label"
    container_id = new_id()
    message = error_text(runtime.run(bundle, container_id=container_id)).lower()
    assert module in message or "attr/exec" in message
    assert key.lower() in message or "attr/exec" in message


def test_seccomp_filter_is_the_containers(runtime: Runtime, bundle: Bundle) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        result = execute(box, "ID", "mkdir", "/tmp/new")
        assert "not implemented" in result.stderr
        assert "Seccomp:\t2" in output(box, "ID", "cat", "/proc/self/status")


def session_keyring(box: Container, area: Path) -> str:
    """What keyctl_describe(3) says of a program's session keyring; the program is pyrunc-init with two steps."""
    steps = StepList()
    text = steps.blob(bytes(200))
    steps.call("keyctl", KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, 200, label="describe")
    steps.call("write", 1, text, 200, label="write")
    (area / "steps").write_bytes(steps.data())
    shutil.copy(CHECKOUT / "runtime/pyrunc/pyrunc-init", box.bundle.rootfs / "describe")
    argv = box.runtime.argv("exec", "--preserve-fds", "1", box.id, "/describe", "3")
    command = ["sh", "-c", f'exec "$@" 3< {area}/steps', "sh", *argv]
    result = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return result.stdout.partition("\0")[0]


@differs(crun="1.8.1 stays in the caller's")
def test_session_keyring_is_the_containers(box: Container, area: Path) -> None:
    assert f"_ses.{box.id}" in session_keyring(box, area)


def test_session_keyring_of_a_container_without(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    with runtime.running(bundle.shell("exec sleep 1000"), "--no-new-keyring") as box:
        found = session_keyring(box, area)
    assert "keyring;" in found
    assert box.id not in found


def open_in_the_program(box: Container, *options: str) -> set[str]:
    """The numbers of the program's descriptors, when the runtime's caller has left 7 and 9 open."""
    script = "for fd in /proc/$$/fd/*; do readlink $fd > /dev/null && echo ${fd##*/}; done; true"
    argv = box.runtime.argv("exec", *options, box.id, "sh", "-c", script)
    command = ["sh", "-c", 'exec "$@" 7</ 9</', "sh", *argv]
    result = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return set(result.stdout.split())


@differs(crun="1.8.1 passes all that are open", runc="1.1.5 needs LISTEN_FDS to be unset and the like")
def test_descriptors_that_are_passed(box: Container) -> None:
    assert open_in_the_program(box) == {"0", "1", "2"}
    assert open_in_the_program(box, "--preserve-fds", "5") == {"0", "1", "2", "7"}
    assert open_in_the_program(box, "--preserve-fds", "7") == {"0", "1", "2", "7", "9"}


@only_pyrunc("shows the runtime's own processes to a container that looks for them")
def test_nothing_of_the_entering_process_can_be_read(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2016-9962, CVE-2019-5736: what enters is a sealed file or cannot be looked at, however often one tries."""
    names = ("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_KILL")
    # busybox's own links are the container's; all others are ours.
    loop = (
        "echo looking; while :; do for p in /proc/[0-9]*; do for what in exe cwd root; do "
        'l=$(readlink $p/$what 2>/dev/null) && echo "$what $l"; done; ls -l $p/fd 2>/dev/null | grep /; done; done'
    )
    bundle.process["user"] = {"uid": 0, "gid": 0}
    with runtime.running(bundle.all_sets(*names).shell(loop)) as box:
        for _ in range(100):
            assert execute(box, "ID", "/bin/busybox", "true").returncode == 0
        seen = set(box.output().splitlines())
    assert {"looking", "exe /bin/busybox"} <= seen
    # What was seen of other processes: pyrunc-init in its sealed memory, the container's own programs, nothing else.
    allowed = {"looking", "exe /bin/busybox", "exe /memfd:pyrunc-init (deleted)", "cwd /", "root /"}
    assert {line for line in seen - allowed if not is_harmless(line)} == set()


def is_harmless(line: str) -> bool:
    """Whether a line of `ls -l /proc/PID/fd` is about a standard stream, or what the shell opens to look."""
    number, arrow, where = line.partition(" -> ")
    return bool(arrow) and (number.split()[-1] in ("0", "1", "2") or where.startswith("/proc/"))


def test_process_file_may_not_drop_the_filter(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    process = bundle.process | {"args": ["mkdir", "/tmp/new"]}
    (area / "process").write_text(json.dumps(process))
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        result: Result = execute(box, "--process", area / "process", "ID")
        assert result.returncode == 1
        assert not (bundle.rootfs / "tmp/new").exists()
