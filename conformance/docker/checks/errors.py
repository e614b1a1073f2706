"""What docker makes of a runtime's errors: exit statuses and texts."""

from __future__ import annotations

from conformance.docker.harness import Docker
from conformance.harness.checks import IMAGE, check, equal, matches


def failing_run(docker: Docker, status: int, options: list[str], *command: str) -> str:
    """Runs what cannot run and wants this exit status; returns the error. The container stays, and can be removed."""
    name = docker.new_container()
    words = ["run", "--name", name, "--network", "none", *options, IMAGE, *command]
    text = docker.fails(status, *words).err
    equal(docker.inspect(name, ".State.Status"), "created", "the container afterwards")
    docker("rm", name)
    return text


@check("base", "no such command: 127, and docker says which")
def test_no_command(docker: Docker) -> None:
    matches(failing_run(docker, 127, [], "no-such-command"), ".*no-such-command.*")
    matches(failing_run(docker, 127, [], "/no/such/command"), ".*/no/such/command.*")


@check("base", "a command that is not executable, and a folder: 126")
def test_not_executable(docker: Docker) -> None:
    matches(failing_run(docker, 126, [], "/etc/not-executable"), ".*/etc/not-executable.*")
    failing_run(docker, 126, [], "/etc")


@check("base", "a script whose interpreter is missing: it does not run, and the script is named")
def test_no_interpreter(docker: Docker) -> None:
    result = docker.call(*docker.run_words([], "/bin/lost-interpreter"))
    equal(result.status != 0, True, "it cannot run")  # 1 where the runtime learns it too late for docker (runc)
    matches(result.err, ".*/bin/lost-interpreter.*")


@check("base", "a memory limit that no process fits in: refused, and nothing stays")
def test_too_small(docker: Docker) -> None:
    result = docker.call(*docker.run_words(["--memory", "6m"], "tail", "/dev/zero"))
    equal(result.status != 0, True, "it cannot run")


@check("base", "a name that is taken: 125")
def test_taken(docker: Docker) -> None:
    name = docker.start([], "sleep", "1000")
    docker.fails(125, "run", "--name", name, IMAGE, "true")


@check("base", "start: the error is docker's, and another start of the same container works when its reason is gone")
def test_later(docker: Docker) -> None:
    folder = docker.new_folder()
    program = folder / "program"
    name = docker.create(["-v", f"{folder}:/folder"], "/folder/program")
    equal(docker.call("start", "--attach", name).status != 0, True, "without the program")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    equal(docker("start", "--attach", name), "ran")
