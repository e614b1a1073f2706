"""From create to rm: what docker's everyday commands do to a container, and what it then says of it."""

from __future__ import annotations

import json
import signal
import subprocess

from conformance.docker.harness import Docker
from conformance.harness.checks import IMAGE, check, equal, matches, wait_until
from conformance.harness.docker_checks import ON_TERM, SLEEP, status
from conformance.harness.terminal import Terminal

INIT = "docker-init"


@check("base", "run: output, error, standard input and exit status")
def test_streams(docker: Docker) -> None:
    result = docker.call(*docker.run_words(["-i"], "sh", "-c", "cat; echo err >&2; exit 7"), stdin="in\n")
    equal((result.status, result.out, result.err), (7, "in\n", "err\n"))


@check("base", "run -d, ps, stop, rm")
def test_everyday(docker: Docker) -> None:
    name = docker.start([], *ON_TERM)
    docker.logs_until(name, "up")
    equal(docker("ps", "--filter", f"name={name}", "--format", "{{.Names}} {{.State}}"), f"{name} running")
    docker("stop", name)
    equal((status(docker, name), docker.inspect(name, ".State.ExitCode")), ("exited", "3"))
    equal(docker("logs", name), "up\ngot TERM")
    docker("rm", name)
    equal(docker("ps", "--all", "--quiet", "--filter", f"name={name}"), "", "containers afterwards")


@check("base", "--stop-signal")
def test_stop_signal(docker: Docker) -> None:
    name = docker.start(["--stop-signal", "USR1"], "sh", "-c", ON_TERM[2].replace("TERM", "USR1"))
    docker.logs_until(name, "up")
    docker("stop", name)
    equal(docker.inspect(name, ".State.ExitCode"), "3")


@check("base", "create, start, wait")
def test_by_steps(docker: Docker) -> None:
    name = docker.create([], "sh", "-c", "echo ran; exit 4")
    equal((status(docker, name), docker("logs", name)), ("created", ""))
    docker("start", name)
    equal(docker("wait", name), "4")
    equal((status(docker, name), docker("logs", name)), ("exited", "ran"))


@check("base", "run --rm -d: gone by itself")
def test_removed_by_itself(docker: Docker) -> None:
    name = docker.new_container()
    docker("run", "-d", "--rm", "--name", name, "--network", "none", IMAGE, "true")
    wait_until(lambda: not docker("ps", "--all", "--quiet", "--filter", f"name={name}"), f"{name} is gone")


@check("base", "--restart on-failure")
def test_restart_policy(docker: Docker) -> None:
    name = docker.start(["--restart", "on-failure:2"], "sh", "-c", "echo x; exit 1")
    wait_until(lambda: docker("logs", name).split() == ["x"] * 3, "the first run and two more")
    wait_until(lambda: status(docker, name) == "exited", "its end")
    equal(docker.inspect(name, ".RestartCount"), "2")


@check("base", "--init: it passes TERM on: kill gives 143; KILL gives 137")
def test_kill(docker: Docker) -> None:
    for name_of_signal, code in (("KILL", "137"), ("TERM", "143")):
        name = docker.start(["--init"], *SLEEP)
        wait_until(lambda name=name: "sleep" in docker("top", name, "-o", "pid,comm"), "sleep")  # type: ignore[misc]
        docker("kill", "-s", name_of_signal, name)
        equal(docker("wait", name), code, name_of_signal)


@check("base", "--init: it is pid 1, and reaps")
def test_init_reaps(docker: Docker) -> None:
    name = docker.start(["--init"], "sh", "-c", "(sleep 0.1 & exec true) & exec sleep 1000")
    wait_until(lambda: docker("top", name, "-o", "pid,comm").split()[3::2] == [INIT, "sleep"], "the orphan is gone")
    equal(docker("exec", name, "cat", "/proc/1/comm"), INIT, "pid 1")


