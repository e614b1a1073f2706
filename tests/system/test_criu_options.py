"""What of the command lines of checkpoint and restore reaches CRIU, seen by a stand-in that writes its requests down.

The numbers are those of CRIU's images/rpc.proto. That CRIU does what is asked is tested in test_checkpoint.py,
test_checkpoint_memory.py and test_checkpoint_options.py.
"""

import os
import signal
from pathlib import Path

import pytest
from pyrunc.kernel.process import lsm
from pyrunc.wings.criu import rpc

from tests import fakecriu
from tests.bundle import Bundle
from tests.checkpoints import require_large_pipes
from tests.peers import PEERS
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Container, Runtime, caller_environment, error_text, new_id
from tests.waiting import eventually

pytestmark = pytest.mark.differs(**dict.fromkeys(PEERS, "it is pyrunc's requests that are read here"))
DUMP, RESTORE, PRE_DUMP = 1, 2, 4
_PAGE_SERVER = bytes((0x0A, 3)) + b"::1" + bytes((0x10, 0x50))  # criu_page_server_info: address, port 80


@pytest.fixture
def fake(area: Path) -> dict[str, str]:
    return fakecriu.install(area / "fake")


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle):
    with runtime.running(bundle.shell("sleep 1000")) as container:
        yield container


def ask(container: Container, fake: dict[str, str], area: Path, command: str, *options: str):
    images = area / "images"
    images.mkdir(exist_ok=True)
    (area / "images/parent").mkdir(exist_ok=True)
    bundle = ("--bundle", container.bundle.path) if command == "restore" else ()
    name = f"{container.id}r" if command == "restore" else container.id
    return container.runtime.call(
        command, *bundle, "--image-path", images, *options, name, env=caller_environment(**fake)
    )  # fmt: skip


def request(area: Path) -> tuple[int, dict[int, int | bytes]]:
    """The type of the last request and its options by number."""
    line = (area / "fake/requests").read_text().splitlines()[-1]
    fields = rpc.decode(bytes.fromhex(line))
    kind, options = fields[1], fields[2]
    assert isinstance(kind, int)
    assert isinstance(options, bytes)
    return kind, rpc.decode(options)


BOTH = [
    (["--tcp-established"], 5, 1),
    (["--ext-unix-sk"], 4, 1),
    (["--shell-job"], 7, 1),
    (["--file-locks"], 8, 1),
    (["--empty-ns", "network"], 38, 0x40000000),
    (["--auto-dedup"], 16, 1),
    (["--manage-cgroups-mode", "ignore"], 34, 0),
    ([], 34, 3),
    (["--network-lock", "nftables"], 64, 2),
    ([], 50, 1),
    ([], 12, 1),
]


@pytest.mark.parametrize(("options", "number", "value"), [
    *BOTH,
    (["--manage-cgroups-mode=strict"], 34, 5),
    (["--leave-running", "--leave-running"], 3, 1),
    (["--parent-path", "parent"], 14, b"parent"),
    (["--parent-path", "parent"], 15, 1),
    (["--tcp-skip-in-flight"], 46, 1),
    (["--link-remap"], 18, 1),
    (["--page-server", "[::1]:80"], 11, _PAGE_SERVER),
    (["--status-fd", "2"], 49, 2),
    ([], 10, b"dump.log"),
])  # fmt: skip
def test_checkpoint(
    container: Container, fake: dict[str, str], area: Path, options: list[str], number: int, value: int | bytes
) -> None:
    pid = container.pid
    assert ask(container, fake, area, "checkpoint", "--leave-running", *options).returncode == 0
    kind, asked = request(area)
    assert (kind, asked[number], asked[2]) == (DUMP, value, pid)
    assert container.status == "running"


def test_checkpoint_ends_the_container_and_writes_where_it_is_told(
    container: Container, fake: dict[str, str], area: Path
) -> None:
    assert ask(container, fake, area, "checkpoint", "--work-path", str(area / "work")).returncode == 0
    assert (area / "work").is_dir()
    error_text(container.runtime.state(container.id), "does not exist")


def test_lazy_pages(container: Container, fake: dict[str, str], area: Path) -> None:
    require_large_pipes()
    assert ask(container, fake, area, "checkpoint", "--leave-running", "--lazy-pages").returncode == 0
    assert request(area)[1][48] == 1


def test_pre_dump(container: Container, fake: dict[str, str], area: Path) -> None:
    assert ask(container, fake, area, "checkpoint", "--pre-dump").returncode == 0
    kind, asked = request(area)
    assert (kind, asked[15]) == (PRE_DUMP, 1)
    assert container.status == "running"


