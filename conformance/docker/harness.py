"""docker and a daemon of its own with a runtime to check."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.harness.checks import Failed
from conformance.harness.daemon import daemon
from conformance.harness.docker_words import DockerWords

OTHER_DAEMON = Path("/run/docker.pid")


class Docker(DockerWords):
    """docker's command line, for a daemon that keeps all its files in one folder."""

    REMOVE = ("rm", "--force", "--volumes")

    def __init__(self, folder: Path, runtime: str, flags: Sequence[str], settings: dict[str, object]) -> None:
        """settings: more for the daemon.json."""
        self.folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        super().__init__(runtime, ["docker", "--host", self.socket])
        self.host_network = folder / "exec/netns/default"
        self.runtime_name = f"checked-{Path(runtime).name}"  # `runc` alone is a reserved name
        self.settings: dict[str, object] = {
            "hosts": [self.socket],
            "data-root": f"{folder}/data",
            "exec-root": f"{folder}/exec",
            "pidfile": f"{folder}/pid",
            "runtimes": {self.runtime_name: {"path": runtime, "runtimeArgs": [f"--{flag}" for flag in flags]}},
            "default-runtime": self.runtime_name,
            **settings,
        }

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """The daemon, while the block runs. Its bridge and firewall rules are the host's: there can be only one."""
        if not shutil.which("dockerd"):
            raise Failed("dockerd is missing: install docker.io and docker-cli")
        if OTHER_DAEMON.exists() and Path("/proc", OTHER_DAEMON.read_text().strip()).exists():
            raise Failed(f"another dockerd runs ({OTHER_DAEMON}): the two would change one firewall and one bridge")
        config = self.folder / "daemon.json"
        config.write_text(json.dumps(self.settings))
        words = ["dockerd", "--config-file", str(config)]
        with daemon(words, self.folder / "log", lambda: self.call("version").status == 0):
            yield
        subprocess.run(["umount", str(self.host_network)], check=False, capture_output=True)

    def state_folders(self) -> list[Path]:
        """Where dockerd lets the runtime keep its containers' state (--root)."""
        return list(self.folder.glob("exec/runtime-*/moby"))
