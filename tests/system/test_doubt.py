"""A state is removed only when the container has surely ended: what cannot be seen is not taken for gone."""

import json
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.runtime import Container, Runtime, error_text
from tests.waiting import exit_code

VIEWS = {
    "time namespace": ("unshare", "-T", "--boottime", "1000", "--fork"),
    "pid namespace": ("unshare", "-p", "--fork", "--mount-proc"),
    "no /proc": ("unshare", "-m", "sh", "-c", 'busybox umount -l /proc; exec "$@"', "sh"),
}
FORGETS = differs(crun="kills what is in the cgroup, without --force, too", runc="1.1.5 forgets it")


@FORGETS
@pytest.mark.parametrize("options", [(), ("--force",)], ids=["delete", "delete --force"])
@pytest.mark.parametrize("view", VIEWS)
def test_container_that_only_looks_gone(runtime: Runtime, bundle: Bundle, view: str, options: tuple[str, ...]) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        error_text(runtime.behind(*VIEWS[view]).delete(container.id, *options), "cannot tell whether", container.id)
        assert (container.status, container.pid) == ("running", pid)


@differs(crun="1.8.1 does nothing without /proc", runc="1.1.5 warns of its cgroup without /proc")
@pytest.mark.parametrize("view", VIEWS)
def test_container_that_has_ended_is_seen_by_its_empty_cgroup(runtime: Runtime, bundle: Bundle, view: str) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        container.kill()
        exit_code(pid)
        deleted = runtime.behind(*VIEWS[view]).delete(container.id)
        assert (deleted.returncode, deleted.stderr) == (0, "")


@only_pyrunc("this is pyrunc's state")
@pytest.mark.parametrize("change", [{"startTime": 7}, {"startTime": "7"}, {"startTime": None}, {"pid": 1 << 22}])
def test_damaged_identity(runtime: Runtime, bundle: Bundle, change: dict[str, object]) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        rewrite(container, **change)
        error_text(runtime.delete(container.id), container.id)
        assert Path(f"/proc/{pid}/exe").exists()
        assert runtime.delete(container.id, "--force").returncode == 0
        assert exit_code(pid) == -9


@only_pyrunc("this is pyrunc's state")
def test_identity_that_is_damaged_wherever_it_was_written(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        path = runtime.root / container.id
        kept = {name: (path / name).read_bytes() for name in ("state.json", "journal")}
        (path / "state.json").write_bytes(b"{")
        lines = [line for line in kept["journal"].splitlines(keepends=True) if b'"init"' not in line]
        (path / "journal").write_bytes(b"".join(lines))
        error_text(runtime.delete(container.id, "--force"), "cannot tell whether", "does not name its first process")
        for name, content in kept.items():
            (path / name).write_bytes(content)
        assert container.status == "running"


@only_pyrunc("this is pyrunc's state")
def test_state_of_an_older_version(runtime: Runtime, bundle: Bundle) -> None:
    """It does not say from where its processes were seen."""
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        rewrite(container, seenFrom=None)
        refused = runtime.behind(*VIEWS["time namespace"]).delete(container.id, "--force")
        error_text(refused, "cannot tell whether", "its cgroup is not empty")
        assert container.status == "running"
        assert runtime.delete(container.id, "--force").returncode == 0


def rewrite(container: Container, **members: object) -> None:
    path = container.runtime.root / container.id / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))