ACCEPTED = ("--no-pivot", "--no-subreaper")  # for compatibility


@pytest.mark.parametrize(("options", "number", "value"), [
    *BOTH,
    (["--lazy-pages"], 48, 1),
    (["--manage-cgroups-mode=strict"], 34, 4),  # full: whether the container's own was there is looked for before
    (["--tcp-close"], 52, 1),
    (["--lsm-profile", "selinux:a_t"], 53, b"selinux:a_t"),
    ([], 26, 1),
    ([], 10, b"restore.log"),
])  # fmt: skip
def test_restore(
    container: Container, fake: dict[str, str], area: Path, options: list[str], number: int, value: int | bytes
) -> None:
    container.bundle.linux["cgroupsPath"] += "-restored"
    container.bundle.save(container.id)
    error_text(ask(container, fake, area, "restore", *ACCEPTED, "--detach", *options), "restore.log", "invalid")
    kind, asked = request(area)
    assert (kind, asked[number]) == (RESTORE, value)


def test_mount_context(container: Container, fake: dict[str, str], area: Path) -> None:
    """Without SELinux CRIU passes over it."""
    container.bundle.linux["cgroupsPath"] += "-restored"
    container.bundle.save(container.id)
    failed = ask(container, fake, area, "restore", "--detach", "--lsm-mount-context=b_t")
    if lsm.selinux_enabled():
        error_text(failed, "restore.log")
        assert request(area)[1][63] == b"b_t"
    else:
        error_text(failed, "--lsm-mount-context", "SELinux is not enabled")
        assert not (area / "fake/requests").exists()


def test_annotation_names_a_configuration_for_criu(
    runtime: Runtime, bundle: Bundle, fake: dict[str, str], area: Path
) -> None:
    bundle.config["annotations"] = {"org.criu.config": "/etc/criu/mine.conf"}
    with runtime.running(bundle.shell("sleep 1000")) as container:
        assert ask(container, fake, area, "checkpoint", "--leave-running").returncode == 0
    assert request(area)[1][51] == b"/etc/criu/mine.conf"


@pytest.mark.parametrize(("options", "fragments"), [
    (["--empty-ns", "ipc"], ["--empty-ns", "ipc"]),
    (["--manage-cgroups-mode", "nonsense"], ["--manage-cgroups-mode", "nonsense", "soft"]),
    (["--network-lock", "nonsense"], ["--network-lock", "nftables"]),
    (["--page-server", "here"], ["--page-server", "ADDRESS:PORT"]),
    (["--parent-path", "/absolute"], ["--parent-path", "relative"]),
    (["--parent-path", "nothing"], ["--parent-path", "no such file"]),
    (["--status-fd", "x"], ["status-fd"]),
])  # fmt: skip
def test_refused_before_criu_is_asked(
    container: Container, fake: dict[str, str], area: Path, options: list[str], fragments: list[str]
) -> None:
    error_text(ask(container, fake, area, "checkpoint", *options), *fragments)
    assert not (area / "fake/requests").exists()
    assert container.status == "running"


@pytest.mark.parametrize(("key", "value"), [("netDevices", {"eth0": {}}), ("intelRdt", {"closID": "/"})])
def test_restore_refuses_what_is_not_in_the_images(
    container: Container, fake: dict[str, str], area: Path, key: str, value: object
) -> None:
    container.bundle.linux[key] = value  # the network namespace is the container's own
    container.bundle.save(container.id)
    error_text(ask(container, fake, area, "restore"), f"/linux/{key}", "cannot be restored")
    assert not (area / "fake/requests").exists()


