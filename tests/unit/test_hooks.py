"""pyrunc.hooks with real processes: what a hook gets, what its end means, and what it cannot do to the runtime."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyrunc import hooks
from pyrunc.errors import MESSAGE_LIMIT, PyruncError

from tests.waiting import eventually

ENVIRON = {b"PATH": b"/usr/bin:/bin", b"FROM": b"caller", b"ODD": b"\xff"}
STATE: dict[str, object] = {"ociVersion": "1.2.0", "id": "x", "annotations": {"a/b": "c"}}


class Hook:
    """A hook as hooks.run wants it."""

    def __init__(
        self, path: str, args: Sequence[str] = (), env: list[str] | None = None, timeout: int | None = None
    ) -> None:
        """Keep the values."""
        self.path, self.args, self.env, self.timeout = path, args, env, timeout


def shell(script: str, env: list[str] | None = None, timeout: int | None = None) -> Hook:
    """A hook that is a shell script."""
    return Hook("/bin/sh", ["sh", "-c", script], env, timeout)


def run(*several: Hook, state: dict[str, object] = STATE) -> None:
    """Run hooks as createRuntime does."""
    hooks.run("createRuntime", several, state, environ=ENVIRON)


def fails(*several: Hook) -> str:
    """The error of hooks of which one fails."""
    with pytest.raises(PyruncError) as caught:
        run(*several)
    return str(caught.value)


def running(pid: int) -> bool:
    """Whether a process runs; a zombie, which may wait long for its new parent, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_reads_the_state_from_stdin(tmp_path: Path) -> None:
    run(shell(f"cat > {tmp_path}/one"), shell(f"cat > {tmp_path}/two"))
    for name in ("one", "two"):
        text = (tmp_path / name).read_text()
        assert json.loads(text) == STATE
        assert "\n" not in text and "\\/" not in text


def test_state_larger_than_a_pipe_that_is_not_read() -> None:
    run(shell("exec <&-"), shell("exit 0"), state={"annotations": {"a": "x" * 1_000_000}})


def test_environment_of_the_caller(tmp_path: Path) -> None:
    run(Hook("/bin/cp", ["cp", "/proc/self/environ", str(tmp_path / "e")]))
    assert dict(entry.split(b"=") for entry in (tmp_path / "e").read_bytes().split(b"\0") if entry) == ENVIRON


@pytest.mark.parametrize("env", [[], ["A=1", "A=2", "B="]])
def test_environment_of_its_own(tmp_path: Path, env: list[str]) -> None:
    run(Hook("/bin/cp", ["cp", "/proc/self/environ", str(tmp_path / "e")], env))
    assert (tmp_path / "e").read_bytes() == b"".join(entry.encode() + b"\0" for entry in env)


def test_argv(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\necho "$0 $#" >> {tmp_path}/seen\n')
    script.chmod(0o755)
    run(Hook(str(script)), Hook(str(script), ["name", "first", "second"]))
    assert (tmp_path / "seen").read_text() == f"{script} 0\n{script} 2\n"


def test_order_and_end_at_the_first_failure(tmp_path: Path) -> None:
    scripts = [f"echo {n} >> {tmp_path}/seen" for n in range(3)]
    message = fails(shell(scripts[0]), shell(scripts[1] + "; exit 7"), shell(scripts[2]))
    assert message == "error running createRuntime hook #1: exit status 7"
    assert (tmp_path / "seen").read_text() == "0\n1\n"


def test_error_holds_both_outputs() -> None:
    message = fails(shell("echo to stdout; echo to stderr >&2; exit 1"))
    assert message == "error running createRuntime hook #0: exit status 1, stderr: to stdout\\nto stderr"


@pytest.mark.parametrize("name", ["KILL", "SEGV", "PIPE"])
def test_signal_is_named(name: str) -> None:
    assert fails(shell(f"kill -{name} $$")) == f"error running createRuntime hook #0: killed by SIG{name}"


def test_error_holds_the_end_of_much_output() -> None:
    message = fails(shell("yes 'much \x1b' | head -c 1000000; echo the end >&2; exit 1"))
    assert message.endswith("the end")
    assert message.startswith("error running createRuntime hook #0: exit status 1, stderr: ")
    assert 3000 < len(message) <= MESSAGE_LIMIT
    assert message.isprintable()


def test_output_that_is_not_utf8_and_opens_stderr_anew() -> None:
    message = fails(shell("echo first >&2; printf '\\377' > /dev/stderr; echo last >&2; exit 1"))
    assert message.endswith("\N{REPLACEMENT CHARACTER}last")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/no/such/hook", "No such file or directory"),
        ("/etc", "Permission denied"),
        ("/etc/passwd", "Permission denied"),
    ],
)
def test_cannot_be_executed(path: str, reason: str) -> None:
    assert fails(Hook(path)) == f"error running createRuntime hook #0: execute `{path}`: {reason}"


