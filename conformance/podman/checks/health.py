"""Health checks that podman has systemd make time and again, and what podman does when one fails."""

from __future__ import annotations

from conformance.harness.checks import check, equal, wait_until
from conformance.harness.docker_checks import ON_TERM, status
from conformance.podman.harness import Podman

EVERY_SECOND = ["--health-interval", "1s", "--health-retries", "1", "--health-cmd"]


def health(podman: Podman, name: str) -> str:
    return podman.inspect(name, ".State.Health.Status")


@check("services", "--health-interval: healthy, unhealthy and healthy again")
def test_by_timer(podman: Podman) -> None:
    name = podman.start([*EVERY_SECOND, "test -e /healthy"], "sh", "-c", "touch /healthy; exec sleep 1000")
    wait_until(lambda: health(podman, name) == "healthy", "healthy")
    podman("exec", name, "rm", "/healthy")
    wait_until(lambda: health(podman, name) == "unhealthy", "unhealthy")
    equal(status(podman, name), "running")
    podman("exec", name, "touch", "/healthy")
    wait_until(lambda: health(podman, name) == "healthy", "healthy again")


@check("services", "--health-on-failure kill, stop")
def test_ended(podman: Podman) -> None:
    for action, code in (("kill", "137"), ("stop", "3")):
        name = podman.start(["--health-on-failure", action, *EVERY_SECOND, "test -e /healthy"], *ON_TERM)
        equal(podman("wait", name), code, action)
        equal("got TERM" in podman("logs", name), action == "stop", f"the process was asked to end by {action}")


@check("services", "--health-on-failure restart")
def test_restarted(podman: Podman) -> None:
    """The second run finds what the first has left, so it is healthy."""
    podman.need(5, "a restart by the health check's own unit")
    script = "echo run >>/runs; exec sleep 1000"
    test = "test $(wc -l </runs) -ge 2"
    name = podman.start(["--health-on-failure", "restart", *EVERY_SECOND, test], "sh", "-c", script)
    wait_until(lambda: podman.call("exec", name, "cat", "/runs").out.split() == ["run"] * 2, "a second run")
    wait_until(lambda: health(podman, name) == "healthy", "healthy")


@check("services", "--health-startup-cmd: the usual check begins when it has succeeded")
def test_startup(podman: Podman) -> None:
    podman.need(5, "startup health checks")
    options = [
        "--health-startup-cmd",
        "test -e /up",
        "--health-startup-interval",
        "1s",
        *EVERY_SECOND,
        "touch /checked",
    ]
    name = podman.start(options, "sleep", "1000")
    wait_until(lambda: podman.inspect(name, "len .State.Health.Log") != "0", "a startup check")
    equal(podman.call("exec", name, "test", "-e", "/checked").status, 1, "the usual check was made")
    podman("exec", name, "touch", "/up")
    wait_until(lambda: podman.call("exec", name, "test", "-e", "/checked").status == 0, "the usual check")
    wait_until(lambda: health(podman, name) == "healthy", "healthy")
