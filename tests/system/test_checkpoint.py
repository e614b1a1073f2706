"""checkpoint and restore, by the CRIU that is on PATH; skipped, with criu's own words, where it does not work."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import consoles
from tests.bundle import Bundle
from tests.checkpoints import COUNT, checkpoint, count, counts_on, restore, succeeded
from tests.cpus import allowed, on_one_cpu
from tests.peers import differs, only_pyrunc
from tests.pidfds import PidfdReceiver
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Container, Result, Runtime, error_text, new_id
from tests.waiting import eventually, exit_code

pytestmark = [pytest.mark.usefixtures("criu"), differs(crun="Debian's crun 1.8.1 is built without CRIU")]


def test_goes_on_where_it_was(counting: Container, images: Path, pipe: tuple[int, int]) -> None:
    first = counting.pid
    succeeded(checkpoint(counting, images), counting)
    assert exit_code(first) == -signal.SIGKILL
    error_text(counting.runtime.state(counting.id), "does not exist")
    stopped_at = count(counting.bundle)
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counting.status == "running"
    assert counts_on(counting.bundle)
    assert count(counting.bundle) > stopped_at
    cgroup = f"{counting.bundle.linux['cgroupsPath']}"
    assert f"0::{cgroup}\n" in Path(f"/proc/{counting.pid}/cgroup").read_text()


def test_read_only_root_stays(runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]) -> None:
    """Also with a CRIU that leaves it writable: 4.1.1 does where the root is an overlay, as podman's checks see."""
    bundle.config["root"]["readonly"] = True
    with runtime.running(bundle.shell("while :; do sleep 0.1; done"), stdout=pipe[1], stderr=pipe[1]) as container:
        succeeded(checkpoint(container, images), container)
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        touched = runtime.call("exec", container.id, "touch", "/made")
        assert "Read-only file system" in touched.stderr, touched.stderr
        assert not (bundle.rootfs / "made").exists()


@only_pyrunc("has no annotation for it, or sends from another process")
def test_pidfd_of_what_was_restored(counting: Container, images: Path, area: Path, pipe: tuple[int, int]) -> None:
    succeeded(checkpoint(counting, images), counting)
    counting.bundle.config["annotations"] = {"run.oci.pidfd_receiver": str(area / "pidfd")}
    counting.bundle.save(counting.id)
    with PidfdReceiver(area / "pidfd") as receiver:
        succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
        assert receiver.pid() == counting.pid


def test_what_was_restored_is_a_container_like_any_other(
    counting: Container, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    succeeded(checkpoint(counting, images), counting)
    pid_file = area / "pid"
    options = ("--detach", "--pid-file", pid_file)
    succeeded(restore(counting, images, *options, stdout=pipe[1], stderr=pipe[1]), counting)
    pid = counting.pid
    assert pid_file.read_text() == str(pid)
    inside = counting.runtime.call("exec", counting.id, "cat", "/proc/1/cmdline")
    assert COUNT in inside.stdout, inside.stderr
    assert counting.runtime.call("pause", counting.id).returncode == 0
    assert counting.status == "paused"
    assert counting.runtime.call("resume", counting.id).returncode == 0
    counting.kill("TERM")
    counting.kill("KILL")
    assert exit_code(pid) == -signal.SIGKILL
    assert counting.status == "stopped"


def test_cpus_of_the_caller_are_not_inherited(counting: Container, images: Path, pipe: tuple[int, int]) -> None:
    succeeded(checkpoint(counting, images), counting)
    with on_one_cpu() as (_, all_cpus):
        succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
        assert allowed(counting.pid) == all_cpus


def test_leave_running(counting: Container, images: Path) -> None:
    pid = counting.pid
    succeeded(checkpoint(counting, images, "--leave-running"), counting)
    assert counting.pid == pid
    assert counts_on(counting.bundle)
    assert (images / "inventory.img").exists()


@only_pyrunc("theirs is 0750 or what the umask makes of it")
def test_images_are_for_their_owner_alone(counting: Container, images: Path) -> None:
    """What is in them was in memory."""
    succeeded(checkpoint(counting, images, "--leave-running"), counting)
    assert images.stat().st_mode & 0o777 == 0o700


def test_paused_container(counting: Container, images: Path, pipe: tuple[int, int]) -> None:
    assert counting.runtime.call("pause", counting.id).returncode == 0
    succeeded(checkpoint(counting, images), counting)
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counts_on(counting.bundle)


@pytest.mark.parametrize("status", ["created", "stopped"])
def test_only_what_runs_can_be_checkpointed(runtime: Runtime, bundle: Bundle, images: Path, status: str) -> None:
    with runtime.created(bundle.shell(COUNT)) as container:
        if status == "stopped":
            pid = container.pid
            container.kill("KILL")
            exit_code(pid)
        error_text(checkpoint(container, images), status)


def connected(container: Container) -> bool:
    """Whether a TCP connection of the container is established (state 01, proc(5))."""
    return " 01 " in container.runtime.call("exec", container.id, "cat", "/proc/net/tcp").stdout


@differs(runc="1.1.5 deletes a container whose checkpoint has failed, and says nothing of the cause")
def test_after_a_failure_it_runs_on_and_the_cause_is_said(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]
) -> None:
    # Not one long sleep: CRIU restores a sleeper with an interrupted system call, and with its end the connection ends.
    bundle.shell(f"nc -l -p 99 -e cat & while :; do sleep 1; done | until nc 127.0.0.1 99; do sleep 1; done & {COUNT}")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: connected(container), "a connection")
        message = error_text(checkpoint(container, images), "tcp", str(images / "dump.log"))
        assert "runs on" in message
        assert container.status == "running"
        assert counts_on(bundle)
        succeeded(checkpoint(container, images, "--tcp-established"), container)
        succeeded(
            restore(container, images, "--detach", "--tcp-established", stdout=pipe[1], stderr=pipe[1]), container
        )
        assert connected(container)


