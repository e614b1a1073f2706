"""File descriptors and signals that the container gets, and those that it must not get."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.pidfds import PidfdReceiver
from tests.runtime import Runtime, caller_environment, error_text, new_id
from tests.waiting import DEADLINE, eventually

LIST = "exec ls -l /proc/self/fd"


def targets(output: str) -> dict[int, str]:
    """Descriptors and what they lead to, from the output of LIST; without the directory that `ls` itself reads."""
    found = {int(number): target for number, target in re.findall(r" (\d+) -> (.*)$", output, re.MULTILINE)}
    return {number: target for number, target in found.items() if not re.fullmatch(r"/proc/\d+/fd", target)}


def numbers(output: str) -> list[int]:
    """Numbers of the open descriptors."""
    return sorted(targets(output))


@contextlib.contextmanager
def inheritable(*wanted: int) -> Iterator[None]:
    """Let our children inherit /etc/passwd under these numbers."""
    assert all(not Path(f"/proc/self/fd/{number}").exists() for number in wanted)
    source = os.open("/etc/passwd", os.O_RDONLY)
    for number in wanted:
        os.dup2(source, number)
    os.close(source)
    try:
        yield
    finally:
        for number in wanted:
            os.close(number)


def test_only_the_standard_streams_are_open(runtime: Runtime, bundle: Bundle) -> None:
    assert numbers(runtime.output(bundle, LIST)) == [0, 1, 2]


def test_descriptors_of_the_caller_are_not_inherited(runtime: Runtime, bundle: Bundle) -> None:
    with inheritable(57, 58, 99):
        result = runtime.run(bundle.shell(LIST), pass_fds=(57, 58, 99))
    assert numbers(result.stdout) == [0, 1, 2]


def preserved(runtime: Runtime, bundle: Bundle, count: int) -> list[int]:
    """Descriptors in the container when the runtime gets 3, 4, ... count of them, through a shell that opens them."""
    opened = " ".join(f"{number}</etc/passwd" for number in range(3, 3 + count))
    container_id = new_id()
    bundle.shell(LIST).save(container_id)
    argv = runtime.argv("run", "--bundle", bundle.path, "--preserve-fds", str(count), container_id)
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {opened}', "sh", *argv], check=True, stdin=-3, stdout=-1, timeout=60, text=True
    )
    return numbers(result.stdout)


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_preserve_fds(runtime: Runtime, bundle: Bundle, count: int) -> None:
    assert preserved(runtime, bundle, count) == list(range(3 + count))


def test_preserved_descriptor_is_the_callers_file(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "file").write_text("content")
    container_id = new_id()
    bundle.shell("cat <&3").save(container_id)
    argv = runtime.argv("run", "--bundle", bundle.path, "--preserve-fds=1", container_id)
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" 3<{area}/file', "sh", *argv], check=False, stdin=-3, stdout=-1, timeout=60, text=True
    )
    assert result.stdout == "content"


@pytest.mark.parametrize("value", ["-1", "abc", "1.5", ""])
@differs(crun="1.8.1 reads a number as far as it goes", runc="1.1.5 takes a negative number")
def test_bad_number_of_descriptors(runtime: Runtime, bundle: Bundle, value: str) -> None:
    result = runtime.run(bundle, f"--preserve-fds={value}")
    assert result.returncode != 0


@differs(crun="1.8.1 does not hand the number of descriptors on")
def test_listen_fds(runtime: Runtime, bundle: Bundle) -> None:
    bundle.shell(f"echo $LISTEN_FDS $LISTEN_PID $$ >&2; {LIST}")
    container_id = new_id()
    bundle.save(container_id)
    argv = runtime.argv("run", "--bundle", bundle.path, container_id)
    script = 'export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@" 3</etc/passwd 4</etc/passwd'
    result = subprocess.run(
        ["sh", "-c", script, "sh", *argv], check=True, stdin=-3, stdout=-1, stderr=-1, timeout=60, text=True
    )
    assert result.stderr.split()[:3] == ["2", "1", "1"]
    assert numbers(result.stdout) == [0, 1, 2, 3, 4]


@differs(crun="1.8.1 waits in start until the container ends")
def test_notify_socket(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    path = area / "notify"
    # busybox cannot send to a datagram socket, so the test looks at the socket and does the sending through /proc.
    bundle.shell('echo "$NOTIFY_SOCKET"; exec sleep 1000')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(DEADLINE)
        environment = caller_environment(NOTIFY_SOCKET=str(path))
        with runtime.created(bundle, env=environment) as container:
            starter = runtime.popen("start", container.id, env=environment)
            inside = _first_line(container.stdout)
            assert inside
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(f"/proc/{container.pid}/root{inside}")
                sender.send(b"READY=1\n")
            received = notify.recv(4096)
            assert b"READY=1" in received
            _read_on(notify, starter)
            assert starter.wait(DEADLINE) == 0


def _read_on(notify: socket.socket, starter: subprocess.Popen[bytes]) -> None:
    """Be the service manager that reads all messages and closes what comes with them: `start` waits for it to."""
    notify.settimeout(0.1)
    while starter.poll() is None:
        try:
            _, descriptors, _, _ = socket.recv_fds(notify, 4096, 4)
        except TimeoutError:
            continue
        for fd in descriptors:
            os.close(fd)


def _first_line(path: Path) -> str:
    return eventually(lambda: path.read_text().partition("\n")[0], "the first line of output")


STREAMS = [f"{a}{b}{c}" for a in ("", "0<&- ") for b in ("", "1>&- ") for c in ("", "2>&-")][1:]


@differs(runc="1.1.5 hands a pipe of its own on in the foreground")
def test_streams_belong_to_the_user(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    (area / "input").touch()
    with open(area / "input") as source, open(area / "output", "w") as output:
        result = runtime.run(bundle.shell("echo text >> /dev/stdout"), stdin=source, stdout=output)
    assert (result.returncode, (area / "output").read_text()) == (0, "text\n"), result.stderr
    assert [(area / name).stat().st_uid for name in ("input", "output")] == [1000, 1000]


@differs(crun="1.8.1 fails: fchown std stream: Bad file descriptor")
@pytest.mark.parametrize("closed", STREAMS)
def test_closed_standard_streams(runtime: Runtime, bundle: Bundle, area: Path, closed: str) -> None:
    bundle.mount("/mnt", area, "bind").shell(f"{LIST} > /mnt/seen")
    container_id = new_id()
    bundle.save(container_id)
    argv = runtime.argv("run", "--bundle", bundle.path, container_id)
    result = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv], check=False, stdin=-3, timeout=60)
    assert result.returncode == 0
    seen = targets((area / "seen").read_text())
    assert set(seen) <= {0, 1, 2}
    assert not [target for target in seen.values() if target.startswith(str(runtime.root))]


@only_pyrunc("leaves closed streams closed")
@pytest.mark.parametrize("closed", STREAMS)
def test_closed_streams_are_dev_null_inside(runtime: Runtime, bundle: Bundle, area: Path, closed: str) -> None:
    test_closed_standard_streams(runtime, bundle, area, closed)
    seen = targets((area / "seen").read_text())
    assert set(seen) == {0, 1, 2}
    for number in (0, 2):  # 1 leads to the file with the list
        if f"{number}<&-" in closed or f"{number}>&-" in closed:
            assert seen[number] == "/dev/null"


def test_signals_are_as_a_program_expects_them(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["cat", "/proc/self/status"]
    lines = dict(line.split(":\t") for line in runtime.run(bundle).stdout.splitlines() if line.startswith("Sig"))
    assert int(lines["SigIgn"], 16) == 0
    assert int(lines["SigBlk"], 16) == 0


def blocking_and_ignoring() -> None:
    """Make the state that a careless caller may hand to its children."""
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD})


@differs(crun="1.8.1 hands ignored signals on", runc="1.1.5 hands ignored signals on")
def test_signals_that_the_caller_ignores_or_blocks(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["cat", "/proc/self/status"]
    result = runtime.run(bundle, preexec_fn=blocking_and_ignoring)
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(":\t") for line in result.stdout.splitlines() if line.startswith("Sig"))
    assert int(lines["SigIgn"], 16) == 0
    assert int(lines["SigBlk"], 16) == 0


@differs(crun="1.8.1 waits for ever")
def test_exit_code_arrives_although_the_caller_ignores_sigchld(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.shell("exit 7"), preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert result.returncode == 7


@pytest.mark.parametrize("name", ["TERM", "USR1", "HUP"])
def test_signals_to_a_foreground_run_reach_the_container(runtime: Runtime, bundle: Bundle, name: str) -> None:
    container_id = new_id()
    bundle.shell(f"trap 'exit 42' {name}; echo ready; while :; do sleep 0.01; done").save(container_id)
    process = runtime.popen("run", "--bundle", bundle.path, container_id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.wait(DEADLINE) == 42


def test_stdin_reaches_the_container(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "input").write_text("from stdin")
    with open(area / "input") as stdin:
        result = runtime.run(bundle.shell("cat; echo problem >&2"), stdin=stdin)
    assert (result.stdout, result.stderr) == ("from stdin", "problem\n")


@differs(crun="1.8.1 gives it away")
def test_null_device_as_a_stream_keeps_its_owner(runtime: Runtime, bundle: Bundle) -> None:
    """It is the host's: everybody needs it, and another owner could take it away from them (CVE-2026-88265)."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    before = os.stat("/dev/null").st_uid
    assert runtime.run(bundle).returncode == 0
    assert os.stat("/dev/null").st_uid == before


