"""SELinux in force: types of the test's own, loaded into the kernel's policy. Only the secret's type is denied to the
container's, so that what else does not work is the runtime's doing and not the policy's."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyrunc.kernel.process import lsm

from tests.bundle import Bundle
from tests.descriptorpaths import lend, programs_found
from tests.runtime import Container, Runtime, error_text

# Rules of CIL, which need no compiler. NODOMAIN is a type that nobody may enter.
POLICY = """
(type pyrunc_test_t)
(type pyrunc_test_nodomain_t)
(type pyrunc_test_mount_t)
(type pyrunc_test_secret_t)
(roletype {role} pyrunc_test_t)
(roletype {role} pyrunc_test_nodomain_t)
(roletype object_r pyrunc_test_mount_t)
(roletype object_r pyrunc_test_secret_t)
(typeattribute pyrunc_test_all)
(typeattributeset pyrunc_test_all (all))
(typeattribute pyrunc_test_open)
(typeattributeset pyrunc_test_open (and (all) (not (pyrunc_test_secret_t))))
(typeattribute pyrunc_test_own)
(typeattributeset pyrunc_test_own (pyrunc_test_t pyrunc_test_mount_t pyrunc_test_secret_t))
(allow pyrunc_test_own pyrunc_test_all (filesystem (associate)))
(allow {caller} pyrunc_test_own (file (all)))
(allow {caller} pyrunc_test_own (dir (all)))
(allow {caller} pyrunc_test_own (lnk_file (all)))
(allow {caller} pyrunc_test_own (chr_file (all)))
(allow {caller} pyrunc_test_own (fifo_file (all)))
(allow {caller} pyrunc_test_own (filesystem (all)))
(allow {caller} pyrunc_test_own (process (all)))
(allow {caller} pyrunc_test_t (process2 (nnp_transition nosuid_transition)))
(allow {caller} pyrunc_test_own (key (all)))
(allow {caller} pyrunc_test_nodomain_t (key (all)))
(allow {caller} pyrunc_test_own (fd (all)))
(allow {caller} pyrunc_test_own (unix_stream_socket (all)))
(allow pyrunc_test_all pyrunc_test_t (process (sigchld)))
(allow pyrunc_test_all pyrunc_test_t (fd (use)))
"""
OPEN_CLASSES = """
file dir lnk_file chr_file fifo_file sock_file filesystem process fd unix_stream_socket unix_dgram_socket capability
capability2 cap_userns key
"""
READ = "tr -d '\\0' < /proc/self/attr/current; echo; cat /mnt/secret 2> /dev/null || echo denied"
KEYCTL, KEYCTL_GET_SECURITY = 250, 17  # x86_64's number; linux/keyctl.h


def own_context() -> list[str]:
    """User, role, type and range of this process, which are the runtime's as well."""
    return Path("/proc/self/attr/current").read_text().rstrip("\0\n").split(":", 3)


def context(of_type: str, levels: str = "s0:c1,c2") -> str:
    """A label for a process that this one may start: with its own user and role."""
    user, role, _, _ = own_context()
    return f"{user}:{role}:{of_type}:{levels}"


def label_of_mounts(of_type: str = "pyrunc_test_mount_t") -> str:
    """A label for files that a process of ours may make: with its own user."""
    return f"{own_context()[0]}:object_r:{of_type}:s0:c1,c2"


LABEL_OF_SECRET = "system_u:object_r:pyrunc_test_secret_t:s0"


