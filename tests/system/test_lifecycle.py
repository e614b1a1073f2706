"""The life cycle of runtime.md: create, start, state, kill, delete, and what each refuses in which status."""

import contextlib
import json
import re
from collections.abc import Iterator

import jsonschema
import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.removal import remove_tree
from tests.runtime import CHECKOUT, Container, Runtime, error_text, new_id
from tests.waiting import eventually, exit_code


@contextlib.contextmanager
def container_in(status: str, runtime: Runtime, bundle: Bundle) -> Iterator[str]:
    """The id of a container in this status; 'missing' is an id that nobody has created."""
    if status == "missing":
        yield new_id()
        return
    with runtime.created(bundle.shell("exec sleep 1000")) as container:
        if status != "created":
            container.start()
        if status == "stopped":
            pid = container.pid
            container.kill("KILL")
            exit_code(pid)
        assert container.status == status
        yield container.id


@pytest.mark.parametrize(
    "command, status",
    [
        ("start", "created"),
        ("state", "created"),
        ("state", "running"),
        ("state", "stopped"),
        ("kill", "created"),
        ("kill", "running"),
        ("delete", "created"),
        ("delete", "stopped"),
        ("delete --force", "missing"),
        ("delete --force", "created"),
        ("delete --force", "running"),
        ("delete --force", "stopped"),
    ],
)
def test_command_is_allowed(runtime: Runtime, bundle: Bundle, command: str, status: str) -> None:
    with container_in(status, runtime, bundle) as container_id:
        result = runtime.call(*command.split(), container_id)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""


REFUSED = [
    ("start", "missing", "does not exist"),
    ("state", "missing", "does not exist"),
    ("kill", "missing", "does not exist"),
    ("delete", "missing", "does not exist"),
    ("start", "running", "running"),
    ("start", "stopped", "stopped"),
    ("kill", "stopped", "not running"),
    ("delete", "running", "not stopped"),
]


@pytest.mark.parametrize("command, status", [(command, status) for command, status, _ in REFUSED])
def test_command_is_refused(runtime: Runtime, bundle: Bundle, command: str, status: str) -> None:
    with container_in(status, runtime, bundle) as container_id:
        error_text(runtime.call(command, container_id))
        if status != "missing":
            assert json.loads(runtime.state(container_id).stdout)["status"] == status


@pytest.mark.parametrize("command, status, reason", REFUSED)
@differs(crun="1.8.1 names its files and system calls, not the container's status")
def test_refusal_names_the_reason(runtime: Runtime, bundle: Bundle, command: str, status: str, reason: str) -> None:
    with container_in(status, runtime, bundle) as container_id:
        error_text(runtime.call(command, container_id), reason)