def test_orphans_of_a_foreground_run_become_its_children(runtime: Runtime, bundle: Bundle) -> None:
    """Who calls us may be no subreaper, and a process of the host's pid 1 would not be reaped by us."""
    bundle.share("pid").shell("(sleep 1000 & echo $!); exec sleep 1000")
    container_id = new_id()
    bundle.save(container_id)
    with open(bundle.path / "output", "wb") as stream:
        run = runtime.popen("run", "--bundle", bundle.path, container_id, stdout=stream)
    try:
        orphan = int(_first_line(bundle.path / "output"))
        eventually(
            lambda: f"PPid:\t{run.pid}\n" in Path(f"/proc/{orphan}/status").read_text(), "the orphan's new parent"
        )
    finally:
        runtime.delete(container_id, "--force")
        run.wait(DEADLINE)


@differs(crun="1.8.1 stays when the container is gone")
def test_notify_socket_of_a_foreground_run(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.shell('echo "$NOTIFY_SOCKET"; exec sleep 1000')
    container_id = new_id()
    bundle.save(container_id)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(area / "notify"))
        notify.settimeout(DEADLINE)
        environment = caller_environment(NOTIFY_SOCKET=str(area / "notify"))
        with open(bundle.path / "output", "wb") as stream:
            run = runtime.popen("run", "--bundle", bundle.path, container_id, stdout=stream, env=environment)
        try:
            inside = _first_line(bundle.path / "output")
            pid = json.loads(runtime.state(container_id).stdout)["pid"]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(f"/proc/{pid}/root{inside}")
                sender.send(b"READY=1\n")
            assert b"READY=1" in notify.recv(4096)
        finally:
            runtime.delete(container_id, "--force")
            run.wait(DEADLINE)