def test_restore_makes_mount_points_in_the_sources_of_other_mounts(
    container: Container, fake: dict[str, str], area: Path
) -> None:
    """Where create would make them: a symlink of the container leads inside of it."""
    outer, inner = area / "outer", area / "inner"
    for directory in (outer, inner):
        directory.mkdir()
    (outer / "link").symlink_to("/opt")
    (inner / "file").touch()
    bundle = container.bundle.mount("/mnt", outer, "bind").mount("/mnt/deep/file", inner / "file", "bind")
    bundle.mount("/mnt/deep/directory", inner, "rbind", "ro").mount("/mnt/link/below", inner, "bind")
    bundle.mount("/mnt/new", "none", fstype="tmpfs").mount("/mnt/new/below", inner, "bind")
    bundle.mount("/mnt/again", bundle.rootfs / "mnt/deep/file", "bind")
    bundle.linux["cgroupsPath"] = f"{CGROUP_PARENT}/{new_id()}"
    bundle.save(container.id)
    before = Path("/proc/self/mountinfo").read_text()
    error_text(ask(container, fake, area, "restore"), "criu could not restore")
    assert Path("/proc/self/mountinfo").read_text() == before
    made = {str(path.relative_to(outer)): path.is_dir() for path in outer.rglob("*") if not path.is_symlink()}
    assert made == {
        "deep": True, "deep/file": False, "deep/directory": True, "new": True, "again": False,
    }  # fmt: skip
    assert (bundle.rootfs / "opt/below").is_dir()
    assert [path.name for path in inner.iterdir()] == ["file"]
    bundle.mount("/mnt/deep/directory/no", inner, "bind").save(container.id)
    error_text(ask(container, fake, area, "restore"), "/mounts/", "mnt/deep/directory/no", "read-only file system")


def test_restore_takes_the_hosts_devices_for_a_user_namespace(
    container: Container, fake: dict[str, str], area: Path
) -> None:
    """criu opens them as root of it, who finds no way to others."""
    bundle = container.bundle.user_namespace()
    bundle.linux["cgroupsPath"] = f"{CGROUP_PARENT}/{new_id()}"
    for path, minor, words in (("/dev/full", 7, "criu could not restore"), ("/dev/full", 3, "/linux/devices/0"),
                               ("/dev/no-such", 3, "/linux/devices/0")):  # fmt: skip
        bundle.linux["devices"] = [{"path": path, "type": "c", "major": 1, "minor": minor}]
        bundle.save(container.id)
        error_text(ask(container, fake, area, "restore"), words)


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
@pytest.mark.parametrize("option", ["--image-path", "--work-path"])
def test_directory_that_another_user_can_change(
    container: Container, fake: dict[str, str], area: Path, command: str, option: str
) -> None:
    """CRIU writes there as root, and through symbolic links; what is restored says what a process of root's does."""
    theirs = area / "theirs"
    theirs.mkdir()
    (area / "link").symlink_to(theirs)

    def refused(path: Path, *fragments: str) -> None:
        error_text(ask(container, fake, area, command, option, str(path)), str(path), *fragments)
        assert not (area / "fake/requests").exists()

    os.lchown(area / "link", 1000, 1000)
    refused(area / "link", "link", "belongs to uid 1000")
    theirs.chmod(0o1777)
    refused(theirs, "others may write")
    theirs.chmod(0o755)
    os.chown(theirs, 1000, 1000)
    refused(theirs, "directory", "belongs to uid 1000")
    os.chown(theirs, 0, 0)
    (theirs / "dump.log").symlink_to(area / "precious")
    refused(theirs, "dump.log` is a symbolic link")
    assert container.status == "running"


def test_directories_may_be_those_of_the_containers_root(
    runtime: Runtime, bundle: Bundle, fake: dict[str, str], area: Path
) -> None:
    """podman gives the files of a container with a user namespace to it; `parent` is what CRIU itself links."""
    bundle.user_namespace()
    (area / "images").mkdir()
    (area / "images/parent").symlink_to("../earlier")
    (area / "earlier").mkdir()
    os.chown(area / "images", 100000, 100000)
    with runtime.running(bundle.shell("sleep 1000")) as container:
        result = runtime.call(
            "checkpoint", "--leave-running", "--image-path", area / "images", container.id,
            env=caller_environment(**fake),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("path", "fragments"), [
    ("nothing/images", ["no such file"]),
    ("file", ["not a directory"]),
    ("/sys/kernel", ["/sys/kernel/descriptors.json"]),
])  # fmt: skip
def test_directory_that_cannot_be_written(
    container: Container, fake: dict[str, str], area: Path, path: str, fragments: list[str]
) -> None:
    (area / "file").touch()
    error_text(ask(container, fake, area, "checkpoint", "--image-path", str(area / path)), path, *fragments)
    assert not (area / "fake/requests").exists()
    assert container.status == "running"


@pytest.mark.parametrize(("version", "options", "fragments"), [
    ("3 14", [], ["3.14", "too old", "3.15"]),
    ("3 16", ["--network-lock", "skip"], ["3.16", "--network-lock", "3.17"]),
])  # fmt: skip
def test_criu_that_is_too_old(
    container: Container, fake: dict[str, str], area: Path, version: str, options: list[str], fragments: list[str]
) -> None:
    """An option that it would pass over in silence is refused."""
    error_text(ask(container, fake | {"FAKE_CRIU_VERSION": version}, area, "checkpoint", *options), *fragments)
    assert not (area / "fake/requests").exists()


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_without_criu_the_package_is_named(container: Container, area: Path, command: str) -> None:
    container.bundle.save(container.id)
    error_text(ask(container, {"PATH": str(area)}, area, command), "criu", "install the package")
    assert container.status == "running"