@pytest.fixture(scope="module", autouse=True)
def _policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if not lsm.selinux_enabled():
        pytest.skip("SELinux is not enabled in this kernel")
    if Path("/sys/fs/selinux/enforce").read_text() != "1":
        pytest.fail("SELinux is permissive: nothing would be denied")
    _, role, caller, _ = own_context()
    module = tmp_path_factory.mktemp("policy") / "pyrunc_test.cil"
    rules = [f"(allow pyrunc_test_t pyrunc_test_open ({name} (all)))" for name in OPEN_CLASSES.split()]
    module.write_text(POLICY.format(role=role, caller=caller) + "\n".join(rules) + "\n")

    def semodule(option: str, value: str | Path) -> None:
        done = subprocess.run(["semodule", option, value], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    semodule("--install", module)
    yield
    semodule("--remove", "pyrunc_test")


@pytest.fixture
def secret(bundle: Bundle) -> Bundle:
    path = Path(bundle.rootfs, "mnt/secret")
    path.write_text("secret\n")
    os.setxattr(path, "security.selinux", LABEL_OF_SECRET.encode())
    return bundle


def test_label_of_the_process(runtime: Runtime, secret: Bundle) -> None:
    secret.process["selinuxLabel"] = context("pyrunc_test_t")
    assert runtime.output(secret, READ).split("\n")[:2] == [context("pyrunc_test_t"), "denied"]


def test_no_label(runtime: Runtime, secret: Bundle) -> None:
    assert runtime.output(secret, READ).split("\n")[:2] == [":".join(own_context()), "secret"]


def test_label_that_the_policy_does_not_know(runtime: Runtime, secret: Bundle) -> None:
    secret.process["selinuxLabel"] = context("pyrunc_test_missing_t")
    runtime.create_fails(secret)


def test_label_that_the_policy_does_not_let_enter(runtime: Runtime, secret: Bundle) -> None:
    """The kernel says so when the program is executed; nothing of it has run then."""
    secret.process["selinuxLabel"] = context("pyrunc_test_nodomain_t")
    secret.process["noNewPrivileges"] = False
    result = runtime.run(secret.shell("echo ran; touch /mnt/ran"))
    error_text(result, "permission denied")
    assert "ran" not in result.stdout
    assert not (secret.rootfs / "mnt/ran").exists()


@pytest.mark.parametrize("asked", [True, False])
def test_exec(runtime: Runtime, secret: Bundle, asked: bool) -> None:
    """By its own option, or as the container's process."""
    secret.process["args"] = ["sleep", "1000"]
    if not asked:
        secret.process["selinuxLabel"] = context("pyrunc_test_t")
    options = ["--process-label", context("pyrunc_test_t")] if asked else []
    with runtime.running(secret) as container:
        found = runtime.call("exec", *options, container.id, "sh", "-c", READ)
    assert found.stdout.split("\n")[:2] == [context("pyrunc_test_t"), "denied"]


@pytest.mark.parametrize("label", ["pyrunc_test_missing_t", "pyrunc_test_nodomain_t"])
def test_exec_with_a_label_that_cannot_be_had(runtime: Runtime, secret: Bundle, label: str) -> None:
    secret.process["args"] = ["sleep", "1000"]
    with runtime.running(secret) as container:
        result = runtime.call("exec", "--process-label", context(label), container.id, "echo", "ran")
    error_text(result)
    assert "ran" not in result.stdout


def test_label_of_the_mounts(runtime: Runtime, bundle: Bundle) -> None:
    """File systems that are made for the container carry it, a bind mount keeps its own."""
    bundle.linux["mountLabel"] = label_of_mounts()
    bundle.process["selinuxLabel"] = context("pyrunc_test_t")
    kept = bundle.path / "kept"
    kept.mkdir()
    before = os.getxattr(kept, "security.selinux")
    bundle.mount("/mnt/fresh", "tmpfs", fstype="tmpfs").mount("/mnt/kept", kept, "bind")
    (bundle.rootfs / "hidden").mkdir()
    bundle.linux["maskedPaths"] = ["/hidden"]
    script = "touch /mnt/fresh/file /dev/shm/file && echo written && exec sleep 1000"
    with runtime.running(bundle.shell(script)) as container:
        while container.output() != "written\n":
            assert container.status == "running"
        root = Path(f"/proc/{container.pid}/root")
        for path in ("dev", "dev/null", "dev/pts", "dev/shm/file", "mnt/fresh", "mnt/fresh/file", "hidden"):
            assert label_of(root / path) == label_of_mounts(), path
        assert os.getxattr(root / "mnt/kept", "security.selinux") == before
    assert os.getxattr(kept, "security.selinux") == before


def test_label_of_mounts_that_the_policy_does_not_know(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["mountLabel"] = label_of_mounts("pyrunc_test_missing_t")
    runtime.create_fails(bundle)


def label_of(path: Path) -> str:
    return os.getxattr(path, "security.selinux").rstrip(b"\0").decode()


def session_keyrings(container: Container) -> list[str]:
    """The labels of the keyrings that bear the container's id."""
    libc, found = ctypes.CDLL(None, use_errno=True), []
    for line in Path("/proc/keys").read_text().splitlines():
        serial, *_, kind, description = line.split(None, 8)
        if kind == "keyring" and container.id in description:
            buffer = ctypes.create_string_buffer(200)
            size = libc.syscall(KEYCTL, KEYCTL_GET_SECURITY, int(serial, 16), buffer, len(buffer))
            assert size > 0, os.strerror(ctypes.get_errno())
            found.append(buffer.value.decode())
    return found


def test_label_of_the_session_keyring(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["selinuxLabel"] = context("pyrunc_test_t")
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        assert session_keyrings(container) == [context("pyrunc_test_t")]


def test_exec_finds_no_program_of_another_container(runtime: Runtime, make_bundle: Callable[[], Bundle]) -> None:
    attacker, victim = make_bundle(), make_bundle()
    lend(victim)
    for bundle in (attacker, victim):
        bundle.process["selinuxLabel"] = context("pyrunc_test_t")
        bundle.process["args"] = ["sleep", "1000"]
    with runtime.running(victim) as lender, runtime.running(attacker) as container:
        assert programs_found(container, lender.pid) == []
