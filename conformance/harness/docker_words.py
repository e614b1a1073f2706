"""The commands that podman and docker spell alike."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.harness.checks import IMAGE, wait_until
from conformance.harness.engine import Engine


class DockerWords(Engine):
    """An engine with docker's command line; REMOVE is how it removes a container in any state, silently."""

    REMOVE: tuple[str, ...]

    def run_words(self, options: Sequence[str], *command: str) -> list[str]:
        """The words of a `run --rm`; without a network unless the options say which (it is the fastest)."""
        networked = any(option.startswith(("--network", "--pod", "-p")) for option in options)
        return ["run", "--rm", *([] if networked else ["--network", "none"]), *options, IMAGE, *command]

    def start(self, options: Sequence[str], *command: str) -> str:
        """Starts a container in the background; returns its name."""
        name = self.new_container()
        words = self.run_words(["--name", name, "-d", *options], *command)
        self(*(word for word in words if word != "--rm"))
        return name

    def create(self, options: Sequence[str], *command: str) -> str:
        """Makes a container without starting it; returns its name."""
        name = self.new_container()
        words = self.run_words(["--name", name, *options], *command)
        self("create", *(word for word in words[1:] if word != "--rm"))
        return name

    def inspect(self, name: str, template: str) -> str:
        """One value of a container, by a Go template such as .State.Status."""
        return self("container", "inspect", "--format", f"{{{{{template}}}}}", name)

    def logs_until(self, name: str, text: str) -> str:
        """Waits until the container has written this; returns its whole log."""
        wait_until(lambda: text in self("logs", name), f"{text!r} in the log of {name}")
        return self("logs", name)

    def new_container(self) -> str:
        return self.new_name(*self.REMOVE)

    def new_volume(self) -> str:
        return self.new_name("volume", "rm", "--force")

    def new_network(self) -> str:
        return self.new_name("network", "rm", "--force")