@differs(crun="1.8.1 waits for ever")
def test_notify_socket_that_nobody_listens_to(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """Whoever waits for the report that the service is ready would wait for ever, and so would `start`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(area / "notify"))
    container_id = new_id()
    bundle.shell("exec sleep 1000").save(container_id)
    environment = caller_environment(NOTIFY_SOCKET=str(area / "notify"))
    try:
        if runtime.call("create", "--bundle", bundle.path, container_id, env=environment).returncode == 0:
            error_text(runtime.call("start", container_id, env=environment), "connection refused")
    finally:
        runtime.delete(container_id, "--force")


def test_few_descriptors_allowed(runtime: Runtime, bundle: Bundle) -> None:
    container_id = new_id()
    bundle.process["rlimits"] = []  # no more than the caller has
    bundle.shell("echo ran").save(container_id)
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *runtime.argv("run", "--bundle", bundle.path, container_id)]
    result = subprocess.run(limited, check=False, stdin=-3, stdout=-1, timeout=60)
    assert (result.returncode, result.stdout) == (0, b"ran\n")


def test_full_standard_output(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container, open("/dev/full", "wb") as full:
        for command in (("state", container.id), ("list",)):
            result = runtime.call(*command, stdout=full)
            if result.returncode != 0:
                error_text(result)


@only_pyrunc("reports success although nothing could be written")
@pytest.mark.parametrize("command", ["state", "list", "features", "--version", "spec"])
def test_full_standard_output_is_an_error(runtime: Runtime, bundle: Bundle, command: str) -> None:
    arguments = {"spec": ("spec", "--help")}.get(command, (command,))
    with runtime.created(bundle) as container, open("/dev/full", "wb") as full:
        words = (*arguments, container.id) if command == "state" else arguments
        error_text(runtime.call(*words, stdout=full), "no space left")


@differs(crun="1.8.1 has no --pidfd-socket", runc="1.1.5 has no --pidfd-socket")
def test_pidfd_socket_of_create(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    with (
        PidfdReceiver(area / "pidfd") as receiver,
        runtime.created(bundle, "--pidfd-socket", area / "pidfd") as container,
    ):
        assert receiver.pid() == container.pid
