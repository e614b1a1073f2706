"""podman with a runtime to check."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from conformance.harness.docker_words import DockerWords

HOST_PROGRAMS = ["-v", "/usr:/usr:ro"]  # the image's /lib and /lib64 lead there: the host's dynamic programs run


class Podman(DockerWords):
    """podman's command line."""

    REMOVE = ("rm", "--force", "--ignore", "--volumes", "--time", "0")

    def __init__(self, runtime: str, flags: Sequence[str], manager: str | None) -> None:
        super().__init__(runtime, ["podman", "--runtime", runtime, *(f"--runtime-flag={flag}" for flag in flags)])
        if manager:
            self.command.append(f"--cgroup-manager={manager}")

    def need(self, major: int, what: str) -> None:
        """Skips the check where this podman is older: it does not have that."""
        if int(self("version", "--format", "{{.Client.Version}}").partition(".")[0]) < major:
            pytest.skip(f"podman {major} has {what}, this one has not")

    def new_pod(self) -> str:
        return self.new_name("pod", "rm", "--force", "--ignore", "--time", "0")
