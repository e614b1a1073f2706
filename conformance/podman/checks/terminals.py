"""run -it and attach, typed and read through a real pseudo-terminal."""

from __future__ import annotations

import time

from conformance.harness.checks import IMAGE, check, equal, matches
from conformance.harness.terminal import Terminal
from conformance.podman.harness import Podman

PROMPT = "READY>"
SHELL = ["-e", f"PS1={PROMPT}", "--network", "none"]


def shell(podman: Podman, *options: str, rows: int = 33, columns: int = 111) -> tuple[Terminal, str]:
    """An interactive shell in a container, at its first prompt."""
    name = podman.new_container()
    words = ["run", "-it", "--name", name, *SHELL, *options, IMAGE, "sh"]
    screen = Terminal([*podman.command, *words], rows, columns)
    screen.expect(PROMPT)
    return screen, name


@check("base", "run -it: a terminal of its own; input, output and exit status")
def test_interactive(podman: Podman) -> None:
    screen, _ = shell(podman)
    screen.type("tty; echo sum-$((40+2))\n")
    screen.expect(r"/dev/(pts/0|console)\r\n")
    screen.expect("sum-42")
    screen.type("exit 5\n")
    equal(screen.finish(), 5, "exit status")


@check("base", "run -it: size of the terminal, also after a change")
def test_size(podman: Podman) -> None:
    screen, _ = shell(podman)
    # conmon sets the size a little after the start: ask until it is there
    screen.type("until [ \"$(stty size)\" = '33 111' ]; do sleep 0.1; done; echo first-$((1+1))\n")
    screen.expect("first-2")
    screen.resize(20, 70)
    screen.type("until [ \"$(stty size)\" = '20 70' ]; do sleep 0.1; done; echo second-$((1+1))\n")
    screen.expect("second-2")
    screen.type("exit\n")
    equal(screen.finish(), 0, "exit status")


@check("base", "run -it: it is the controlling terminal: ^C reaches the foreground program")
def test_interrupt(podman: Podman) -> None:
    screen, _ = shell(podman)
    screen.type("echo go-$((1+1)); sleep 1000\n")
    screen.expect("go-2")
    time.sleep(0.5)  # lets the shell hand the foreground to sleep; a ^C before that is the shell's own to ignore
    screen.type("\x03")
    screen.expect(PROMPT)
    screen.type("echo status-$?; exit 3\n")
    screen.expect("status-130")
    equal(screen.finish(), 3, "exit status")


@check("base", "run -it --user: the terminal belongs to the user")
def test_terminal_owner(podman: Podman) -> None:
    screen, _ = shell(podman, "--user", "1000:1000")
    screen.type("echo owner-$(stat -c %u $(tty)); echo mine-$((1+1)) >$(tty)\n")
    screen.expect("owner-1000")
    screen.expect("mine-2")
    screen.type("exit\n")
    equal(screen.finish(), 0, "exit status")


@check("base", "run -t: /dev/console is the terminal")
def test_console(podman: Podman) -> None:
    """A bind mount of the terminal, or (crun from 1.22 on) a link to it."""
    script = "[ -c /dev/console ] && echo shown >/dev/console; stat -L -c %t:%T /dev/console $(tty)"
    matches(podman.sh(["-t"], script), r"shown\r?\n(88:\w+)\r?\n\1")  # 136 is the major number of devpts


@check("base", "run -it: detach keys leave it running; attach comes back to it")
def test_detach_attach(podman: Podman) -> None:
    screen, name = shell(podman)
    screen.type("X=kept\n")
    screen.expect(PROMPT)
    screen.type("\x10")
    time.sleep(1)  # podman takes the two keys for its own only if it reads them one by one
    screen.type("\x11")
    equal(screen.finish(), 0, "exit status of the detached podman")
    equal(podman.inspect(name, ".State.Status"), "running")
    again = Terminal([*podman.command, "attach", name])
    again.type("echo x-$X\n")
    again.expect("x-kept")
    again.type("exit 4\n")
    again.finish()
    equal(podman("wait", name), "4", "exit status of the container")


@check("base", "attach without a terminal: input and output of a running container")
def test_attach(podman: Podman) -> None:
    name = podman.start(["-i"], "sh", "-c", "read line; echo got $line; exit 6")
    equal(podman("attach", name, stdin="hello\n"), "got hello")
    equal(podman("wait", name), "6", "exit status of the container")
