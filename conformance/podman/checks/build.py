"""podman build: its RUN steps are containers of the runtime (by way of buildah, which polls `state`)."""

from __future__ import annotations

from conformance.harness.checks import IMAGE, check, equal, matches
from conformance.podman.harness import Podman


def build(podman: Podman, text: str) -> tuple[str, list[str]]:
    """The image's name, and the words that build it from this Containerfile."""
    folder = podman.new_folder()
    (folder / "Containerfile").write_text(text)
    name = f"localhost/{podman.prefix}-built"
    return name, ["build", "--isolation=oci", "--network=none", "--quiet", "--tag", name, str(folder)]


@check("base", "build: RUN, its user, folder and environment")
def test_run_step(podman: Podman) -> None:
    text = f"FROM {IMAGE}\nENV FIVE=5\nWORKDIR /tmp\nUSER 1000:1000\nRUN echo $FIVE $(pwd) $(id -u) >/tmp/made\n"
    name, words = build(podman, text)
    podman(*words)
    podman.undo.callback(podman, "image", "rm", "--force", name)
    equal(podman("run", "--rm", "--network", "none", name, "cat", "/tmp/made"), "5 /tmp 1000")


@check("base", "build: RUN runs on the runtime that is to be checked")
def test_runtime_of_run(podman: Podman) -> None:
    _, words = build(podman, f"FROM {IMAGE}\nRUN true\n")
    result = podman.call("--runtime-flag", "invalidflag", *words)
    equal(result.status != 0, True, "the build failed")
    matches(result.err, ".*invalidflag.*", "the runtime's own error")


@check("base", "build: RUN with limits, added and dropped rights, a tmpfs and a cache")
def test_run_options(podman: Podman) -> None:
    script = "ulimit -n; grep -c ' /scratch tmpfs ' /proc/mounts; touch /cache/x; grep CapEff /proc/self/status"
    run = f"RUN --mount=type=tmpfs,dst=/scratch --mount=type=cache,dst=/cache ({script}) >/tmp/made"
    name, words = build(podman, f"FROM {IMAGE}\n{run}\n")
    podman(*words[:-1], "--ulimit", "nofile=99:99", "--cap-drop", "all", "--cap-add", "chown", words[-1])
    podman.undo.callback(podman, "image", "rm", "--force", name)
    made = podman("run", "--rm", "--network", "none", name, "cat", "/tmp/made")
    equal(made.split(), ["99", "1", "CapEff:", "0" * 15 + "1"])


@check("base", "build: a failing RUN ends it, with its status")
def test_failing_step(podman: Podman) -> None:
    _, words = build(podman, f"FROM {IMAGE}\nRUN echo before; exit 9\n")
    result = podman.call(*words)
    equal(result.status != 0, True, "build failed")
    matches(result.err, ".*9.*", "error")
