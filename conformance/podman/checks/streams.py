"""Terminals and streams that are not what a person has: -t without a terminal, and the caller's own descriptors."""

from __future__ import annotations

from conformance.harness.checks import check, equal, matches
from conformance.harness.terminal import Terminal
from conformance.podman.harness import Podman

SHOW = "for fd in 0 1 2; do [ -t $fd ] && echo tty-$fd; done"


@check("base", "run -t without a terminal: the process has one, and its output is a terminal's")
def test_no_terminal(podman: Podman) -> None:
    matches(
        podman.sh(["-t"], f"{SHOW}; tty; echo error >&2"),
        "tty-0\r?\ntty-1\r?\ntty-2\r?\n/dev/(pts/0|console)\r?\nerror",
    )
    result = podman.call(*podman.run_words(["-t"], "sh", "-c", "exit 7"))
    equal(result.status, 7, "exit status")


@check("base", "run -d -t: the log, attach and exec -t of a container whose terminal nobody looks at")
def test_detached_terminal(podman: Podman) -> None:
    name = podman.start(["-d", "-i", "-t"], "sh", "-c", "tty; read line; echo got $line; exit 6")
    podman.logs_until(name, "/dev/")
    matches(podman("exec", "-t", name, "sh", "-c", SHOW), "tty-0\r?\ntty-1\r?\ntty-2")
    screen = Terminal([*podman.command, "attach", name])
    screen.type("typed\n")
    screen.expect("got typed")
    screen.finish()
    equal(podman("wait", name), "6", "exit status")
    matches(podman("logs", name), ".*got typed.*", "the log")


@check("base", "--log-driver=passthrough: the process has the caller's own streams")
def test_passthrough(podman: Podman) -> None:
    words = podman.run_words(["--log-driver=passthrough"], "sh", "-c", "cat; echo error >&2; exit 4")
    result = podman.call(*words, stdin="in\n")
    equal((result.status, result.out, result.err), (4, "in\n", "error\n"))


@check("base", "--log-driver=passthrough-tty: the caller's terminal is the process's streams")
def test_passthrough_tty(podman: Podman) -> None:
    podman.need(5, "passthrough-tty")
    words = podman.run_words(
        ["--log-driver=passthrough-tty"], "sh", "-c", f"{SHOW}; stty size; read x; echo got $x; exit 5"
    )
    screen = Terminal([*podman.command, *words])
    screen.expect("tty-0\r\ntty-1\r\ntty-2\r\n33 111\r\n")
    screen.type("typed\n")
    screen.expect("got typed")
    equal(screen.finish(), 5, "exit status")
