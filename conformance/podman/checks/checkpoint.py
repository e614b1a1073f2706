"""podman container checkpoint and restore, by the CRIU of the host; skipped where that does not work on the kernel."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

from conformance.harness import criu
from conformance.harness.checks import check, equal, matches, wait_until
from conformance.harness.docker_checks import status
from conformance.podman.harness import Podman

criu_check = functools.partial(check, "checkpoint", rootful_only="criu takes root")
# Not `sleep` alone: CRIU 4.1 restores a sleeper with an interrupted system call, and busybox's ends then.
COUNT = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"]


@pytest.fixture(autouse=True)
def criu_works() -> None:
    if reason := criu.fault():
        pytest.skip(reason)


def last(podman: Podman, name: str) -> int:
    """The last number that the container has counted to, once it has."""
    podman.logs_until(name, "\n")
    return int(re.findall(r"\d+", podman("logs", "--tail", "1", name))[-1])


def goes_on(podman: Podman, name: str, reached: int) -> None:
    """It counts on from where it was, and did not begin anew."""
    wait_until(lambda: last(podman, name) > reached, f"{name} counts beyond {reached}")
    numbers = [int(line) for line in podman("logs", name).split()]
    equal(numbers, list(range(1, len(numbers) + 1)), "all numbers in the log")


@criu_check("checkpoint and restore: the program goes on where it was, exec, stop")
def test_both(podman: Podman) -> None:
    name = podman.start([], *COUNT)
    reached = last(podman, name)
    podman("container", "checkpoint", name)
    equal((status(podman, name), podman.inspect(name, ".State.Checkpointed")), ("exited", "true"))
    podman("container", "restore", name)
    equal(status(podman, name), "running")
    goes_on(podman, name, reached)
    matches(podman("exec", name, "ps"), r".*1 root +sh -c i=0.*")
    podman("stop", "--time", "0", name)
    equal(podman.inspect(name, ".State.ExitCode"), "137")


@criu_check("restore: conmon has the exit status of the restored program")
def test_exit_status(podman: Podman) -> None:
    name = podman.start([], "sh", "-c", "while ! test -e /stop; do sleep 0.1; done; exit 7")
    podman("container", "checkpoint", name)
    podman("container", "restore", name)
    podman("exec", name, "touch", "/stop")
    equal(podman("wait", name), "7")


@criu_check("checkpoint --leave-running, and statistics")
def test_leave_running(podman: Podman) -> None:
    name = podman.start([], *COUNT)
    reached = last(podman, name)
    pid = podman.inspect(name, ".State.Pid")
    matches(podman("container", "checkpoint", "--leave-running", "--print-stats", name), r".*pages_written.*")
    equal(podman.inspect(name, ".State.Pid"), pid)
    goes_on(podman, name, reached)


@criu_check("checkpoint --export, restore --import --name: another container of the same state")
def test_archive(podman: Podman) -> None:
    name, file = podman.start([], *COUNT), podman.new_folder() / "archive.tar.gz"
    last(podman, name)
    podman("container", "checkpoint", "--export", str(file), "--file-locks", name)
    podman("rm", name)
    other = podman.new_container()
    podman("container", "restore", "--import", str(file), "--file-locks", "--name", other)
    wait_until(lambda: last(podman, other) > 1, "the copy counts on")
    matches(podman.inspect(other, ".State.CgroupPath"), f".*{podman.inspect(other, '.Id')}.*")


@criu_check("checkpoint --pre-checkpoint, then --with-previous")
def test_pre_checkpoint(podman: Podman) -> None:
    if subprocess.run(["criu", "check", "--feature", "mem_dirty_track"], check=False, capture_output=True).returncode:
        pytest.skip("the kernel does not track which memory has changed")
    name = podman.start([], *COUNT)
    folder = podman.new_folder()
    podman("container", "checkpoint", "--pre-checkpoint", "--export", str(folder / "pre.tar.gz"), name)
    reached = last(podman, name)
    podman("container", "checkpoint", "--with-previous", "--export", str(folder / "rest.tar.gz"), name)
    podman("rm", name)
    podman(
        "container", "restore", "--import-previous", str(folder / "pre.tar.gz"), "--import", str(folder / "rest.tar.gz")
    )
    goes_on(podman, name, reached)


@criu_check("with a terminal")
def test_terminal(podman: Podman) -> None:
    name = podman.start(["--tty"], "sh", "-c", "while :; do read -t 1 word; tty; done")
    podman.logs_until(name, "/dev/pts/0")
    podman("container", "checkpoint", name)
    before = len(podman("logs", name))
    podman("container", "restore", name)
    wait_until(lambda: len(podman("logs", name)) > before, "output on the new terminal")
    matches(podman("logs", name)[before:], r"[\r\n]*/dev/pts/0.*")


@criu_check("with volumes, a tmpfs, a read-only root and an ordinary user")
def test_mounts(podman: Podman) -> None:
    folder: Path = podman.new_folder()
    (folder / "file").write_text("of the host\n")
    options = ["-v", f"{folder}:/v:ro", "--tmpfs", "/t", "--read-only", "--user", "1000:1000"]
    name = podman.start(options, "sh", "-c", "echo in memory >/t/file; echo up; while :; do sleep 1; done")
    podman.logs_until(name, "up")
    podman("container", "checkpoint", name)
    podman("container", "restore", name)
    equal(podman("exec", name, "cat", "/v/file", "/t/file"), "of the host\nin memory")
    refused = podman.call("exec", "--user", "0", name, "sh", "-c", "touch /x; touch /v/x")
    matches(refused.err, r"(.*Read-only file system.*){2}")


@criu_check("--network container:, --ipc, --uts: into the same namespaces again")
def test_joined(podman: Podman) -> None:
    infra = podman.start(["--ipc", "shareable"], "sleep", "1000")
    name = podman.start(["--network", f"container:{infra}", "--ipc", f"container:{infra}"], *COUNT)
    podman("container", "checkpoint", name)
    podman("container", "restore", name)
    for kind in ("net", "ipc"):
        links = [podman("exec", one, "readlink", f"/proc/1/ns/{kind}") for one in (infra, name)]
        equal(links[0], links[1], f"the {kind} namespace")


@criu_check("--tcp-established: a connection of the container to itself")
def test_tcp(podman: Podman) -> None:
    script = "nc -l -p 99 -e cat & sleep 1; { while :; do echo ping; sleep 0.2; done; } | nc 127.0.0.1 99"
    name = podman.start([], "sh", "-c", script)
    podman.logs_until(name, "ping")
    refused = podman.call("container", "checkpoint", name)
    equal(refused.status == 0, False, "a checkpoint without --tcp-established succeeds")
    equal(status(podman, name), "running")
    podman("container", "checkpoint", "--tcp-established", name)
    before = len(podman("logs", name))
    podman("container", "restore", "--tcp-established", name)
    wait_until(lambda: len(podman("logs", name)) > before, "an echo after the restore")
