"""--pid-file of a container that is not to be: nobody finds a pid in it."""

from pathlib import Path

from tests.bundle import Bundle
from tests.peers import differs
from tests.runtime import Runtime, error_text, new_id


@differs(crun="1.8.1 leaves it", runc="has no --pidfd-socket before 1.2")
def test_create_that_fails_behind_it(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    options = ("--pid-file", area / "pid", "--pidfd-socket", area / "none")
    runtime.create_fails(bundle, "pidfd socket", options=options)
    assert not (area / "pid").exists()


@differs(crun="1.8.1 does not fail")
def test_run_whose_poststart_hook_fails(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    container_id = new_id()
    bundle.shell("exec sleep 1000").hook("poststart", "exit 1")
    result = runtime.run(bundle, "--detach", "--pid-file", area / "pid", container_id=container_id)
    error_text(result, "hook #0")
    assert not (area / "pid").exists()
    assert runtime.delete(container_id, "--force").returncode == 0


def test_run_that_succeeds(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    assert runtime.run(bundle.shell("true"), "--pid-file", area / "pid").returncode == 0
    assert (area / "pid").read_text().strip().isdecimal()
