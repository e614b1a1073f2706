"""From run to delete: what containerd does to a container by ctr, and what it then says of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from conformance.containerd.events import listening
from conformance.containerd.harness import Containerd
from conformance.containerd.leftovers import states
from conformance.harness.checks import Failed, check, equal, matches, wait_until
from conformance.harness.terminal import Terminal

SLEEP = ["sleep", "1000"]


@check("base", "run: output, error, standard input and exit status")
def test_streams(engine: Containerd) -> None:
    # ctr does not pass on the end of its input
    words = engine.run_words([], "sh", "-c", "read word; echo $word; echo err >&2; exit 7")
    result = engine.call(*words, stdin="in\n")
    equal((result.status, result.out, result.err), (7, "in\n", "err\n"))


@check("base", "run --detach, task list, kill, delete: the signal's exit status")
def test_everyday(engine: Containerd) -> None:
    for name_of_signal in (signal.SIGKILL, signal.SIGUSR1):
        name = engine.start([], "sh", "-c", "trap 'exit 9' USR1; touch /up; while :; do sleep 0.1; done")
        wait_until(lambda name=name: engine.call(*engine.exec_words(name), "ls", "/up").status == 0, "it is up")  # type: ignore[misc]
        equal(engine.status(name), "RUNNING")
        engine("task", "kill", "--signal", name_of_signal.name, name)
        wait_until(lambda name=name: engine.status(name) == "STOPPED", "its end")  # type: ignore[misc]
        code = 137 if name_of_signal == signal.SIGKILL else 9
        matches(engine.call("task", "delete", name).err, f".*exit code {code}.*")
        equal(engine.status(name), "")
        engine("container", "delete", name)


@check("base", "task pause and resume: PAUSED, and nothing runs meanwhile")
def test_pause(engine: Containerd) -> None:
    name = engine.start([], "sh", "-c", "while :; do date +%s%N >/tick; sleep 0.05; done")
    wait_until(lambda: engine.call(*engine.exec_words(name), "cat", "/tick").out, "the first tick")
    engine("task", "pause", name)
    equal(engine.status(name), "PAUSED")
    engine("task", "resume", name)
    equal(engine.status(name), "RUNNING")
    before = engine.exec(name, "cat", "/tick")
    wait_until(lambda: engine.exec(name, "cat", "/tick") > before, "another tick")


@check("base", "task delete --force: a running and a paused container")
def test_delete_force(engine: Containerd) -> None:
    for paused in (False, True):
        name = engine.start([], *SLEEP)
        if paused:
            engine("task", "pause", name)
        engine.call("task", "delete", "--force", name)
        equal(engine.status(name), "")


@check("base", "task ps: the pids of the container, as the host numbers them")
def test_processes(engine: Containerd) -> None:
    name = engine.start([], "sh", "-c", "sleep 1001 & exec sleep 1000")
    wait_until(lambda: len(engine("task", "ps", name).splitlines()) == 3, "both")
    pids = [line.split()[0] for line in engine("task", "ps", name).splitlines()[1:]]
    words = [Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode().strip() for pid in pids]
    equal(sorted(words), ["sleep 1000", "sleep 1001"])


@check("base", "--pid-file")
def test_pid_file(engine: Containerd) -> None:
    path = engine.new_folder() / "pid"
    name = engine.start(["--pid-file", str(path)], *SLEEP)
    equal(Path("/proc", path.read_text(), "comm").read_text(), "sleep\n")
    matches(engine("task", "list"), f".*{name} +{path.read_text()} +RUNNING.*")


@check("base", "task kill --all: with the host's pid namespace, children die as well")
def test_kill_all(engine: Containerd) -> None:
    name = engine.start(["--with-ns", "pid:/proc/1/ns/pid"], "sh", "-c", "sleep 1001 & exec sleep 1000")
    wait_until(lambda: len(engine("task", "ps", name).splitlines()) == 3, "both")
    pids = [line.split()[0] for line in engine("task", "ps", name).splitlines()[1:]]
    engine("task", "kill", "--all", "--signal", "KILL", name)
    wait_until(lambda: engine.status(name) == "STOPPED", "its end")
    wait_until(lambda: not [pid for pid in pids if Path("/proc", pid, "exe").exists()], "both have ended")


@check("base", "events: create, start, exit with the status, delete")
def test_events(engine: Containerd) -> None:
    with listening(engine) as seen:
        engine.fails(6, *engine.run_words([], "sh", "-c", "exit 6"))
        wait_until(lambda: "/tasks/delete" in seen(), "the last event")
        lines = seen().splitlines()
    order = [word for line in lines for word in line.split() if word.startswith("/tasks/")]
    equal(order, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"])
    exits = [line for line in lines if " /tasks/exit " in line]
    equal(json.loads(exits[0][exits[0].index("{") :])["exit_status"], 6)


@check("base", "the shim is killed: containerd cleans up by the runtime's delete --force")
def test_shim_killed(engine: Containerd) -> None:
    name = engine.start([], *SLEEP)
    pid = int(engine("task", "list").split(name)[1].split()[0])
    shims = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if name in folder.joinpath("cmdline").read_text(errors="replace")
        and "shim" in folder.joinpath("comm").read_text()
    ]
    equal(len(shims), 1, f"shims: {shims}")
    os.kill(shims[0], signal.SIGKILL)
    wait_until(lambda: not engine.status(name), "the task is gone")
    wait_until(lambda: not Path("/proc", str(pid), "exe").exists(), "the container's process is gone")
    wait_until(lambda: name not in states(engine), "the runtime's state is gone")


@check("base", "run -t: a terminal; size, also after a change, input, ^C, exit status")
def test_terminal(engine: Containerd) -> None:
    screen = Terminal([*engine.command, *engine.run_words(["-t", "--env", "PS1=READY>"], "sh")])
    screen.try_shell("/dev/(pts/0|console)")
    screen.resize_shell("; sleep 1000")
    screen.repeat_until(lambda: screen.type("\x03"), "READY>")
    screen.leave_shell()


@check("base", "no such command, not executable, a folder: no task, and containerd says which")
def test_errors(engine: Containerd) -> None:
    for command in ("no-such-command", "/no/such/command", "/etc/not-executable", "/etc"):
        result = engine.call(*engine.run_words([], command))
        equal(result.status != 0, True, "it cannot run")
        # OCI runtime create failed: TEXT: unknown -- TEXT comes from the log that the shim lets the runtime write
        matches(result.err, f".*OCI runtime create failed: .*{command}.*", "error")
        if "json" in result.err or "unable to retrieve OCI runtime error" in result.err:
            raise Failed(f"the runtime's log was not understood: {result.err}")


@check("base", "ten containers at once")
def test_many(engine: Containerd) -> None:
    commands = [[*engine.command, *engine.run_words([], "echo", "x")] for _ in range(10)]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for words in commands]
    equal([run.communicate(timeout=240)[0] for run in runs], ["x\n"] * 10)
