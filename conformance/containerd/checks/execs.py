"""ctr task exec: another process in a running container."""

from __future__ import annotations

import subprocess

from conformance.containerd.harness import Containerd
from conformance.harness.checks import check, equal, matches, wait_until
from conformance.harness.terminal import Terminal


def sleeper(engine: Containerd, *options: str) -> str:
    return engine.start(list(options), "sleep", "1000")


@check("exec", "exec: output, error, standard input and exit status")
def test_streams(engine: Containerd) -> None:
    words = engine.exec_words(sleeper(engine))
    result = engine.call(*words, "sh", "-c", "cat; echo err >&2; exit 9", stdin="in\n")
    equal((result.status, result.out, result.err), (9, "in\n", "err\n"))


@check("exec", "exec --user, --cwd, and the container's environment")
def test_options(engine: Containerd) -> None:
    words = engine.exec_words(sleeper(engine, "--env", "ONE=1"), "--user", "ann", "--cwd", "/tmp")
    equal(engine(*words, "sh", "-c", "echo $(id -u) $(pwd) $ONE"), "1000 /tmp 1")


@check("exec", "exec: the namespaces, root and cgroup of the container; no descriptor more")
def test_same_place(engine: Containerd) -> None:
    script = "cd /proc; for kind in cgroup ipc mnt net pid user uts; do "
    script += "[ $(readlink 1/ns/$kind) = $(readlink self/ns/$kind) ] || echo other $kind; done; "
    script += "[ 1/root/. -ef /. ] || echo other root; cmp 1/cgroup self/cgroup; ls self/fd | wc -l"
    equal(engine.exec(sleeper(engine), "sh", "-c", script), "4")


@check("exec", "exec -t: a terminal of its own; size, also after a change, input, exit status")
def test_terminal(engine: Containerd) -> None:
    screen = Terminal([*engine.command, *engine.exec_words(sleeper(engine, "--env", "PS1=READY>"), "-t"), "sh"])
    screen.try_shell(r"/dev/pts/\d")
    screen.resize_shell()
    screen.leave_shell()


@check("exec", "exec --detach: it goes on, is listed and killed by its id")
def test_detached(engine: Containerd) -> None:
    name = sleeper(engine)
    # --log-uri: without one a detached process has nowhere to write
    engine(
        "task",
        "exec",
        "--detach",
        "--exec-id",
        "other",
        "--log-uri",
        f"file://{engine.new_folder()}/log",
        name,
        "sleep",
        "1001",
    )
    wait_until(lambda: len(engine("task", "ps", name).splitlines()) == 3, "two processes")
    engine("task", "kill", "--exec-id", "other", "--signal", "KILL", name)
    wait_until(lambda: len(engine("task", "ps", name).splitlines()) == 2, "one process")


@check("exec", "exec: no such command, not executable: refused, and containerd says which")
def test_errors(engine: Containerd) -> None:
    name = sleeper(engine)
    for command in ("no-such-command", "/no/such/command", "/etc/not-executable", "/etc"):
        result = engine.call(*engine.exec_words(name), command)
        equal(result.status != 0, True, "it cannot run")
        matches(result.err, f".*OCI runtime exec failed: .*{command}.*", "error")


@check("exec", "exec: killed by a signal: 137")
def test_killed(engine: Containerd) -> None:
    engine.fails(137, *engine.exec_words(sleeper(engine)), "sh", "-c", "kill -9 $$")


@check("exec", "exec: twenty, one after the other and at once; nothing stays")
def test_many(engine: Containerd) -> None:
    name = sleeper(engine)
    for _ in range(10):
        equal(engine.exec(name, "echo", "x"), "x")
    commands = [[*engine.command, *engine.exec_words(name), "echo", "x"] for _ in range(10)]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for words in commands]
    equal([run.communicate(timeout=240)[0] for run in runs], ["x\n"] * 10)
    equal(len(engine("task", "ps", name).splitlines()), 2, "lines of task ps")


@check("exec", "exec: refused where the container does not run, or is paused")
def test_refused(engine: Containerd) -> None:
    name = engine.start([], "true")
    wait_until(lambda: engine.status(name) == "STOPPED", "its end")
    equal(engine.call(*engine.exec_words(name), "true").status != 0, True, "refused: it has stopped")
    name = sleeper(engine)
    engine("task", "pause", name)
    equal(engine.call(*engine.exec_words(name), "true").status != 0, True, "refused: it is paused")
    engine("task", "resume", name)
    equal(engine.exec(name, "echo", "again"), "again")
