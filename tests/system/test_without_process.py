"""A config without `process`, and parts of the process object that have no effect (config.md, "Process")."""

import json
from pathlib import Path

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime, error_text

WANTS_A_PROCESS = differs(crun="1.8.1 ends with an internal error", runc="1.1.5 refuses it in create")


@WANTS_A_PROCESS
def test_create_needs_no_process(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.config["process"]
    with runtime.created(bundle) as container:
        assert container.status == "created"
        assert Path(f"/proc/{container.pid}/root/proc/self").is_symlink()


@WANTS_A_PROCESS
def test_start_without_a_process_is_an_error_of_no_effect(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.config["process"]
    with runtime.created(bundle) as container:
        before = container.state()
        error_text(runtime.start(container.id), "process")
        assert container.state() == before


def test_console_size_without_a_terminal_is_ignored(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["consoleSize"] = {"height": 7, "width": 70}
    assert runtime.output(bundle, "tty; echo done").split() == ["not", "a", "tty", "done"]


@differs(crun="1.8.1 gives exec its own", runc="1.1.5 gives exec its own")
def test_umask_of_the_config_holds_for_exec(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.process["user"]["umask"] = 0o27
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        result = runtime.call("exec", container.id, "sh", "-c", "umask")
        assert (result.returncode, result.stdout.strip()) == (0, "0027")
        (area / "process").write_text(
            json.dumps(bundle.process | {"user": {"uid": 0, "gid": 0, "umask": 0o77}, "args": ["sh", "-c", "umask"]})
        )
        result = runtime.call("exec", "--process", area / "process", container.id)
        assert (result.returncode, result.stdout.strip()) == (0, "0077")