@check("base", "run in the foreground: signals are passed on, and the exit status comes back")
def test_foreground_signal(docker: Docker) -> None:
    words = [*docker.command, *docker.run_words(["--name", docker.new_container()], *ON_TERM)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        equal(process.stdout.readline(), "up\n")
        process.send_signal(signal.SIGTERM)
        equal(process.stdout.read(), "got TERM\n")
    equal(process.returncode, 3, "exit status")


@check("base", "pause and unpause: nothing runs meanwhile; stop and exec are refused or wait")
def test_pause(docker: Docker) -> None:
    name = docker.start([], "sh", "-c", "while :; do date +%s%N >/tick; sleep 0.05; done")
    wait_until(lambda: docker.call("exec", name, "cat", "/tick").out, "the first tick")
    docker("pause", name)
    equal(status(docker, name), "paused")
    equal("paused" in docker.call("exec", name, "true").err, True, "exec says that it is paused")
    docker("unpause", name)
    before = docker("exec", name, "cat", "/tick")
    wait_until(lambda: docker("exec", name, "cat", "/tick") > before, "another tick")


@check("base", "rm --force: a running and a paused container")
def test_rm_force(docker: Docker) -> None:
    for paused in (False, True):
        name = docker.start([], *SLEEP)
        if paused:
            docker("pause", name)
        docker("rm", "--force", name)
        equal(docker("ps", "--all", "--quiet", "--filter", f"name={name}"), "", "containers afterwards")


@check("base", "events: create, start, die with the exit status")
def test_events(docker: Docker) -> None:
    name = docker.start([], "sh", "-c", "exit 6")
    docker("wait", name)
    words = ["events", "--since", "10m", "--until", "0s", "--filter", f"container={name}", "--format", "{{json .}}"]

    def seen() -> list[tuple[str, str | None]]:
        found = [json.loads(line) for line in docker(*words).splitlines()]
        return [(event["Action"], event["Actor"]["Attributes"].get("exitCode")) for event in found]

    wait_until(lambda: ("die", "6") in seen(), f"its end, with the exit status: {seen()}")
    equal([action for action, _ in seen() if action in ("create", "start", "die")], ["create", "start", "die"])


@check("base", "top: the processes of the container and no other")
def test_top(docker: Docker) -> None:
    name = docker.start([], "sh", "-c", "sleep 1001 & exec sleep 1000")
    wait_until(lambda: "sleep 1000" in docker("top", name), "both")
    lines = docker("top", name, "-o", "pid,args").splitlines()
    equal(sorted(line.split(None, 1)[1] for line in lines[1:]), ["sleep 1000", "sleep 1001"])


@check("base", "logs --follow ends with the container")
def test_follow(docker: Docker) -> None:
    name = docker.start([], "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    equal(docker("logs", "--follow", name), "1\n2\n3")


@check("base", "cp: into a running container and out of it")
def test_copy(docker: Docker) -> None:
    name = docker.start([], *SLEEP)
    path = docker.new_file("copied\n")
    docker("cp", "--quiet", str(path), f"{name}:/tmp/file")
    equal(docker("exec", name, "cat", "/tmp/file"), "copied")
    docker("exec", name, "sh", "-c", "echo out >/tmp/out")
    docker("cp", "--quiet", f"{name}:/tmp/out", str(path.parent / "out"))
    equal((path.parent / "out").read_text(), "out\n")


@check("base", "commit, and a run of what was committed; diff")
def test_commit(docker: Docker) -> None:
    name = docker.start([], *SLEEP)
    docker("exec", name, "sh", "-c", "echo kept >/kept")
    matches(docker("diff", name), ".*A /kept.*")
    docker("commit", name, f"{IMAGE}-committed")
    docker.undo.callback(docker, "image", "rm", "--force", f"{IMAGE}-committed")
    equal(docker("run", "--rm", "--network", "none", f"{IMAGE}-committed", "cat", "/kept"), "kept")


@check("base", "build: RUN with the default runtime")
def test_build(docker: Docker) -> None:
    folder = docker.new_folder()
    (folder / "Dockerfile").write_text(
        f"FROM {IMAGE}\nRUN [ $$ = 1 ] && id -u >/built && ! false\nUSER 1000\nRUN id -u\n"
    )
    words = ["build", "--network", "none", "--tag", f"{IMAGE}-built", str(folder)]
    done = docker.call(*words, env={"DOCKER_BUILDKIT": "0"})  # the builder in dockerd: the other one is a package more
    equal(done.status, 0, str(done))
    docker.undo.callback(docker, "image", "rm", "--force", f"{IMAGE}-built")
    equal(docker("run", "--rm", "--network", "none", f"{IMAGE}-built", "sh", "-c", "cat /built; id -u"), "0\n1000")


@check("base", "run -it: a terminal; size, also after a change, input, ^C, exit status")
def test_terminal(docker: Docker) -> None:
    words = docker.run_words(["-it", "-e", "PS1=READY>", "--name", docker.new_container()], "sh")
    screen = Terminal([*docker.command, *words])
    screen.try_shell("/dev/(pts/0|console)")
    screen.resize_shell("; sleep 1000")
    screen.repeat_until(lambda: screen.type("\x03"), "READY>")
    screen.leave_shell()


@check("base", "attach: output of a running container; it is detached from by ^P^Q")
def test_attach(docker: Docker) -> None:
    name = docker.start(["-it", "-e", "PS1=READY>"], "sh")
    screen = Terminal([*docker.command, "attach", name])
    screen.type("echo sum-$((40+2))\n")
    screen.expect("sum-42")
    screen.type("\x10\x11")
    screen.finish()
    equal(status(docker, name), "running")


@check("base", "ten containers at once")
def test_many(docker: Docker) -> None:
    words = [*docker.command, *docker.run_words([], "echo", "x")]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    equal([run.communicate(timeout=240)[0] for run in runs], ["x\n"] * 10)
