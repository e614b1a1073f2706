"""podman exec: another process in a running container, and health checks, which are that."""

from __future__ import annotations

import json
import subprocess

from conformance.harness.checks import CALL_SECONDS, IMAGE, check, equal, matches, wait_until
from conformance.harness.docker_checks import sleeper, way_out
from conformance.harness.terminal import Terminal
from conformance.podman.harness import Podman


@check("exec", "exec: output, error, standard input and exit status")
def test_streams(podman: Podman) -> None:
    name = sleeper(podman)
    result = podman.call("exec", "-i", name, "sh", "-c", "cat; echo err >&2; exit 9", stdin="in\n")
    equal((result.status, result.out, result.err), (9, "in\n", "err\n"))


@check("exec", "exec: the namespaces, root and cgroup of the container")
def test_same_place(podman: Podman) -> None:
    name = sleeper(podman, "--hostname", "box", "--cgroupns", "host")
    script = "cd /proc; for kind in cgroup ipc mnt net pid user uts; do "
    script += "[ $(readlink 1/ns/$kind) = $(readlink self/ns/$kind) ] || echo other $kind; done; "
    script += "[ 1/root/. -ef /. ] || echo other root; hostname; ls self/fd | wc -l"
    equal(podman("exec", name, "sh", "-c", script), "box\n4")
    for cgroup in podman("exec", name, "cat", "/proc/1/cgroup", "/proc/self/cgroup").split():
        matches(cgroup, f".*/(libpod-)?{podman.inspect(name, '.Id')}.*", "cgroup")


@check("exec", "exec: the rights of the container")
def test_rights(podman: Podman) -> None:
    words = [
        "--cap-drop",
        "all",
        "--cap-add",
        "chown",
        "--security-opt",
        "no-new-privileges",
        "--ulimit",
        "nofile=64:64",
    ]
    name = sleeper(podman, *words)
    script = "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; ulimit -n; umask"
    equal(
        podman("exec", name, "sh", "-c", script).split(),
        ["CapEff:", "0000000000000001", "NoNewPrivs:", "1", "64", "0022"],
    )


@check("exec", "exec --privileged")
def test_privileged(podman: Podman) -> None:
    name = sleeper(podman)
    found = podman("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status").split()[1]
    equal(int(found, 16) > 0x800405FB, True, f"{found} is more than the container's")


@check("exec", "exec: no such command 127, not executable 126")
def test_errors(podman: Podman) -> None:
    name = sleeper(podman)
    result = podman.fails(127, "exec", name, "no-such-command")
    matches(result.err, ".*no-such-command.*", "error")
    podman.fails(127, "exec", name, "/no/such/command")
    podman.fails(126, "exec", name, "/etc/not-executable")
    result = podman.fails(126, "exec", name, "/etc")
    matches(result.err, ".*OCI permission denied.*", "error")


@check("exec", "exec -it: a terminal of its own; size, input, exit status")
def test_terminal(podman: Podman) -> None:
    screen = Terminal([*podman.command, "exec", "-it", "-e", "PS1=READY>", sleeper(podman), "sh"])
    screen.try_shell(r"/dev/pts/\d")
    screen.leave_shell()


@check("exec", "exec -t: the container's main process has a terminal, too")
def test_two_terminals(podman: Podman) -> None:
    name = sleeper(podman, "-t")
    matches(podman("exec", "-t", name, "tty"), r"/dev/pts/\d")


@check("exec", "exec -d")
def test_detached(podman: Podman) -> None:
    name = sleeper(podman)
    podman("exec", "-d", name, "sh", "-c", "echo made >/made; sleep 1000")
    wait_until(lambda: podman("exec", name, "sh", "-c", "cat /made 2>/dev/null; true") == "made", "its file")
    podman("rm", "--force", "--time", "0", name)


@check("exec", "exec: twenty, one after the other and at once; no zombie stays")
def test_many(podman: Podman) -> None:
    name = sleeper(podman)
    words = [*podman.command, "exec", name, "echo", "x"]
    for _ in range(10):
        equal(podman(*words[len(podman.command) :]), "x")
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    equal([run.communicate(timeout=CALL_SECONDS)[0] for run in runs], ["x\n"] * 10)
    equal(podman("top", name, "comm").split(), ["COMMAND", "sleep"])


@check("exec", "exec: refused where the container does not run, or is paused")
def test_refused(podman: Podman) -> None:
    equal(podman.call("exec", podman.create([], "true"), "true").status in (125, 255), True, "refused")
    name = sleeper(podman)
    podman("pause", name)
    equal(podman.call("exec", name, "true").status in (125, 255), True, "refused")
    podman("unpause", name)
    equal(podman("exec", name, "echo", "again"), "again")


@check("exec", "exec: with a user namespace, the host's pid namespace, a read-only root")
def test_variants(podman: Podman) -> None:
    equal(podman("exec", sleeper(podman, "--userns", "auto"), "id", "-u"), "0")
    equal(podman("exec", sleeper(podman, "--pid", "host"), "echo", "x"), "x")
    equal(podman("exec", sleeper(podman, "--read-only", "--user", "1000"), "id", "-u"), "1000")


@check("exec", "exec --preserve-fds")
def test_preserve_fds(podman: Podman) -> None:
    words = ["exec", "--preserve-fds", "1", sleeper(podman), "sh", "-c", "cat <&3"]
    result = podman.call(*words, files=[podman.new_file("three")])
    equal((result.status, result.out), (0, "three"), str(result))


@check("exec", "healthcheck run: healthy and unhealthy")
def test_healthcheck(podman: Podman) -> None:
    words = ["--health-cmd", "test -e /healthy", "--health-interval", "disable", "--health-retries", "1"]
    name = sleeper(podman, *words)
    equal(podman.call("healthcheck", "run", name).status, 1)
    podman("exec", name, "touch", "/healthy")
    equal(podman("healthcheck", "run", name), "")
    equal(podman.inspect(name, ".State.Health.Status"), "healthy")


@check("exec", "healthcheck run: no path leads out of the container through a descriptor of the runtime")
def test_healthcheck_way_out(podman: Podman) -> None:
    """podman does this by itself, time and again; where the program lies is the image's to say."""
    path = way_out(podman.inspect(sleeper(podman), ".State.Pid"))
    words = ["--health-cmd", json.dumps(["echo", "found"]), "--health-interval", "disable"]
    name = podman.start(["--env", f"PATH={path}", *words], "/bin/sleep", "1000")
    result = podman.call("healthcheck", "run", name)
    log = podman.inspect(name, "json .State.Health.Log")
    equal((result.status != 0, "found" in log), (True, False), f"{result}\n{log}")


@check("exec", "cp: into a running container and out of it")
def test_copy(podman: Podman) -> None:
    name = sleeper(podman)
    path = podman.new_file("copied\n")
    podman("cp", str(path), f"{name}:/tmp/file")
    equal(podman("exec", name, "cat", "/tmp/file"), "copied")
    equal(podman("commit", "--quiet", name, f"{IMAGE}-never") != "", True, "the committed image's id")
    podman("image", "rm", "--force", f"{IMAGE}-never")
