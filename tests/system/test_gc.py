"""gc: what killed commands have left goes, and nothing else."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Runtime, error_text, new_id
from tests.waiting import eventually, exit_code

pytestmark = only_pyrunc("has no gc")


def collected(runtime: Runtime, *options: str) -> "list[dict[str, str]]":
    """What gc tells."""
    result = runtime.call("gc", "--json", *options)
    assert (result.returncode, result.stderr) == (0, "")
    value: list[dict[str, str]] = json.loads(result.stdout)
    return value


def killed_create(runtime: Runtime, bundle: Bundle) -> str:
    """The id of a container whose create was killed in a hook, when all of its resources were made."""
    container_id, reached = new_id(), bundle.path / "reached"
    bundle.hook("createRuntime", f"touch {reached}; exec sleep 1000").save(container_id)
    create = runtime.popen("create", "-b", str(bundle.path), container_id)
    eventually(reached.exists, "the hook to run")
    create.kill()
    create.wait()
    hook = subprocess.run(["pkill", "-f", "-KILL", "^sleep 1000$"], check=False)
    assert hook.returncode in (0, 1)
    return container_id


def test_a_killed_create_is_removed_with_its_cgroup(runtime: Runtime, bundle: Bundle) -> None:
    container_id = killed_create(runtime, bundle)
    cgroup = Path(CGROUP_ROOT) / bundle.linux["cgroupsPath"].lstrip("/")
    eventually(lambda: not (cgroup / "cgroup.procs").read_text(), "init to die with its create")
    assert [entry["id"] for entry in collected(runtime, "--dry-run")] == [container_id]
    assert cgroup.exists()
    assert collected(runtime) == [{"id": container_id, "reason": "its create did not come to its end"}]
    assert not cgroup.exists()
    assert not (runtime.root / container_id).exists()
    assert collected(runtime) == []


def test_a_container_that_ended_before_it_was_started_is_removed(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        os.kill(pid, signal.SIGKILL)
        exit_code(pid)
        [entry] = collected(runtime)
        assert entry["id"] == container.id
        assert "before it was started" in entry["reason"]
        assert "does not exist" in error_text(runtime.state(container.id))


def test_what_lives_or_has_run_stays(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("exit 0")) as container:
        assert collected(runtime) == []
        pid = container.pid
        container.start()
        exit_code(pid)
        assert container.status == "stopped"
        assert collected(runtime) == []
        assert container.status == "stopped"


def test_a_running_container_stays(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        assert collected(runtime) == []
        assert container.status == "running"


def test_a_create_that_is_at_work_is_left_alone(runtime: Runtime, bundle: Bundle) -> None:
    container_id, reached, go_on = new_id(), bundle.path / "reached", bundle.path / "go on"
    waiting = f"touch {reached}; while [ ! -e '{go_on}' ]; do sleep 0.01; done"
    bundle.hook("createRuntime", waiting).save(container_id)
    create = runtime.popen("create", "-b", str(bundle.path), container_id)
    eventually(reached.exists, "the hook to run")
    assert collected(runtime) == []
    go_on.touch()
    assert create.wait(30) == 0
    assert json.loads(runtime.state(container_id).stdout)["status"] == "created"
    assert runtime.delete(container_id, "--force").returncode == 0


@pytest.mark.parametrize("name", [".claim-box-0123456789abcdef", ".deleted-box-0123456789abcdef"])
def test_directories_that_were_being_made_or_removed(runtime: Runtime, name: str) -> None:
    left = runtime.root / name
    left.mkdir(parents=True)
    (left / "journal").write_text("")
    assert collected(runtime, "--dry-run") == collected(runtime, "-n")
    assert left.exists()
    [entry] = collected(runtime)
    assert entry["directory"] == str(left)
    assert not left.exists()


def test_a_container_of_an_earlier_boot_is_removed(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("exit 0")) as container:
        pid = container.pid
        container.start()
        exit_code(pid)
        mark = runtime.root / container.id / "boot"
        words = os.readlink(mark).split(" ")
        mark.unlink()
        mark.symlink_to(f"00000000-0000-4000-8000-000000000000 {words[1]}")
        [entry] = collected(runtime)
        assert entry == {"id": container.id, "reason": "the machine has been booted since it was created"}
        cgroup = Path(CGROUP_ROOT) / bundle.linux["cgroupsPath"].lstrip("/")
        if cgroup.exists():  # of this boot, which the state no longer speaks of
            cgroup.rmdir()


def test_one_that_cannot_be_removed_hides_no_other(runtime: Runtime, bundle: Bundle) -> None:
    """Its state says that it was created in another pid namespace, so that it may live."""
    with runtime.created(bundle) as container:
        pid = container.pid
        os.kill(pid, signal.SIGKILL)
        exit_code(pid)
        file = runtime.root / container.id / "state.json"
        state = json.loads(file.read_text())
        file.write_text(json.dumps(state | {"seenFrom": [1, 2], "cgroup": ""}))
        (runtime.root / ".deleted-x-0123456789abcdef").mkdir()
        assert f"`{container.id}`: cannot tell whether" in error_text(runtime.call("gc"))
        assert not (runtime.root / ".deleted-x-0123456789abcdef").exists()
        file.write_text(json.dumps(state))


@pytest.mark.parametrize("journal", ["", '["id", "somebody"]\n', "x"])
def test_what_is_not_a_container_stays(runtime: Runtime, journal: str) -> None:
    """With a --root that is another's place."""
    other = runtime.root / "other"
    other.mkdir(mode=0o700, parents=True)
    (other / "journal").write_text(journal)
    assert collected(runtime) == []
    assert (other / "journal").read_text() == journal
    shutil.rmtree(other)


def test_words_for_people(runtime: Runtime, bundle: Bundle) -> None:
    container_id = killed_create(runtime, bundle)
    result = runtime.call("gc")
    assert result.stdout == f"{container_id}: its create did not come to its end\n"
