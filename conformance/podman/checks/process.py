"""The container's process: what it is, as whom it runs, with which rights, limits and inherited things."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from conformance.harness.checks import CALL_SECONDS, IMAGE, check, equal, matches, output_checks
from conformance.podman.harness import HOST_PROGRAMS, Podman

DEFAULT_CAPABILITIES = "00000000800405fb"  # podman's eleven
STATUS = "grep -E '^(Cap|NoNewPrivs|Sig)' /proc/self/status"

test_outputs = output_checks(
    "base",
    [
        # name, podman's options, script, its whole output
        ("process: it is pid 1, and its name is its own", "", "cat /proc/1/comm; echo $$", "sh\n1"),
        ("process: it leads its session", "", "cut -d' ' -f6 /proc/self/stat", "1"),
        ("--hostname", "--hostname box", "hostname; cat /proc/sys/kernel/hostname", "box\nbox"),
        ("--workdir", "--workdir /tmp", "pwd", "/tmp"),
        ("--env", "-e FIVE=5 --env EMPTY= -e 'TWO=a b'", 'echo "$FIVE-$EMPTY-$TWO"', "5--a b"),
        ("--env HOME: kept", "--env HOME=/elsewhere", "echo $HOME", "/elsewhere"),
        ("home folder: from /etc/passwd", "--user ann", "echo $HOME", "/tmp"),
        ("--user 1000:1000", "--user 1000:1000", "echo $(id -u):$(id -g):$(id -G)", "1000:1000:1000"),
        ("--user 10:20: not in /etc/passwd", "--user 10:20", "echo $(id -u):$(id -g)", "10:20"),
        ("--user by name: with the groups of /etc/group", "--user ann", "id -G", "1000 4000"),
        ("--group-add", "--user 1000:1000 --group-add 500 --group-add extra", "id -G", "1000 500 4000"),
        ("capabilities: podman's default", "", f"{STATUS} | grep CapEff", f".*{DEFAULT_CAPABILITIES}"),
        ("capabilities: default bounding set", "", f"{STATUS} | grep CapBnd", f".*{DEFAULT_CAPABILITIES}"),
        ("capabilities: an ordinary user has none", "--user 1000", f"{STATUS} | grep CapEff", ".*0{16}"),
        ("--cap-drop all: all five sets are empty", "--cap-drop all", f"{STATUS} | grep -c '^Cap.*\\s0*$'", "5"),
        ("--cap-drop all --cap-add", "--cap-drop all --cap-add chown", f"{STATUS} | grep CapEff", ".*0{15}1"),
        (
            "--cap-add for a user: effective and ambient",
            "--user 1000 --cap-drop all --cap-add net_bind_service",
            f"{STATUS} | grep -cE '^Cap(Eff|Prm|Amb|Bnd|Inh).*0{{13}}400$'",
            "5",
        ),
        ("--cap-drop: the right is gone", "--cap-drop chown", "chown 1:1 /tmp; echo $?", "1"),
        ("--security-opt no-new-privileges", "--security-opt no-new-privileges", f"{STATUS} | grep NoNew", ".*1"),
        ("new privileges: allowed by default", "", f"{STATUS} | grep NoNew", ".*0"),
        ("--ulimit", "--ulimit nofile=64:128", "ulimit -Sn; ulimit -Hn", "64\n128"),
        ("--ulimit core", "--ulimit core=0:0", "grep core /proc/self/limits", r"Max core file size\s+0\s+0\s+bytes"),
        (
            "--sysctl net",
            "--sysctl net.ipv4.ip_unprivileged_port_start=80",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            "80",
        ),
        ("--sysctl kernel", "--sysctl kernel.msgmax=12345", "cat /proc/sys/kernel/msgmax", "12345"),
        ("--oom-score-adj", "--oom-score-adj 500", "cat /proc/self/oom_score_adj", "500"),
        ("--umask", "--umask 0077", "umask; touch /tmp/f; stat -c %a /tmp/f", "0077\n600"),
        ("umask: default", "", "umask", "0022"),
        ("--personality", "--personality LINUX32", "cat /proc/self/personality", "0*8"),
        (
            "--init: pid 1 is the init, which runs the command",
            "--init",
            "readlink /proc/1/exe; cat /proc/$$/comm; [ $$ -gt 1 ]",
            "/run/podman-init\nsh",
        ),
        (
            "--privileged: more rights than by default",
            "--privileged",
            f"[ $(sed -n 's/CapEff:\\t//p' /proc/self/status) != {DEFAULT_CAPABILITIES} ] && echo more",
            "more",
        ),
        (
            "--privileged: /proc/sys and /sys are writable",
            "--privileged",
            "grep -E ' (/proc/sys|/sys) ' /proc/mounts | grep -c ' ro,'; true",
            "0",
        ),
        ("entry point and command", '--entrypoint \'["echo","-n"]\'', "x", "sh -c x"),
    ],
)

test_more_outputs = output_checks(
    "base",
    [("--oom-score-adj: lowered", "--oom-score-adj -500", "cat /proc/self/oom_score_adj", "-500")],
    rootful_only="the kernel lets only root lower oom_score_adj",
)


@check("base", "--oom-score-adj: not lowered for an ordinary user, who is told", rootless_only="root may lower it")
def test_oom_score_stays(podman: Podman) -> None:
    podman.need(5, "a warning in place of the runtime's error")
    result = podman.call(*podman.run_words(["--oom-score-adj", "-500"], "cat", "/proc/self/oom_score_adj"))
    equal((result.status, result.out), (0, Path("/proc/self/oom_score_adj").read_text()), str(result))
    matches(result.err, ".*oom_score_adj.*", "warning")


@check("base", "run --rm: prints its output and leaves no container")
def test_run_rm(podman: Podman) -> None:
    name = podman.new_container()
    equal(podman.run(["--name", name], "echo", "hello"), "hello")
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")


@check("base", "the runtime in use is the one to check")
def test_runtime_in_use(podman: Podman) -> None:
    equal(podman("info", "--format", "{{.Host.OCIRuntime.Path}}"), podman.runtime)
    matches(podman("info", "--format", "{{.Host.OCIRuntime.Version}}"), r".*\d+\.\d+.*", "version")
    equal(podman.inspect(podman.create([], "true"), ".OCIRuntime"), podman.runtime, "the container's runtime")


@check("base", "output and error streams stay apart")
def test_streams(podman: Podman) -> None:
    result = podman.call(*podman.run_words([], "sh", "-c", "echo out; echo err >&2"))
    equal((result.status, result.out, result.err), (0, "out\n", "err\n"))


@check("base", "run -i: standard input reaches the process, and so does its end")
def test_standard_input(podman: Podman) -> None:
    text = "line\n" * 20000
    equal(podman.run(["-i"], "md5sum", stdin=text), podman.run(["-i"], "sh", "-c", "cat | md5sum", stdin=text))
    equal(podman.run(["-i"], "wc", "-c", stdin=text), str(len(text)))


@check("base", "exit status is the process's")
def test_exit_status(podman: Podman) -> None:
    for status in (0, 1, 7, 255):
        podman.fails(status, *podman.run_words([], "sh", "-c", f"exit {status}"))


@check("base", "environment holds what podman sets, and nothing of the runtime's")
def test_environment(podman: Podman) -> None:
    lines = podman.run(["--http-proxy=false", "--hostname", "box"], "env").splitlines()
    podmans_choice = {"TERM=xterm"}  # which versions set without a terminal, too
    equal(sorted(set(lines) - podmans_choice), ["HOME=/root", "HOSTNAME=box", "PATH=/bin", "container=podman"])


@check("base", "--env-host")
def test_environment_of_host(podman: Podman) -> None:
    words = podman.run_words(["--env-host"], "sh", "-c", "echo $CHECKED_BY")
    equal(podman(*words, env={"CHECKED_BY": "host"}), "host")


@check("base", "file descriptors: only the standard three")
def test_descriptors(podman: Podman) -> None:
    equal(podman.run([], "ls", "/proc/self/fd").split(), ["0", "1", "2", "3"], "descriptors (3 is of ls)")


@check("base", "signals: none is ignored or blocked")
def test_signals(podman: Podman) -> None:
    lines = podman.run([], "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status").splitlines()
    equal([line.split() for line in lines], [["SigBlk:", "0" * 16], ["SigIgn:", "0" * 16]])


@check("base", "--preserve-fds")
def test_preserve_fds(podman: Podman) -> None:
    words = podman.run_words(["--preserve-fds", "2"], "sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | wc -l")
    result = podman.call(*words, files=[podman.new_file("three"), podman.new_file("four")])
    equal((result.status, result.out), (0, "threefour6\n"), str(result))


@check("base", "--rootfs: a folder as the root, writable")
def test_rootfs(podman: Podman) -> None:
    root = unpacked(podman)
    words = ["run", "--rm", "--network", "none", "--rootfs", str(root), "/bin/sh", "-c", "cat /seed/file; touch /new"]
    equal(podman(*words), "from the image")
    equal((root / "new").exists(), True, "the container's file in the folder")


@check("base", "--rootfs with an overlay: the folder stays as it is")
def test_rootfs_overlay(podman: Podman) -> None:
    root = unpacked(podman)
    equal(podman("run", "--rm", "--network", "none", "--rootfs", f"{root}:O", "/bin/touch", "/new"), "")
    equal((root / "new").exists(), False, "the container's file in the folder")


def unpacked(podman: Podman) -> Path:
    """The image's tree as a folder that the user owns."""
    root = podman.new_folder() / "root"
    root.mkdir()
    container = podman.create([], "true")
    archive = podman.new_folder() / "tree.tar"
    podman("export", "--output", str(archive), container)
    command = ["tar", "-C", str(root), "-xf", str(archive)]
    podman_unshare(podman, *command)
    return root


def podman_unshare(podman: Podman, *command: str) -> None:
    """Runs a command that changes owners: as root, or as root of the rootless podman's user namespace."""
    unshare = ["podman", "unshare"] if podman.rootless else []
    subprocess.run([*unshare, *command], check=True, capture_output=True)


@check("base", "--sdnotify=container: the container's READY=1 reaches the service manager")
def test_sdnotify(podman: Podman) -> None:
    path = podman.new_folder() / "notify"
    script = "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    script += "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); input()"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(CALL_SECONDS)
        path.chmod(0o777)
        name = podman.new_container()
        options = ["run", "-d", "-i", "--name", name, "--network", "none", "--sdnotify=container", *HOST_PROGRAMS]
        podman(*options, IMAGE, "/usr/bin/python3", "-IS", "-c", script, env={"NOTIFY_SOCKET": str(path)})
        received = b""
        while b"READY=1" not in received:
            received += manager.recv(4096) + b"\n"
