"""crun's annotations that change what the runtime does."""

import base64
import json
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.pidfds import PidfdReceiver
from tests.runtime import Runtime
from tests.waiting import DEADLINE

RUNC = differs(runc="knows none of crun's annotations")
PLACES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
SAYING = "echo out of {0}; echo err of {0} >&2"

BADFD = 77  # an errno that the kernel itself never gives to mkdir
BPF_LOAD, BPF_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
RET_ERRNO, RET_ALLOW = 0x50000, 0x7FFF0000
MKDIR = {"x86_64": (83, 258), "aarch64": (34, 34), "riscv64": (34, 34)}  # mkdir(2), mkdirat(2)


def annotate(bundle: Bundle, **annotations: str) -> Bundle:
    """Annotations, by their names without `run.oci.`."""
    bundle.config["annotations"] = {f"run.oci.{name}": value for name, value in annotations.items()}
    return bundle


def with_output_files(bundle: Bundle) -> tuple[Path, Path]:
    out, err = bundle.path / "out", bundle.path / "err"
    bundle.config["annotations"] = {"run.oci.hooks.stdout": str(out), "run.oci.hooks.stderr": str(err)}
    return out, err


@RUNC
@pytest.mark.parametrize("place", PLACES)
def test_output_of_hooks_is_added_to_files(runtime: Runtime, bundle: Bundle, place: str) -> None:
    out, err = with_output_files(bundle)
    out.write_text("before\n")
    for _ in range(2):
        bundle.hook(place, SAYING.format(place))
    result = runtime.run(bundle.shell("true"))
    assert result.returncode == 0, result.stderr
    assert out.read_text() == "before\n" + f"out of {place}\n" * 2
    assert err.read_text() == f"err of {place}\n" * 2


@only_pyrunc("crun 1.8.1 opens both files or none, runc knows no such annotations")
@pytest.mark.parametrize("place", ["createRuntime", "startContainer"])
def test_what_goes_to_no_file_is_in_the_error(runtime: Runtime, bundle: Bundle, place: str) -> None:
    out, _ = with_output_files(bundle)
    del bundle.config["annotations"]["run.oci.hooks.stderr"]
    result = runtime.run(bundle.hook(place, SAYING.format(place) + "; exit 3"))
    assert f"err of {place}" in result.stderr
    assert out.read_text() == f"out of {place}\n"


@only_pyrunc("has no annotation for it, or other words for the failure")
def test_file_for_the_output_that_cannot_be_opened(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, **{"hooks.stdout": "/dev/null", "hooks.stderr": "/no/such/directory/file"})
    bundle.hook("createRuntime", "true")
    runtime.create_fails(bundle, "/no/such/directory/file", "(config.json: /annotations/run.oci.hooks.stderr)")