@only_pyrunc("has no --strict")
def test_strict_delete_refuses_a_created_container(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        error_text(runtime.delete(container.id, "--strict"), container.id, "created")
        assert container.status == "created"


def test_state_document(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example.key": "väl/ue", "empty": ""}
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        state = container.state()
        assert state["ociVersion"]
        assert state["id"] == container.id
        assert state["status"] == "running"
        assert state["bundle"] == str(bundle.path)
        assert state["annotations"] == bundle.config["annotations"]
        assert state["pid"] > 1
        # Not the specification's, but all runtimes tell it.
        assert bundle.path / state["rootfs"] == bundle.rootfs
        assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z$", state["created"])
        assert state["owner"] in ("root", "")  # runc: the name in `list` alone
        container.kill("KILL")
        exit_code(state["pid"])
        stopped = container.state()
        assert stopped["status"] == "stopped"
        assert stopped.get("pid", 0) == 0


def test_state_is_read_by_people_and_by_grep(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example.key": "a\nb\x9b", "empty": ""}
    with runtime.created(bundle) as container:
        lines = runtime.state(container.id).stdout.splitlines()
        assert '  "status": "created",' in lines
        assert f'  "id": "{container.id}",' in lines
        assert '    "empty": ""' in [line.rstrip(",") for line in lines]
        assert container.state()["annotations"] == bundle.config["annotations"]


def test_state_fits_the_schema(runtime: Runtime, bundle: Bundle) -> None:
    schema = json.loads((CHECKOUT / "oci-schemas/state.schema.json").read_text())
    with runtime.created(bundle) as container:
        for step in (lambda: None, container.finish):
            step()
            jsonschema.validate(container.state(), schema)


def test_run_returns_output_and_exit_code(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle.shell("echo hello; exit 7"))
    assert (result.returncode, result.stdout) == (7, "hello\n")


def test_run_returns_128_plus_the_signal(runtime: Runtime, bundle: Bundle) -> None:
    # The first process of a pid namespace gets no signal from within, so it is the container's shell that is outside.
    assert runtime.run(bundle.share("pid").shell("kill -9 $$")).returncode == 128 + 9


def test_run_detached_leaves_the_container_running(runtime: Runtime, bundle: Bundle) -> None:
    container = Container(runtime, new_id(), bundle)
    result = runtime.run(bundle.shell("exec sleep 1000"), "--detach", container_id=container.id)
    assert result.returncode == 0, result.stderr
    assert container.status == "running"
    assert runtime.delete(container.id, "--force").returncode == 0


@differs(crun="1.8.1 has no --keep")
def test_run_keep_leaves_a_stopped_container(runtime: Runtime, bundle: Bundle) -> None:
    container = Container(runtime, new_id(), bundle)
    assert runtime.run(bundle, "--keep", container_id=container.id).returncode == 0
    assert container.status == "stopped"
    assert runtime.delete(container.id).returncode == 0


def test_run_removes_the_container(runtime: Runtime, bundle: Bundle) -> None:
    container_id = new_id()
    assert runtime.run(bundle, container_id=container_id).returncode == 0
    error_text(runtime.state(container_id))


def test_create_blocks_before_the_users_program(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("touch /ran; echo ran")) as container:
        assert container.status == "created"
        assert not (bundle.rootfs / "ran").exists()
        assert container.finish() == "ran\n"
        assert (bundle.rootfs / "ran").exists()


def test_config_changes_after_create_have_no_effect(runtime: Runtime, bundle: Bundle) -> None:
    bundle.hook("poststop", f"touch {bundle.path}/poststop")
    with runtime.created(bundle.shell("echo before")) as container:
        del bundle.config["hooks"]
        bundle.shell("echo after").save(container.id)
        assert container.finish() == "before\n"
    assert (bundle.path / "poststop").exists()


@differs(runc="1.1.5 reads the bundle's config again")
def test_config_changes_after_create_have_no_effect_on_exec(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"].append("WHEN=before")
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        bundle.process["env"][-1] = "WHEN=after"
        bundle.save(container.id)
        assert runtime.call("exec", container.id, "sh", "-c", "echo $WHEN").stdout == "before\n"


def test_config_without_a_process_after_create_has_no_effect(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("echo before")) as container:
        del bundle.config["process"]
        bundle.save(container.id)
        assert container.finish() == "before\n"


def test_everything_works_without_the_bundle(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle.shell("exec sleep 1000")) as container:
        (bundle.path / "config.json").unlink()
        container.start()
        assert container.status == "running"
        pid = container.pid
        remove_tree(bundle.path)
        container.kill("KILL")
        exit_code(pid)
        assert container.status == "stopped"
        assert runtime.delete(container.id).returncode == 0


def test_created_container_that_died_cannot_start(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        error_text(runtime.start(container.id))
        assert container.status == "stopped"


def test_zombie_counts_as_stopped(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        pid = container.pid
        container.kill("KILL")
        # Nobody reaps the process before `delete`, as when buildah polls the state.
        eventually(lambda: container.status == "stopped", "the zombie to count as stopped")
        assert runtime.delete(container.id).returncode == 0
        assert exit_code(pid) == -9


@differs(crun="heads the list NAME instead of ID")
def test_list_table(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        header, line = runtime.call("list").stdout.splitlines()
        assert header.split()[:4] == ["ID", "PID", "STATUS", "BUNDLE"]
        assert line.split()[:4] == [container.id, str(container.pid), "created", str(bundle.path)]


def test_list(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle) as container:
        (entry,) = runtime.list_json()
        assert (entry["id"], entry["status"], entry["pid"]) == (container.id, "created", container.pid)
        assert entry["bundle"] == str(bundle.path)
        quiet = runtime.call("list", "--quiet")
        assert (quiet.returncode, quiet.stdout) == (0, container.id + "\n")
    assert runtime.list_json() == []


def test_same_id_twice(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        error_text(runtime.create(bundle, container.id), "already exists")
        assert container.status == "running"
        pid = container.pid
        container.kill("KILL")
        exit_code(pid)
        error_text(runtime.create(bundle, container.id), "already exists")
        assert runtime.delete(container.id).returncode == 0
        assert runtime.create(bundle, container.id).returncode == 0


@differs(runc="1.1.5 fails when a killed create has left its temporary file")
def test_stale_temporary_pid_file_is_no_obstacle(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / ".pid").write_text("stale")
    with runtime.created(bundle, "--pid-file", bundle.path / "pid") as container:
        assert (bundle.path / "pid").read_text().strip() == str(container.pid)


def test_pid_file_holds_the_pid_in_decimal(runtime: Runtime, bundle: Bundle) -> None:
    pid_file = bundle.path / "pid"
    pid_file.write_text("77777777 what an earlier container left")
    with runtime.created(bundle, "--pid-file", pid_file) as container:
        assert pid_file.read_text().strip() == str(container.pid)
    names = sorted(path.name for path in bundle.path.iterdir() if "pid" in path.name)
    assert names == ["pid"]


def test_pid_file_is_relative_to_the_callers_directory(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(bundle, "--pid-file", "relative.pid", cwd=bundle.path) as container:
        assert (bundle.path / "relative.pid").read_text().strip() == str(container.pid)


def test_pid_file_in_a_missing_directory(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(bundle, "no such file", options=("--pid-file", bundle.path / "no/pid"))


@pytest.mark.parametrize("name", ["link", "./link/", "link/../link/."])
def test_bundle_in_the_state_has_no_symlinks(runtime: Runtime, bundle: Bundle, name: str) -> None:
    """Nor `..`: the link may be gone when a hook looks for what is in the bundle."""
    container_id = new_id()
    bundle.save(container_id)
    (bundle.path.parent / "link").symlink_to(bundle.path.name)
    result = runtime.call("create", "--bundle", name, container_id, cwd=bundle.path.parent)
    try:
        assert result.returncode == 0, result.stderr
        assert json.loads(runtime.state(container_id).stdout)["bundle"] == str(bundle.path.resolve())
    finally:
        runtime.delete(container_id, "--force")


def test_bundle_defaults_to_the_current_directory(runtime: Runtime, bundle: Bundle) -> None:
    container_id = new_id()
    bundle.shell("echo here").save(container_id)
    result = runtime.call("run", container_id, cwd=bundle.path)
    assert (result.returncode, result.stdout) == (0, "here\n")