@differs(runc="1.1.5 leaves files of the host to criu, which cannot reach them")
def test_streams_that_are_files_of_the_host(runtime: Runtime, bundle: Bundle, images: Path) -> None:
    """/dev/null of the host as standard input, and an output that is appended to."""
    with runtime.running(bundle.shell("while :; do echo more; sleep 0.05; done")) as container:
        eventually(container.output, "output")
        succeeded(checkpoint(container, images), container)
        size = container.stdout.stat().st_size
        succeeded(restore(container, images, "--detach"), container)
        eventually(lambda: container.stdout.stat().st_size > size, "output after the restore")


def test_output_goes_to_the_pipe_of_the_restore(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]
) -> None:
    bundle.shell("while :; do echo more; sleep 0.05; done")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        succeeded(checkpoint(container, images), container)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            succeeded(restore(container, images, "--detach", stdout=writing, stderr=writing), container)
            assert os.read(reading, 4) == b"more"
        finally:
            os.close(reading)
            os.close(writing)


@differs(runc="1.1.5 remembers the standard streams only")
def test_preserved_descriptor(
    runtime: Runtime, bundle: Bundle, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    """A fourth descriptor from outside has to be given anew, too."""
    container = Container(runtime, new_id(), bundle.shell("while :; do echo more >&3; sleep 0.05; done"))
    bundle.save(container.id)
    third = area / "third"

    def call(*words: str | Path) -> Result:
        argv = runtime.argv(*words, "--detach", "--bundle", bundle.path, container.id)
        return subprocess.run(
            ["sh", "-c", f'exec "$@" 3>>{third}', "sh", *argv], check=False, stdin=subprocess.DEVNULL, stdout=pipe[1],
            stderr=pipe[1], timeout=60, text=True,
        )  # fmt: skip

    try:
        succeeded(call("run", "--preserve-fds", "1"), container)
        eventually(third.read_text, "output")
        succeeded(checkpoint(container, images), container)
        error_text(restore(container, images), "descriptor 3", "--preserve-fds 1")
        size = third.stat().st_size
        succeeded(call("restore", "--image-path", images, "--preserve-fds", "1"), container)
        eventually(lambda: third.stat().st_size > size, "output after the restore")
    finally:
        runtime.delete(container.id, "--force")


def test_terminal(runtime: Runtime, bundle: Bundle, images: Path, area: Path) -> None:
    bundle.shell("while read word; do echo got-$word; done")
    bundle.process["terminal"] = True
    with consoles.console_socket(area / "first") as listener:
        created = runtime.running(bundle, "--console-socket", area / "first")
        with created as container:
            ptmx, _ = consoles.receive_ptmx(listener)
            os.write(ptmx, b"one\n")
            consoles.read_until(ptmx, b"got-one")
            result = checkpoint(container, images)
            os.close(ptmx)
            succeeded(result, container)
            with consoles.console_socket(area / "second") as again:
                succeeded(restore(container, images, "--detach", "--console-socket", area / "second"), container)
                ptmx, name = consoles.receive_ptmx(again)
            assert name
            os.write(ptmx, b"two\n")
            consoles.read_until(ptmx, b"got-two")
            os.close(ptmx)


def test_mounts_masks_and_read_only_paths(
    runtime: Runtime, bundle: Bundle, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    (area / "shared").mkdir()
    (area / "shared/file").write_text("of the host")
    (area / "one").write_text("one file")
    bundle.mount("/mnt", area / "shared", "bind", "ro").mount("/etc/one", area / "one", "bind")
    bundle.shell(COUNT)
    look = "cat /mnt/file /etc/one /proc/keys; ls /sys/firmware; touch /mnt/x /proc/sys/x 2>&1; cat /proc/kcore"
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        before = runtime.call("exec", container.id, "sh", "-c", look).stdout
        succeeded(checkpoint(container, images), container)
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        after = runtime.call("exec", container.id, "sh", "-c", look).stdout
    assert after == before
    assert "of the hostone file" in after


def test_restore_makes_destinations_in_a_fresh_root(
    counting: Container, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    """An engine restores into a root that it has unpacked anew: it has none of the directories that create made."""
    succeeded(checkpoint(counting, images), counting)
    for name in ("proc", "dev", "sys"):
        (counting.bundle.rootfs / name).rmdir()
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert counts_on(counting.bundle)


def test_restore_makes_destinations_in_a_fresh_volume(
    runtime: Runtime, bundle: Bundle, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    for name in ("outer", "inner"):
        (area / name).mkdir()
    (area / "inner/file").write_text("of the host")
    bundle.mount("/mnt", area / "outer", "bind").mount("/mnt/deep/inner", area / "inner", "bind")
    bundle.mount("/mnt/deep/file", area / "inner/file", "bind").shell(COUNT)
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        eventually((bundle.rootfs / "tmp/count").exists, "a number")
        succeeded(checkpoint(container, images), container)
        shutil.rmtree(area / "outer/deep")
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        found = runtime.call("exec", container.id, "cat", "/mnt/deep/file", "/mnt/deep/inner/file")
        assert found.stdout == "of the host" * 2, found.stderr


@differs(runc="1.1.5 restores into the cgroup of the checkpoint where the host has cgroup v1 as well")
def test_another_cgroup_and_limits(counting: Container, images: Path, pipe: tuple[int, int]) -> None:
    succeeded(checkpoint(counting, images), counting)
    path = f"{counting.bundle.linux['cgroupsPath']}-other-{counting.id}"
    counting.bundle.linux["cgroupsPath"] = path
    counting.bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert f"0::{path}\n" in Path(f"/proc/{counting.pid}/cgroup").read_text()
    assert not (CGROUP_ROOT / path.strip("/").removesuffix(f"-other-{counting.id}")).exists()
    denied = counting.runtime.call("exec", counting.id, "sh", "-c", "mknod /tmp/node c 1 3")
    assert "not permitted" in denied.stderr


def test_joined_network_namespace(
    runtime: Runtime, make_bundle: Callable[[], Bundle], images: Path, pipe: tuple[int, int]
) -> None:
    with runtime.running(make_bundle().shell("sleep 1000")) as infra:
        bundle = make_bundle().shell(COUNT).namespace("network", f"/proc/{infra.pid}/ns/net")
        with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
            succeeded(checkpoint(container, images), container)
            succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
            ours, theirs = (os.readlink(f"/proc/{one.pid}/ns/net") for one in (container, infra))
            assert ours == theirs


def test_foreground(counting: Container, images: Path, pipe: tuple[int, int]) -> None:
    """It stays until the program ends, has its exit status, and deletes the container."""
    succeeded(checkpoint(counting, images), counting)
    counting.bundle.save(counting.id)
    process = counting.runtime.popen(
        "restore", "--bundle", counting.bundle.path, "--image-path", images, counting.id, stdout=pipe[1],
        stderr=pipe[1],
    )  # fmt: skip
    eventually(lambda: "running" in counting.runtime.state(counting.id).stdout, "a restored container")
    assert counts_on(counting.bundle)
    counting.kill("KILL")
    assert process.wait(60) == 128 + signal.SIGKILL
    error_text(counting.runtime.state(counting.id))


def test_hooks_of_the_runtime_namespace_run_at_restore(
    counting: Container, images: Path, area: Path, pipe: tuple[int, int]
) -> None:
    succeeded(checkpoint(counting, images), counting)
    counting.bundle.hook("prestart", f"cat > {area}/prestart", drain=False)
    counting.bundle.hook("createRuntime", f"echo >> {area}/prestart; mkdir {area}/made")
    succeeded(restore(counting, images, "--detach", stdout=pipe[1], stderr=pipe[1]), counting)
    assert f'"pid":{counting.pid}' in (area / "prestart").read_text()
    assert (area / "made").is_dir()


def test_failing_hook_undoes_the_restore(
    counting: Container, images: Path, pipe: tuple[int, int]
) -> None:
    succeeded(checkpoint(counting, images), counting)
    counting.bundle.hook("createRuntime", "exit 7")
    error_text(restore(counting, images), "hook")
    error_text(counting.runtime.state(counting.id))


@only_pyrunc("the peers' restored processes keep the session keyring of the caller")
def test_session_keyring_is_the_containers_own(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]
) -> None:
    bundle.linux["maskedPaths"].remove("/proc/keys")
    bundle.shell("while :; do cat /proc/keys > /tmp/next; mv /tmp/next /tmp/keys; sleep 0.05; done")
    with runtime.running(bundle, stdout=pipe[1], stderr=pipe[1]) as container:
        succeeded(checkpoint(container, images), container)
        (bundle.rootfs / "tmp/keys").unlink(missing_ok=True)
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        keys = bundle.rootfs / "tmp/keys"
        assert f"_ses.{container.id}" in eventually(lambda: keys.exists() and keys.read_text(), "a list of keys")


def test_id_in_use(counting: Container, images: Path) -> None:
    succeeded(checkpoint(counting, images, "--leave-running"), counting)
    error_text(restore(counting, images), "exist")
    assert counting.status == "running"


@only_pyrunc("the message is its own")
def test_restore_from_nothing_leaves_nothing(runtime: Runtime, bundle: Bundle, images: Path) -> None:
    images.mkdir()
    container = Container(runtime, new_id(), bundle)
    message = error_text(restore(container, images), "criu")
    assert "restore.log" in message
    error_text(runtime.state(container.id))


@only_pyrunc("the message is its own")
def test_images_of_another_directory_are_not_made(runtime: Runtime, bundle: Bundle, images: Path) -> None:
    error_text(restore(Container(runtime, new_id(), bundle), images), str(images))
    assert not images.exists()


@differs(runc="1.1.5 leaves the images closed to the root of the namespace, as whom criu opens them")
def test_user_namespace(runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]) -> None:
    bundle.user_namespace()
    with runtime.running(bundle.shell(COUNT), stdout=pipe[1], stderr=pipe[1]) as container:
        eventually(lambda: count(bundle) > 2, "a number")
        mapped = Path(f"/proc/{container.pid}/uid_map").read_text()
        succeeded(checkpoint(container, images), container)
        before = images.stat()
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        assert counts_on(bundle)
        assert Path(f"/proc/{container.pid}/uid_map").read_text() == mapped
        after = images.stat()
        assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid)


@only_pyrunc("the annotation is crun's, which is built without CRIU here")
def test_cgroup_below_the_containers(
    runtime: Runtime, bundle: Bundle, images: Path, pipe: tuple[int, int]
) -> None:
    bundle.config["annotations"] = {"run.oci.delegate-cgroup": "below"}
    with runtime.running(bundle.shell(COUNT), stdout=pipe[1], stderr=pipe[1]) as container:
        before = Path(f"/proc/{container.pid}/cgroup").read_text()
        assert before.endswith("/below\n")
        succeeded(checkpoint(container, images), container)
        succeeded(restore(container, images, "--detach", stdout=pipe[1], stderr=pipe[1]), container)
        assert Path(f"/proc/{container.pid}/cgroup").read_text() == before
        assert runtime.call("exec", container.id, "true").returncode == 0


@only_pyrunc("runc leaves the processes of a restore that was killed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restore_that_is_ended_in_its_middle(
    counting: Container, images: Path, area: Path, pipe: tuple[int, int], number: int
) -> None:
    """By SIGTERM nothing is left; after SIGKILL, `delete --force` finds all of it."""
    succeeded(checkpoint(counting, images), counting)
    counting.bundle.hook("createRuntime", f"touch {area}/here; exec sleep 1000")
    counting.bundle.save(counting.id)
    process = counting.runtime.popen(
        "restore", "--bundle", counting.bundle.path, "--image-path", images, counting.id, stdout=pipe[1],
        stderr=pipe[1],
    )  # fmt: skip
    eventually((area / "here").exists, "the hook")
    process.send_signal(number)
    process.wait(60)
    if number == signal.SIGTERM:
        error_text(counting.runtime.state(counting.id), "does not exist")
    else:
        assert counting.runtime.delete(counting.id, "--force").returncode == 0
