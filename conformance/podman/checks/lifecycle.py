"""From create to rm: what podman's everyday commands do to a container, and what it then says of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from conformance.harness.checks import CALL_SECONDS, check, equal, matches, wait_until
from conformance.harness.docker_checks import ON_TERM, SLEEP, status
from conformance.podman.harness import Podman


@check("base", "run -d, ps, stop, rm")
def test_everyday(podman: Podman) -> None:
    name = podman.start([], *ON_TERM)
    podman.logs_until(name, "up")
    listed = podman("ps", "--filter", f"name={name}", "--format", "{{.Names}} {{.State}}")
    matches(listed, f"{name} (running|Up .*)")  # as podman 5 has it, and podman 4
    podman("stop", name)
    equal((status(podman, name), podman.inspect(name, ".State.ExitCode")), ("exited", "3"))
    equal(podman("logs", name), "up\ngot TERM")
    podman("rm", name)
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")


@check("base", "--stop-signal")
def test_stop_signal(podman: Podman) -> None:
    script = "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done"
    name = podman.start(["--stop-signal", "USR1"], "sh", "-c", script)
    podman.logs_until(name, "up")
    podman("stop", name)
    equal(podman.inspect(name, ".State.ExitCode"), "9")


@check("base", "create, init, start, wait")
def test_by_steps(podman: Podman) -> None:
    name = podman.create([], "sh", "-c", "echo ran; exit 4")
    equal(status(podman, name), "created")
    podman("init", name)
    equal((status(podman, name), podman("logs", name)), ("initialized", ""))
    podman("start", name)
    equal(podman("wait", name), "4")
    equal((status(podman, name), podman("logs", name)), ("exited", "ran"))


@check("base", "init and rm: a container that never started")
def test_init_rm(podman: Podman) -> None:
    name = podman.create([], "true")
    podman("init", name)
    podman("rm", "--force", name)
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")


@check("base", "--restart on-failure")
def test_restart_policy(podman: Podman) -> None:
    name = podman.start(["--restart", "on-failure:2"], "sh", "-c", "echo x; exit 1")
    wait_until(lambda: podman("logs", name).split() == ["x"] * 3, "the first run and two more")


@check("base", "kill: KILL gives 137, TERM gives 143")
def test_kill(podman: Podman) -> None:
    for name_of_signal, code in (("KILL", "137"), ("TERM", "143")):
        name = podman.start(["--init"], *SLEEP)  # the init passes TERM on and dies as its child did
        wait_until(lambda name=name: "sleep" in podman("top", name, "comm"), "sleep runs")  # type: ignore[misc]
        podman("kill", "-s", name_of_signal, name)
        equal(podman("wait", name), code, name_of_signal)


@check("base", "run in the foreground: a signal's exit status, and signals are passed on")
def test_foreground_signal(podman: Podman) -> None:
    for name_of_signal, code in ((signal.SIGTERM, 3), (signal.SIGKILL, 137)):
        name = podman.new_container()
        words = [*podman.command, *podman.run_words(["--name", name], *ON_TERM)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            equal(process.stdout.readline(), "up\n")
            if name_of_signal == signal.SIGTERM:
                process.send_signal(name_of_signal)
            else:
                podman("kill", name)
            equal(process.wait(CALL_SECONDS), code, f"exit status after {name_of_signal.name}")


@check("base", "a process that is killed from outside: 137")
def test_killed_outside(podman: Podman) -> None:
    name = podman.start([], *SLEEP)
    pid = int(podman.inspect(name, ".State.Pid"))
    if podman.rootless:
        subprocess.run(["podman", "unshare", "kill", "-9", str(pid)], check=True)
    else:
        os.kill(pid, signal.SIGKILL)
    equal(podman("wait", name), "137")
    equal(status(podman, name), "exited")


@check("base", "rename")
def test_rename(podman: Podman) -> None:
    name, other = podman.start([], *SLEEP), podman.new_container()
    podman("rename", name, other)
    equal(podman("ps", "--filter", f"name={other}", "--format", "{{.Names}}"), other)
    podman("kill", other)
    equal(podman("wait", other), "137")


@check("base", "rm: refused while it runs; rm -f")
def test_remove(podman: Podman) -> None:
    name = podman.start([], *SLEEP)
    result = podman.call("rm", name)
    equal(result.status != 0, True, "refused")
    equal(status(podman, name), "running")
    podman("rm", "--force", "--time", "0", name)
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")


@check("base", "inspect: pid, runtime's files, exit code and times")
def test_inspect(podman: Podman) -> None:
    name = podman.start([], *SLEEP)
    pid = podman.inspect(name, ".State.Pid")
    equal(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:2], SLEEP)
    equal(Path(podman.inspect(name, ".PidFile")).read_text().strip(), pid, "the pid file")
    matches(podman.inspect(name, ".State.StartedAt"), r"20\d\d-.*")
    matches(podman.inspect(name, ".State.Running"), "true")


@check("base", "logs: both streams, as they were written")
def test_logs(podman: Podman) -> None:
    name = podman.start([], "sh", "-c", "seq 1000; echo err >&2")
    equal(podman("wait", name), "0")
    result = podman.call("logs", name)
    equal(result.out.split(), [str(number) for number in range(1, 1001)])
    equal(result.err, "err\n")


@check("base", "--healthcheck none: --no-healthcheck")
def test_no_healthcheck(podman: Podman) -> None:
    name = podman.start(["--no-healthcheck"], *SLEEP)
    equal(podman.inspect(name, ".State.Status"), "running")


@check("base", "six at once")
def test_at_once(podman: Podman) -> None:
    words = [*podman.command, *podman.run_words([], "sh", "-c", "echo done")]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    equal([run.communicate(timeout=CALL_SECONDS) for run in runs], [("done\n", "")] * 6)


@check("base", "the container's end ends its background processes")
def test_orphans(podman: Podman) -> None:
    name = podman.start([], "sh", "-c", "sleep 4323 & sleep 4323 & wait")
    pid = podman.inspect(name, ".State.Pid")
    wait_until(lambda: podman("top", name, "comm").count("sleep") == 2, "both run")
    podman("kill", name)
    podman("wait", name)
    equal(os.path.exists(f"/proc/{pid}"), False, "the first process")
    listing = subprocess.run(["pgrep", "-f", "^sleep 4323"], capture_output=True, text=True, check=False).stdout
    equal(listing, "", "processes left")
