"""OCI hooks, by podman's --hooks-dir: each is called once, in order, with the state on standard input."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.harness.checks import IMAGE, check, equal, matches
from conformance.podman.harness import Podman

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def install(podman: Podman, script: str, stages: tuple[str, ...] = STAGES) -> tuple[list[str], Path]:
    """Hooks that run this shell script with the stage as $1 and a folder for records as $2; podman's words for them."""
    folder, records = podman.new_folder(), podman.new_folder()
    for stage in stages:
        # the shell at the same path on the host and in the container, where startContainer hooks are looked for
        call = {"path": "/bin/sh", "args": ["sh", "-c", script, "hook", stage, str(records)]}
        hook = {"version": "1.0.0", "hook": call, "when": {"always": True}, "stages": [stage]}
        (folder / f"{stage}.json").write_text(json.dumps(hook))
    return ["--hooks-dir", str(folder)], records


@check("base", "hooks: all six stages, in a sound order, with the state on standard input")
def test_all_stages(podman: Podman) -> None:
    words, records = install(podman, "cat >$2/$1; echo $1 >>$2/order")
    name = podman.new_container()
    options = ["run", "--name", name, "--network", "none", "-v", f"{records}:{records}"]
    podman(*words, *options, IMAGE, "sh", "-c", f"echo process >>{records}/order")
    container = podman.inspect(name, ".Id")
    podman("rm", "--force", name)
    order = (records / "order").read_text().split()
    equal(sorted(order), sorted([*STAGES, "process"]), "hooks, each once")
    # crun 1.21 calls createRuntime before prestart, and poststart while startContainer still runs: asked here is what
    # callers rely on; the spec's whole order is a matter of opencontainers' own programs
    for earlier, later in (
        ("prestart", "createContainer"),
        ("createRuntime", "createContainer"),
        ("createContainer", "startContainer"),
        ("startContainer", "process"),
    ):
        equal(order.index(earlier) < order.index(later), True, f"{earlier} before {later} in {order}")
    equal(order[-1], "poststop")
    for stage in STAGES:
        state = json.loads((records / stage).read_text())
        equal(state["id"], container, f"{stage}: id")
        equal("bundle" in state and "ociVersion" in state, True, f"{stage}: bundle and ociVersion")
        if stage in ("prestart", "createRuntime", "poststart"):  # the others run where another pid may be seen, or none
            equal(state["pid"] > 0, True, f"{stage}: pid")


@check("base", "hooks: a failing createRuntime hook stops the creation, and its name or output is told")
def test_failing(podman: Podman) -> None:
    words, records = install(podman, "echo oops >&2; exit 3", ("createRuntime",))
    name = podman.new_container()
    options = ["run", "--name", name, "--network", "none", "-v", f"{records}:/r"]
    result = podman.call(*words, *options, IMAGE, "touch", "/r/ran")
    equal(result.status in (126, 127), True, f"exit status 126 or 127\n{result}")
    matches(result.err.lower(), ".*(hook|/bin/sh).*", "error")
    equal((records / "ran").exists(), False, "the process ran")


@check("base", "hooks: poststop runs when the container is killed")
def test_after_kill(podman: Podman) -> None:
    words, records = install(podman, "echo $1 >>$2/order", ("poststop",))
    name = podman.new_container()
    podman(*words, "run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "1000")
    podman("kill", name)
    podman("wait", name)
    podman("rm", "--force", name)
    equal((records / "order").read_text().split(), ["poststop"])
