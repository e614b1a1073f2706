"""What a person sees when it cannot work: podman's exit codes, the text, and that nothing stays behind."""

from __future__ import annotations

import re
import resource

import pytest

from conformance.harness.checks import Failed, check, equal, matches
from conformance.podman.harness import Podman
from conformance.podman.leftovers import state_folder, states

NOT_FOUND = "OCI runtime attempted to invoke a command that was not found"
DENIED = "OCI permission denied"


def refused(podman: Podman, status: int, words: list[str], pattern: str) -> None:
    """podman run fails with this status; its first line tells all; the runtime keeps no state."""
    before = states(podman)
    result = podman.fails(status, *words)
    equal(result.out, "", "standard output")
    lines = result.err.strip().splitlines()
    if not re.search(pattern, lines[0] if lines else "", re.IGNORECASE):
        raise Failed(f"the first line is not of the form {pattern!r}\n{result}")
    equal(len(lines), 1, f"lines of the error\n{result}")
    equal(states(podman) - before, set(), f"state left in {state_folder(podman)}")


@check("base", "error: no such command: 127")
def test_missing(podman: Podman) -> None:
    refused(podman, 127, podman.run_words([], "no-such-command"), f"no-such-command.* not found in .*{NOT_FOUND}")


@check("base", "error: no such command by path: 127")
def test_missing_path(podman: Podman) -> None:
    refused(podman, 127, podman.run_words([], "/no/such/command"), f"/no/such/command.*no such file.*{NOT_FOUND}")


@check("base", "error: a folder as the command: 126")
def test_folder(podman: Podman) -> None:
    refused(podman, 126, podman.run_words([], "/etc"), f"(/etc|executable).*{DENIED}")


@check("base", "error: not executable: 126")
def test_not_executable(podman: Podman) -> None:
    refused(podman, 126, podman.run_words([], "/etc/not-executable"), f"not-executable.*{DENIED}")


@check("base", "error: the script's interpreter is missing: the script is named")
def test_interpreter(podman: Podman) -> None:
    result = podman.call(*podman.run_words([], "lost-interpreter"))
    equal(result.status != 0, True, "it fails")
    matches(result.err, ".*(lost-interpreter.*[Nn]o such file|exec format).*", "error")


@check("base", "error: the same texts by create and start (whose own exit status is 125)")
def test_by_steps(podman: Podman) -> None:
    for command, kind in (("no-such-command", NOT_FOUND), ("/etc/not-executable", DENIED)):
        name = podman.create([], command)
        matches(podman.fails(125, "start", "--attach", name).err, f".*{kind}.*")
        equal(podman.inspect(name, ".State.Status"), "created")
        podman("rm", name)


@check("base", "error: no such sysctl; it is named")
def test_sysctl(podman: Podman) -> None:
    result = podman.call(*podman.run_words(["--sysctl", "net.no_such=1"], "true"))
    equal(result.status in (126, 127), True, f"exit status 126 or 127\n{result}")
    matches(result.err, r".*net[./]no_such.*", "error")


@check("base", "error: a limit above the user's own: 126, and it is named", rootless_only="root may raise it")
def test_limit(podman: Podman) -> None:
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    options = ["--ulimit", f"nofile={highest + 1}:{highest + 1}"]
    refused(podman, 126, podman.run_words(options, "true"), f"RLIMIT_NOFILE.*{DENIED}")


@check("base", "error: an option that the runtime does not know: 126, and it is named")
def test_unknown_option(podman: Podman) -> None:
    name = podman.new_container()
    words = ["--runtime-flag", "invalidflag", "run", "--name", name, *podman.run_words([], "true")[2:]]
    result = podman.fails(126, *words)
    matches(result.err, ".*invalidflag.*", "error")


@check("base", "error: after a failure podman's debug log does not hide the reason")
def test_debug(podman: Podman) -> None:
    result = podman.fails(127, "--log-level=debug", *podman.run_words([], "no-such-command"))
    matches(result.err, ".*no-such-command.*", "error")
    equal(podman("--log-level=debug", *podman.run_words([], "echo", "fine")), "fine")


@check("base", "--cgroups=disabled")
def test_without_cgroups(podman: Podman) -> None:
    result = podman.call(*podman.run_words(["--cgroups=disabled", "--cgroupns=host"], "cat", "/proc/self/cgroup"))
    if "not compatible with NoCgroups" in result.err:
        pytest.skip("podman's configuration does not list this runtime in runtime_supports_nocgroups")
    equal(result.status, 0, str(result))
    equal("libpod-" in result.out.replace("libpod-payload", ""), False, f"a cgroup of its own: {result.out}")
