"""ctr and a containerd of its own with a runtime to check."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.harness.checks import IMAGE, Failed
from conformance.harness.daemon import daemon
from conformance.harness.engine import Engine

NAMESPACE = "runtime-checks"
# The entry that docs/engines.md shows: the shim is runc's, the program that it calls is BinaryName.
CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"

[grpc]
  address = "{folder}/socket"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "checked"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.checked]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.checked.options]
  BinaryName = "{runtime}"
  SystemdCgroup = {systemd}

[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "{folder}/cni"
"""


class Containerd(Engine):
    """ctr's command line, for a containerd that keeps all its files in one folder."""

    def __init__(self, folder: Path, runtime: str, manager: str) -> None:
        self.folder = folder
        self.manager = manager
        self.socket = folder / "socket"
        super().__init__(runtime, ["ctr", "--address", str(self.socket), "--namespace", NAMESPACE])

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """The daemon, while the block runs."""
        if not shutil.which("containerd"):
            raise Failed("containerd is missing: install containerd")
        config = self.folder / "config.toml"
        systemd = "true" if self.manager == "systemd" else "false"
        config.write_text(CONFIG.format(folder=self.folder, image=IMAGE, runtime=self.runtime, systemd=systemd))
        words = ["containerd", "--config", str(config), "--log-level", "info"]
        with daemon(words, self.folder / "log", lambda: self.call("version").status == 0):
            yield

    def state_folders(self) -> list[Path]:
        """Where the shim lets the runtime keep its containers' state (--root): of ctr's, and of pods."""
        return [Path("/run/containerd/runc") / namespace for namespace in (NAMESPACE, "k8s.io")]

    def runtime_words(self, name: str) -> list[str]:
        """ctr's options that choose the runtime and the cgroup manager."""
        words = ["--runc-binary", self.runtime]
        if self.manager == "systemd":
            words += ["--runc-systemd-cgroup", "--cgroup", f"system.slice:ctr:{name}"]
        return words

    def run_words(self, options: Sequence[str], *command: str) -> list[str]:
        name = self.new_container()
        return ["run", "--rm", *self.runtime_words(name), *options, IMAGE, name, *command]

    def start(self, options: Sequence[str], *command: str) -> str:
        """Starts a container in the background, its output thrown away; returns its name."""
        name = self.new_container()
        self("run", "--detach", "--null-io", *self.runtime_words(name), *options, IMAGE, name, *command)
        return name

    def exec(self, name: str, *command: str) -> str:
        """The output of a process in a running container."""
        return self(*self.exec_words(name), *command)

    def exec_words(self, name: str, *options: str) -> list[str]:
        self.serial += 1
        return ["task", "exec", "--exec-id", f"exec-{self.serial}", *options, name]

    def status(self, name: str) -> str:
        """RUNNING, STOPPED, ... as `ctr task list` says, or nothing where there is no such task."""
        for line in self("task", "list").splitlines():
            task, _, status = line.split()
            if task == name:
                return status
        return ""

    def new_container(self) -> str:
        self.serial += 1
        name = f"{self.prefix}-{self.serial}"
        self.undo.callback(self.remove, name)
        return name

    def remove(self, name: str) -> None:
        """Removes task and container, if they are there: `--rm` and a check may have done so."""
        if self.status(name):
            result = self.call("task", "delete", "--force", name)
            if self.status(name):
                raise Failed(str(result))
        if name in self("container", "list", "--quiet").split():
            self("container", "delete", name)
