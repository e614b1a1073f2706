"""Quadlet: systemd units that podman's generator makes of .container, .pod, .volume and .kube files."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.harness.checks import IMAGE, Failed, check, equal, matches, wait_until
from conformance.harness.docker_checks import ON_TERM
from conformance.harness.leftovers import own_base
from conformance.podman.harness import HOST_PROGRAMS, Podman

QUADLET = Path("/usr/libexec/podman/quadlet")
WAIT = "trap exit TERM; sleep 1000 & wait"  # ends when it is asked to; a sleep that is pid 1 does not
CONTAINER = f"[Container]\nImage={IMAGE}\nPull=never\nNetwork=none\n"


def control(podman: Podman, *words: str) -> subprocess.CompletedProcess[str]:
    """Calls systemctl for the manager of who runs the checks."""
    words = ("systemctl", *(["--user"] if podman.rootless else []), *words)
    return subprocess.run(words, capture_output=True, text=True, check=False)


def state(podman: Podman, unit: str) -> str:
    return control(podman, "show", "--value", "--property", "ActiveState", unit).stdout.strip()


def install(podman: Podman, files: dict[str, str]) -> None:
    """Writes these files and has systemd read the units that they become, until the check ends; a section [Container],
    [Pod], [Volume] or [Kube] gets podman's options: the runtime to check."""
    if not QUADLET.exists():
        pytest.skip(f"this podman has no {QUADLET}")
    folder = own_base() / "containers/systemd"
    podman.undo.callback(control, podman, "daemon-reload")
    if not folder.exists():
        folder.mkdir(parents=True)
        podman.undo.callback(folder.rmdir)
    for name, text in files.items():
        kind = f"[{name.rpartition('.')[2].capitalize()}]\n"
        (folder / name).write_text(text.replace(kind, f"{kind}GlobalArgs={shlex.join(podman.command[1:])}\n"))
        podman.undo.callback((folder / name).unlink)
    control(podman, "daemon-reload")


def start(podman: Podman, unit: str, *options: str) -> None:
    """Starts a unit until the check ends."""
    podman.undo.callback(forget, podman, unit)
    done = control(podman, "start", *options, unit)
    if done.returncode:
        raise Failed(f"{unit} does not start: {done.stderr}\n{journal(podman, unit)}")


def forget(podman: Podman, unit: str) -> None:
    """Stops a unit; that it failed is forgotten, too."""
    control(podman, "stop", unit)
    control(podman, "reset-failed", unit)


def journal(podman: Podman, unit: str) -> str:
    option = "--user-unit" if podman.rootless else "--unit"
    done = subprocess.run(["journalctl", "--no-pager", option, unit], capture_output=True, text=True, check=False)
    return done.stdout