def test_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("echo this has no first line\n")
    (tmp_path / "hook").chmod(0o755)
    assert fails(Hook(str(tmp_path / "hook"))).endswith(": Exec format error")


@pytest.mark.parametrize("script", ["exec sleep 1000", "trap '' TERM INT HUP; while :; do sleep 1; done"])
def test_over_its_time(script: str) -> None:
    message = fails(shell(f"echo words; {script}", timeout=1))
    assert message == (
        "error running createRuntime hook #0: still running after its timeout of 1 s, killed, stderr: words"
    )


def test_over_its_time_with_a_grandchild(tmp_path: Path) -> None:
    fails(shell(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", timeout=1))
    grandchild = int((tmp_path / "pid").read_text())
    eventually(lambda: not running(grandchild), "the grandchild to be killed")


def test_daemon_that_keeps_the_output_is_not_waited_for(tmp_path: Path) -> None:
    run(shell(f"sleep 1000 & echo $! > {tmp_path}/pid", timeout=60))
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}/fd/2").exists()
    os.kill(pid, signal.SIGKILL)


def test_in_time() -> None:
    run(shell("exit 0", timeout=2**63 - 1), shell("exit 0", timeout=1_000))


def test_run_all_goes_on(tmp_path: Path) -> None:
    several = [shell("echo why; exit 1"), Hook("/no/such/hook"), shell(f"touch {tmp_path}/ran")]
    assert hooks.run_all("poststop", several, STATE, environ=ENVIRON) == [
        "error running poststop hook #0: exit status 1, stderr: why",
        "error running poststop hook #1: execute `/no/such/hook`: No such file or directory",
    ]
    assert (tmp_path / "ran").exists()


def test_descriptors_session_and_signals(tmp_path: Path) -> None:
    leak = os.open("/etc", os.O_RDONLY)
    os.set_inheritable(leak, True)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    hup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pipe = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    script = f"cp /proc/self/status {tmp_path}/status; cut -d' ' -f1,6 /proc/$$/stat > {tmp_path}/ids"
    try:
        run(shell(script))
        message = fails(Hook("/bin/ls", ["ls", "/proc/self/fd", "/nonexistent"]))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGHUP, hup)
        signal.signal(signal.SIGPIPE, pipe)
        os.close(leak)
    fields = dict(line.split(":\t", 1) for line in (tmp_path / "status").read_text().splitlines())
    assert int(fields["SigBlk"], 16) == int(fields["SigIgn"], 16) == 0
    assert message.endswith("0\\n1\\n2\\n3")  # 3 is the directory that ls reads
    pid, session = (tmp_path / "ids").read_text().split()
    assert pid == session


@pytest.mark.parametrize("while_it_starts", [True, False])
def test_interrupt_kills_the_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, while_it_starts: bool) -> None:
    written, start = tmp_path / "written", hooks._start

    def interrupted(*arguments: Any) -> int:
        pid = start(*arguments)
        eventually(written.exists, "the hook's child")
        signal.raise_signal(signal.SIGINT)
        return pid

    if while_it_starts:
        monkeypatch.setattr(hooks, "_start", interrupted)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run(shell(f"cd {tmp_path}; sleep 1000 & echo $! > pid; mv pid written; wait"))
        except KeyboardInterrupt:
            os._exit(42)
        os._exit(1)
    eventually(written.exists, "the hook's child")
    if not while_it_starts:
        os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    grandchild = int(written.read_text())
    eventually(lambda: not running(grandchild), "the process group to be killed")


def test_leaves_no_descriptor() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    run(shell("exit 0"))
    fails(shell("exit 1"))
    fails(Hook("/no/such/hook"))
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_standard_streams_of_the_runtime_are_closed(tmp_path: Path) -> None:
    # Then the memory files themselves get the numbers 0 to 2.
    child = os.fork()
    if child == 0:
        try:
            for fd in range(3):
                os.close(fd)
            run(shell(f"cat > {tmp_path}/seen"))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert json.loads((tmp_path / "seen").read_text()) == STATE