@only_pyrunc("waits for a reader, or has no annotation for it")
def test_fifo_for_the_output_that_nobody_reads(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    os.mkfifo(area / "fifo")
    annotate(bundle, **{"hooks.stdout": str(area / "fifo")})
    runtime.create_fails(bundle.hook("createRuntime", "true"), f"{area}/fifo", "/annotations/run.oci.hooks.stdout")


@only_pyrunc("has no annotation for it, or opens both files or none")
def test_fifo_for_the_output_is_written_without_loss(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    os.mkfifo(area / "fifo")
    annotate(bundle, **{"hooks.stdout": str(area / "fifo")})
    bundle.hook("createRuntime", "head -c 200000 /dev/zero").shell("true")  # more than a pipe holds
    held = os.open(area / "fifo", os.O_RDWR)  # or the reader would be at the end before the hook writes
    with open(area / "fifo", "rb") as stdin, open(area / "read", "wb") as stdout:
        reader = subprocess.Popen("cat", stdin=stdin, stdout=stdout)
        result = runtime.run(bundle)
        os.close(held)
        reader.wait(DEADLINE)
    assert (result.returncode, (area / "read").stat().st_size) == (0, 200000)


@differs(crun="1.8.1 runs no poststop hook then")
def test_files_that_are_gone_do_not_keep_poststop_hooks_from_running(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    directory = area / "later"
    directory.mkdir()
    annotate(bundle, **{"hooks.stdout": str(directory / "out")})
    with runtime.created(bundle.hook("poststop", f"touch {area}/ran")):
        (directory / "out").unlink(missing_ok=True)
        directory.rmdir()
    assert (area / "ran").exists()


@only_pyrunc("has no annotation for it, or sends from another process")
def test_pidfd_receiver(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    annotate(bundle, pidfd_receiver=str(area / "pidfd"))
    with PidfdReceiver(area / "pidfd") as receiver, runtime.created(bundle) as container:
        assert receiver.pid() == container.pid


def denying_mkdir() -> str:
    """A filter in base64 that lets mkdir fail with BADFD and allows the rest."""
    mkdir, mkdirat = MKDIR[os.uname().machine]
    program = [
        (BPF_LOAD, 0, 0, 0),
        (BPF_EQUAL, 1, 0, mkdir),
        (BPF_EQUAL, 0, 1, mkdirat),
        (BPF_RETURN, 0, 0, RET_ERRNO | BADFD),
        (BPF_RETURN, 0, 0, RET_ALLOW),
    ]
    return base64.b64encode(b"".join(struct.pack("=HBBI", *instruction) for instruction in program)).decode()


@differs(crun="1.8.1 does not know it yet", runc="knows none of crun's annotations")
@pytest.mark.parametrize("profile", [None, {"defaultAction": "SCMP_ACT_KILL"}])
def test_compiled_seccomp_filter(runtime: Runtime, bundle: Bundle, profile: dict[str, str] | None) -> None:
    if profile is not None:
        bundle.linux["seccomp"] = profile  # the annotation takes its place
    annotate(bundle, seccomp_bpf_data=denying_mkdir())
    with runtime.running(bundle.shell("mkdir /made 2>&1; exec sleep 1000")) as container:
        result = runtime.call("exec", container.id, "mkdir", "/made")
        assert os.strerror(BADFD) in result.stderr
    assert not (bundle.rootfs / "made").exists()


UNKNOWN = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["nosuch"], "action": "SCMP_ACT_ERRNO"}]}


def test_unknown_system_call_is_passed_over(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = UNKNOWN
    assert runtime.output(bundle, "echo ran") == "ran\n"


@RUNC
def test_unknown_system_call_is_an_error_where_it_is_asked_for(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = UNKNOWN
    runtime.create_fails(annotate(bundle, seccomp_fail_unknown_syscall="1"), "nosuch")


@only_pyrunc("has its own words")
def test_unknown_system_call_has_its_place(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = UNKNOWN
    annotate(bundle, seccomp_fail_unknown_syscall="1")
    runtime.create_fails(bundle, "/linux/seccomp/syscalls/0/names/0")


ANNOTATED = pytest.param(True, marks=differs(runc="knows none of crun's annotations"))


@pytest.mark.parametrize("annotated", [ANNOTATED, False])
def test_seccomp_receiver_is_a_listener_path(
    runtime: Runtime, bundle: Bundle, area: Path, annotated: bool
) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    if annotated:
        annotate(bundle, **{"seccomp.receiver": str(area / "agent")})
    else:
        bundle.linux["seccomp"] |= {"listenerPath": str(area / "agent"), "listenerMetadata": "for the agent"}
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(area / "agent"))
        agent.listen()
        agent.settimeout(DEADLINE)
        with runtime.running(bundle.shell("exec sleep 1000")) as container:
            connection, _ = agent.accept()
            with connection:
                message, (listener,), _, _ = socket.recv_fds(connection, 1 << 16, 1)
            said = json.loads(message)
            assert (said["fds"], said["pid"]) == (["seccompFd"], container.pid)
            assert said.get("metadata", "") == ("" if annotated else "for the agent")
            state = said["state"]
            assert (state["id"], state["bundle"], state["pid"]) == (container.id, str(bundle.path), container.pid)
            assert os.readlink(f"/proc/self/fd/{listener}") == "anon_inode:seccomp notify"
            os.close(listener)


@only_pyrunc("ignores it, or fails later")
@pytest.mark.parametrize(
    "name, value, said",
    [
        ("hooks.stdout", "relative", "not an absolute path"),
        ("pidfd_receiver", "", "not an absolute path"),
        ("seccomp.receiver", "relative", "not an absolute path"),
        ("mount_context_type", "other", "not one of `context`"),
        ("seccomp_bpf_data", "!", "not a seccomp filter"),
        ("seccomp_bpf_data", "AAAA", "not a seccomp filter"),
        ("systemd.subgroup", "../up", "not the name of a cgroup"),
        ("delegate-cgroup", "", "not the name of a cgroup"),
        ("delegate-cgroup", "two\nlines", "not the name of a cgroup"),
        ("handler", "krun", "another kind of container"),
        ("seccomp.plugins", "/lib/plugin.so", "loads no plugins"),
        ("systemd.force_cgroup_v1", "/sys/fs/cgroup", "no cgroup v1"),
    ],
)
def test_value_that_cannot_be_honoured(runtime: Runtime, bundle: Bundle, name: str, value: str, said: str) -> None:
    runtime.create_fails(annotate(bundle, **{name: value}), said, f"/annotations/run.oci.{name}")


def test_other_annotations_mean_nothing(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, **{"nosuch": "value", "nosuch/key": ""})
    assert runtime.output(bundle, "echo ran") == "ran\n"


def test_listener_of_a_container_with_a_start_container_hook(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """The hook is filtered as the program is, so the agent gets the listener before both."""
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    bundle.linux["seccomp"] |= {"listenerPath": str(area / "agent")}
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(area / "agent"))
        agent.listen()
        agent.settimeout(DEADLINE)
        with runtime.running(bundle.shell("exec sleep 1000")) as container:
            assert container.status == "running"