@pytest.mark.parametrize("answer", ["", "kill -9 $$", "exec 3>&-", "echo >&2"])
def test_criu_that_answers_nothing(container: Container, area: Path, answer: str) -> None:
    (area / "broken").mkdir()
    program = area / "broken/criu"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    error_text(ask(container, {"PATH": str(area / "broken")}, area, "checkpoint"), "without an answer")
    assert container.status == "running"


def test_criu_that_cannot_be_run(container: Container, area: Path) -> None:
    (area / "broken").mkdir()
    (area / "broken/criu").write_text("#!/nonexistent\n")
    (area / "broken/criu").chmod(0o755)
    error_text(ask(container, {"PATH": str(area / "broken")}, area, "checkpoint"), "broken/criu", "no such file")


def test_signal_in_the_middle_of_a_dump_waits(container: Container, fake: dict[str, str], area: Path) -> None:
    """CRIU that is stopped in the middle leaves processes stopped; a leader of its session it does not see Ctrl-C."""
    (area / "fake/hold").touch()
    process = container.runtime.popen(
        "checkpoint", "--leave-running", "--image-path", area / "images", container.id, env=caller_environment(**fake)
    )
    eventually((area / "fake/requests").exists, "a request")
    process.send_signal(signal.SIGTERM)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert os.getsid(int(child)) == int(child)
    assert "SigBlk:\t0000000000004003" in Path(f"/proc/{process.pid}/status").read_text()
    (area / "fake/hold").unlink()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert container.status == "running"


def test_signal_ends_a_dump_that_waits_for_somebody_to_fetch_the_memory(
    container: Container, fake: dict[str, str], area: Path
) -> None:
    require_large_pipes()
    (area / "fake/hold").touch()
    process = container.runtime.popen(
        "checkpoint", "--lazy-pages", "--image-path", area / "images", container.id, env=caller_environment(**fake)
    )
    eventually((area / "fake/requests").exists, "a request")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert container.status == "running"


def test_podmans_probes(runtime: Runtime) -> None:
    """podman asks this way whether a runtime checkpoints, and whether it restores into a pod (docs/callers.md)."""
    assert runtime.call("checkpoint", "--help").returncode == 0
    probe = runtime.call("restore", "--lsm-mount-context")
    assert probe.returncode != 0
    assert "flag needs an argument" in probe.stderr


def test_restore_into_a_cgroup_in_use_leaves_it_alone(container: Container, fake: dict[str, str], area: Path) -> None:
    """The first container's cgroup: what the failed restore undoes is what it has made."""
    error_text(ask(container, fake, area, "restore", "--detach"), "cgroup", "not empty")
    assert container.status == "running"


def test_restore_into_a_cgroup_that_was_killed_once(container: Container, fake: dict[str, str], area: Path) -> None:
    """Linux 6.18 kills what is cloned into it: criu would be gone before it is asked."""
    container.bundle.linux["cgroupsPath"] = path = f"{CGROUP_PARENT}/{new_id()}"
    container.bundle.save(container.id)
    cgroup = CGROUP_ROOT / path.strip("/")
    cgroup.mkdir()
    (cgroup / "cgroup.kill").write_text("1")
    error_text(ask(container, fake, area, "restore", "--detach"), "criu could not restore", "restore.log")
    cgroup.rmdir()


def test_restore_writes_its_log_into_the_directory_that_was_looked_at(
    runtime: Runtime, bundle: Bundle, fake: dict[str, str], area: Path
) -> None:
    """Who owns a directory above it can put another in its place, with links to files that CRIU would overwrite."""
    images, work, other = area / "images", area / "above/work", area / "above/other"
    for directory in (images, work, other):
        directory.mkdir(parents=True)
    (area / "fake/at-version").write_text(f"mv {work} {work}-before; mv {other} {work}")
    name = new_id()
    bundle.save(name)
    words = ("--bundle", bundle.path, "--image-path", images, "--work-path", work, name)
    result = runtime.call("restore", *words, env=caller_environment(**fake))
    error_text(result, f"the directory `{work}` was replaced")
