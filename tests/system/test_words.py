"""The words by which scripts and engines that were written for runc tell errors apart."""

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Container, Runtime, error_text, new_id
from tests.waiting import eventually, exit_code

OWN_WORDS = "has words of its own"


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle):
    with runtime.running(bundle.shell("exec sleep 1000")) as running:
        yield running


def script(bundle: Bundle, first_line: str) -> None:
    """Let /run.sh in the container begin so."""
    (bundle.rootfs / "run.sh").write_text(f"{first_line}\n")
    (bundle.rootfs / "run.sh").chmod(0o755)


@differs(crun=OWN_WORDS)
def test_interpreter_that_is_missing(runtime: Runtime, bundle: Bundle, container: Container) -> None:
    """docker's exit status 127 depends on the letters."""
    script(bundle, "#!/no/such/shell")
    words = "exec /run.sh: no such file or directory"
    assert words in error_text(runtime.call("exec", container.id, "/run.sh"))
    bundle.process["args"] = ["/run.sh"]
    del bundle.linux["cgroupsPath"]
    assert words in error_text(runtime.run(bundle))


@differs(crun=OWN_WORDS)
def test_file_that_is_no_program(runtime: Runtime, bundle: Bundle) -> None:
    script(bundle, "\x7f")
    bundle.process["args"] = ["/run.sh"]
    assert "exec /run.sh: exec format error" in error_text(runtime.run(bundle))


@differs(crun="says that it is not a regular file", runc="says that it is a directory")
def test_directory_is_denied(runtime: Runtime, bundle: Bundle, container: Container) -> None:
    words = "exec `/etc`: permission denied"
    assert words in error_text(runtime.call("exec", container.id, "/etc"))
    bundle.process["args"] = ["/etc"]
    del bundle.linux["cgroupsPath"]
    assert words in runtime.create_fails(bundle)


@differs(crun=OWN_WORDS)
def test_statuses(runtime: Runtime, container: Container) -> None:
    def refused(words: str, *command: str) -> None:
        assert words in error_text(runtime.call(*command))

    refused("cannot start an already running container", "start", container.id)
    refused("container not paused", "resume", container.id)
    assert runtime.call("pause", container.id).returncode == 0
    refused("cannot exec in a paused container (use --ignore-paused to override)", "exec", container.id, "true")
    refused("cannot start a container in the paused state", "start", container.id)
    refused("container not running", "pause", container.id)
    refused("that is not stopped: paused", "delete", container.id)
    assert runtime.call("resume", container.id).returncode == 0
    pid = container.pid
    container.kill()
    exit_code(pid)
    refused("cannot start a container that has stopped", "start", container.id)
    refused("cannot exec in a stopped container", "exec", container.id, "true")
    for command in ("pause", "kill"):
        refused("container not running", command, container.id)


@differs(crun="puts the container there, and waits without end for one that is frozen")
@pytest.mark.parametrize("frozen", [False, True])
def test_cgroup_in_use(runtime: Runtime, bundle: Bundle, container: Container, frozen: bool) -> None:
    cgroup = CGROUP_ROOT / f"{CGROUP_PARENT}/{new_id()}".strip("/")
    bundle.linux["cgroupsPath"] = str(cgroup).removeprefix(str(CGROUP_ROOT))
    cgroup.mkdir()
    (cgroup / "cgroup.freeze" if frozen else cgroup / "cgroup.procs").write_text("1" if frozen else str(container.pid))
    words = "container's cgroup unexpectedly frozen" if frozen else "container's cgroup is not empty"
    try:
        assert words in error_text(runtime.run(bundle))
    finally:
        container.kill()
        if frozen:
            (cgroup / "cgroup.freeze").write_text("0")
        eventually(lambda: not (cgroup / "cgroup.procs").read_text(), "the cgroup to be empty")
        cgroup.rmdir()
