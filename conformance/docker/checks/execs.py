"""docker exec: another process in a running container, and health checks, which are that."""

from __future__ import annotations

import subprocess

from conformance.docker.harness import Docker
from conformance.harness.checks import check, equal, matches, wait_until
from conformance.harness.docker_checks import sleeper
from conformance.harness.terminal import Terminal


@check("exec", "exec: output, error, standard input and exit status")
def test_streams(docker: Docker) -> None:
    result = docker.call("exec", "-i", sleeper(docker), "sh", "-c", "cat; echo err >&2; exit 9", stdin="in\n")
    equal((result.status, result.out, result.err), (9, "in\n", "err\n"))


@check("exec", "exec: the namespaces, root and cgroup of the container; no descriptor more")
def test_same_place(docker: Docker) -> None:
    name = sleeper(docker, "--hostname", "box", "--cgroupns", "host")
    script = "cd /proc; for kind in cgroup ipc mnt net pid user uts; do "
    script += "[ $(readlink 1/ns/$kind) = $(readlink self/ns/$kind) ] || echo other $kind; done; "
    script += "[ 1/root/. -ef /. ] || echo other root; hostname; ls self/fd | wc -l"
    equal(docker("exec", name, "sh", "-c", script), "box\n4")
    one, other = docker("exec", name, "cat", "/proc/1/cgroup", "/proc/self/cgroup").split()
    equal((one == other, docker.inspect(name, ".Id") in one), (True, True), f"{one}, {other}")


@check("exec", "exec: the rights of the container")
def test_rights(docker: Docker) -> None:
    words = ["--cap-drop=all", "--cap-add=chown", "--security-opt=no-new-privileges", "--ulimit=nofile=64:64"]
    name = sleeper(docker, *words)
    script = "grep -E '^(CapEff|NoNewPrivs|Seccomp:)' /proc/self/status; ulimit -n; umask"
    found = docker("exec", name, "sh", "-c", script).split()
    equal(found, ["CapEff:", "0000000000000001", "NoNewPrivs:", "1", "Seccomp:", "2", "64", "0022"])


@check("exec", "exec --privileged")
def test_privileged(docker: Docker) -> None:
    found = docker("exec", "--privileged", sleeper(docker), "grep", "CapEff", "/proc/self/status").split()[1]
    equal(int(found, 16) > 0xA80425FB, True, f"{found} is more than the container's")


@check("exec", "exec: no such command, not executable, a folder: 126 or 127, and docker says which")
def test_errors(docker: Docker) -> None:
    name = sleeper(docker)
    for command in ("no-such-command", "/no/such/command", "/etc/not-executable", "/etc"):
        result = docker.call("exec", name, command)
        equal(result.status in (126, 127), True, str(result))
        matches(result.err + result.out, f".*{command}.*", "error")


@check("exec", "exec -it: a terminal of its own; size, also after a change, input, exit status")
def test_terminal(docker: Docker) -> None:
    screen = Terminal([*docker.command, "exec", "-it", "-e", "PS1=READY>", sleeper(docker), "sh"])
    screen.try_shell(r"/dev/pts/\d")
    screen.resize_shell()
    screen.leave_shell()


@check("exec", "exec -t: the container's main process has a terminal, too")
def test_two_terminals(docker: Docker) -> None:
    matches(docker("exec", "-t", sleeper(docker, "-t"), "tty"), r"/dev/pts/\d")


@check("exec", "exec -d: it goes on, and is killed with the container")
def test_detached(docker: Docker) -> None:
    name = sleeper(docker)
    docker("exec", "-d", name, "sh", "-c", "echo made >/made; sleep 1000")
    wait_until(lambda: docker("exec", name, "sh", "-c", "cat /made 2>/dev/null; true") == "made", "its file")
    docker("rm", "--force", name)


@check("exec", "exec: twenty, one after the other and at once; no zombie stays")
def test_many(docker: Docker) -> None:
    name = sleeper(docker)
    words = ["exec", name, "echo", "x"]
    for _ in range(10):
        equal(docker(*words), "x")
    runs = [subprocess.Popen([*docker.command, *words], stdout=subprocess.PIPE, text=True) for _ in range(10)]
    equal([run.communicate(timeout=240)[0] for run in runs], ["x\n"] * 10)
    equal(docker("top", name, "-o", "pid,comm").split()[3::2], ["sleep"])


@check("exec", "exec: refused where the container does not run")
def test_refused(docker: Docker) -> None:
    name = docker.create([], "true")
    matches(docker.call("exec", name, "true").err, ".*is not running.*")


@check("exec", "--health-cmd: healthy, and unhealthy when it fails")
def test_health(docker: Docker) -> None:
    words = ["--health-cmd", "test -e /healthy", "--health-interval", "1s", "--health-retries", "1"]
    name = sleeper(docker, *words)
    wait_until(lambda: docker.inspect(name, ".State.Health.Status") == "unhealthy", "unhealthy")
    docker("exec", name, "touch", "/healthy")
    wait_until(lambda: docker.inspect(name, ".State.Health.Status") == "healthy", "healthy")