def unit_of(pid: str) -> str:
    """The cgroup of a process, as far as its unit."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::")[2].partition(".service/libpod-payload")[0]


@check("services", "quadlet .container: start, status, journal, exec, restart, stop")
def test_container(podman: Podman) -> None:
    name = podman.new_container()
    text = f"{CONTAINER}ContainerName={name}\nExec={shlex.join(ON_TERM)}\n"
    text += "PodmanArgs=--memory 64m\nVolume=/etc/hostname:/seed/name:ro\n"
    install(podman, {f"{name}.container": text})
    start(podman, name)
    equal(state(podman, name), "active")
    wait_until(lambda: "up\n" in journal(podman, name), "the container's output in the unit's journal")
    equal(podman("exec", name, "cat", "/seed/name"), Path("/etc/hostname").read_text().strip())
    equal(podman("exec", name, "cat", "/sys/fs/cgroup/memory.max"), "67108864")
    before = podman.inspect(name, ".State.Pid")
    matches(unit_of(before), f".*/{name}", "the cgroup")
    matches(control(podman, "status", name).stdout, f".*{name}.service.*active \\(running\\).*", "systemctl status")
    equal(control(podman, "restart", name).returncode, 0, "exit status of restart")
    equal((state(podman, name), podman.inspect(name, ".State.Pid") == before), ("active", False))
    equal(control(podman, "stop", name).returncode, 0, "exit status of stop")
    equal(podman.call("container", "exists", name).status, 1, "`podman container exists` afterwards")
    equal(journal(podman, name).count("got TERM"), 2, "how often the process was asked to end")


@check("services", "quadlet .container: systemd starts a program that fails again, and the failure is the unit's")
def test_restarts(podman: Podman) -> None:
    name, folder = podman.new_container(), podman.new_folder()
    script = f"echo run >>/shared/runs; [ $(wc -l </shared/runs) -ge 2 ] || exit 5; {WAIT}"
    text = f"{CONTAINER}ContainerName={name}\nVolume={folder}:/shared\nExec=sh -c {shlex.quote(script)}\n"
    install(podman, {f"{name}.container": text + "[Service]\nRestart=on-failure\nRestartSec=100ms\n"})
    start(podman, name)
    runs = folder / "runs"
    wait_until(lambda: runs.exists() and runs.read_text().split() == ["run"] * 2, "a second run")
    wait_until(lambda: state(podman, name) == "active", "active")
    matches(journal(podman, name), ".*exited, (code=exited, )?status=5.*", "the unit's journal")


def comes_up(podman: Podman, more: str, ready: Callable[[str], object]) -> None:
    """The unit of a container with these lines is activating until ready(its name)."""
    name = podman.new_container()
    install(podman, {f"{name}.container": f"{CONTAINER}ContainerName={name}\n{more}"})
    start(podman, name, "--no-block")
    wait_until(lambda: podman.call("exec", name, "true").status == 0, "the container runs")
    equal(state(podman, name), "activating")
    ready(name)
    wait_until(lambda: state(podman, name) == "active", "active")


@check("services", "quadlet Notify=true: active when the program in the container says so")
def test_notify(podman: Podman) -> None:
    script = f"until [ -e /go ]; do sleep 0.1; done; /usr/bin/systemd-notify --ready; {WAIT}"
    more = f"Notify=true\nVolume={HOST_PROGRAMS[1]}\nExec=sh -c {shlex.quote(script)}\n"
    comes_up(podman, more, lambda name: podman("exec", name, "touch", "/go"))


@check("services", "quadlet Notify=healthy: active when the health check succeeds")
def test_notify_healthy(podman: Podman) -> None:
    more = "Notify=healthy\nHealthCmd=test -e /go\nHealthInterval=1s\nHealthRetries=1000\n"
    more += f"Exec=sh -c {shlex.quote(WAIT)}\n"
    comes_up(podman, more, lambda name: podman("exec", name, "touch", "/go"))


@check("services", "quadlet .pod: two containers with a .volume, all started and stopped with the pod")
def test_pod(podman: Podman) -> None:
    name, volume = podman.new_pod(), podman.new_volume()
    member = f"{CONTAINER.replace('Network=none', f'Pod={name}.pod')}Volume={volume}.volume:/shared\n"
    serve = f"echo served >/shared/page; httpd -p 8080 -h /shared; {WAIT}"
    read = f"until wget -qO- http://127.0.0.1:8080/page; do sleep 0.1; done; {WAIT}"
    scripts = {f"{name}-server": serve, f"{name}-client": read}
    files = {
        f"{unit}.container": f"{member}ContainerName={unit}\nExec=sh -c {shlex.quote(text)}\n"
        for unit, text in scripts.items()
    }
    files[f"{volume}.volume"] = f"[Volume]\nVolumeName={volume}\n"
    files[f"{name}.pod"] = f"[Pod]\nPodName={name}\nNetwork=none\n"
    install(podman, files)
    for unit in (*scripts, f"{volume}-volume"):
        podman.undo.callback(forget, podman, unit)
    start(podman, f"{name}-pod")
    for unit in scripts:
        wait_until(lambda unit=unit: state(podman, unit) == "active", f"{unit} is active")  # type: ignore[misc]
    wait_until(lambda: "served" in journal(podman, f"{name}-client"), "the page in the client's journal")
    equal(podman("exec", f"{name}-client", "cat", "/shared/page"), "served")
    equal(control(podman, "stop", f"{name}-pod").returncode, 0, "exit status of stop")
    for unit in scripts:
        wait_until(lambda unit=unit: state(podman, unit) in ("inactive", "failed"), f"{unit} stopped")  # type: ignore[misc]
    equal(podman.call("pod", "exists", name).status, 1, "`podman pod exists` afterwards")


KUBE = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: one
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "echo up; {wait}"]
"""


@check("services", "quadlet .kube: a service that is a pod")
def test_kube(podman: Podman) -> None:
    name = podman.new_pod()
    path = podman.new_file(KUBE.format(name=name, image=IMAGE, wait=WAIT))
    install(podman, {f"{name}.kube": f"[Kube]\nYaml={path}\nNetwork=none\n"})
    start(podman, name)
    equal(state(podman, name), "active")
    wait_until(lambda: "up\n" in journal(podman, name) or "up" in podman("logs", f"{name}-one"), "the output")
    equal(control(podman, "stop", name).returncode, 0, "exit status of stop")
    equal(podman.call("pod", "exists", name).status, 1, "`podman pod exists` afterwards")
