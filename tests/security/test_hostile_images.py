"""Images whose symlinks lead out of them, against the whole runtime: what is outside stays as it was.

Each case names the advisory that it repeats.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.consoles import console_socket
from tests.kernelcalls import watch_opens
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime, error_text, new_id

UP = "../" * 20


def observe(directory: Path) -> list[tuple[str, int, int, int, int, int]]:
    """Everything at and below a directory: name, inode, mode, owner, size, time of change."""
    facts = []
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.lstat()
        facts.append((str(path), status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_ctime_ns))
    return facts


@pytest.fixture
def outside(area: Path) -> Iterator[Path]:
    """A directory on the host that must be the same afterwards."""
    directory = area / "outside"
    (directory / "sub").mkdir(parents=True)
    for name in ("ptmx", "file", "sub/sentinel"):
        (directory / name).write_text("outside marker")
    before = observe(directory)
    yield directory
    assert observe(directory) == before


def attempt(runtime: Runtime, bundle: Bundle, script: str = "true", *options: str) -> str:
    """Run a hostile bundle to its end, whatever comes of it; standard output, which is empty after a refusal."""
    container_id = new_id()
    result = runtime.run(bundle.shell(script), *options, container_id=container_id)
    if result.returncode != 0:
        runtime.delete(container_id, "--force")  # as callers do
    return result.stdout


@pytest.mark.parametrize("destination", ["/proc", "/sys"])
@pytest.mark.parametrize("target", ["/mnt", "mnt", UP + "{outside}", "{outside}"])
def test_proc_or_sys_is_a_symlink(  # CVE-2019-19921, CVE-2023-27561, CVE-2023-28642
    runtime: Runtime, bundle: Bundle, outside: Path, destination: str, target: str
) -> None:
    (bundle.rootfs / destination[1:]).rmdir()
    (bundle.rootfs / destination[1:]).symlink_to(target.format(outside=outside))
    runtime.create_fails(bundle)


@only_pyrunc("has its own words")
@pytest.mark.parametrize(("destination", "index"), [("/proc", 0), ("/sys", 5)])
def test_proc_or_sys_is_refused_for_being_a_symlink(
    runtime: Runtime, bundle: Bundle, destination: str, index: int
) -> None:
    """And not for what comes to grief later."""
    (bundle.rootfs / destination[1:]).rmdir()
    (bundle.rootfs / destination[1:]).symlink_to("/mnt")
    runtime.create_fails(bundle, "not behind a symlink", f"/mounts/{index})")


@pytest.mark.parametrize("target", ["{outside}", UP + "{outside}", "/proc/1/root{outside}"])
@pytest.mark.parametrize("kind", ["bind", "tmpfs", "file"])
def test_destination_below_a_symlink(  # CVE-2019-18837, CVE-2024-45310
    runtime: Runtime, bundle: Bundle, outside: Path, area: Path, target: str, kind: str
) -> None:
    (area / "source").mkdir()
    (bundle.rootfs / "data").symlink_to(target.format(outside=outside))
    if kind == "tmpfs":
        bundle.mount("/data/new/x", "tmpfs", fstype="tmpfs")
    else:
        source = area / "source" if kind == "bind" else area / "source/file"
        if kind == "file":
            source.touch()
        bundle.mount("/data/new/x", source, "bind")
    attempt(runtime, bundle)


@pytest.mark.parametrize("link", ["{outside}/new-file", UP + "{outside}/new-file"])
def test_file_destination_is_a_dangling_symlink(
    runtime: Runtime, bundle: Bundle, outside: Path, area: Path, link: str
) -> None:
    (area / "source").touch()
    (bundle.rootfs / "etc/file").symlink_to(link.format(outside=outside))
    attempt(runtime, bundle.mount("/etc/file", area / "source", "bind"))


@pytest.mark.parametrize("read_only", [True, False])
@differs(crun="1.8.1 has this flaw", runc="1.1.5 has this flaw")
def test_dev_is_a_symlink(  # CVE-2026-41579, CVE-2026-47766
    runtime: Runtime, bundle: Bundle, outside: Path, read_only: bool
) -> None:
    bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev").rmdir()
    (bundle.rootfs / "dev").symlink_to(UP + str(outside))
    bundle.config["root"]["readonly"] = read_only
    attempt(runtime, bundle)


def test_listed_device_below_a_symlink(runtime: Runtime, bundle: Bundle, outside: Path) -> None:
    (bundle.rootfs / "a").symlink_to(UP + str(outside))
    bundle.linux["devices"] = [{"path": "/a/device", "type": "c", "major": 1, "minor": 3}]
    attempt(runtime, bundle)


@pytest.mark.parametrize("target", ["{outside}/new", UP + "{outside}/new", "{outside}/file", "/proc/sysrq-trigger"])
@differs(crun="1.8.1 has this flaw")
def test_console_is_a_symlink(  # CVE-2025-52565, CVE-2026-88264
    runtime: Runtime, bundle: Bundle, outside: Path, area: Path, target: str
) -> None:
    bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    bundle.mount("/dev/pts", "devpts", "newinstance", "ptmxmode=0666", fstype="devpts")
    (bundle.rootfs / "dev/console").symlink_to(target.format(outside=outside))
    bundle.process["terminal"] = True
    container_id = new_id()
    with console_socket(area / "console"):
        runtime.create(bundle, container_id, "--console-socket", area / "console")
        assert runtime.delete(container_id, "--force").returncode == 0


@pytest.mark.parametrize("target", ["/proc/sysrq-trigger", "/etc/passwd", "/proc/self/mem"])
@differs(crun="1.8.1 has this flaw", runc="1.1.5 has this flaw")
def test_dev_null_is_not_the_null_device(  # CVE-2025-31133
    runtime: Runtime, bundle: Bundle, target: str
) -> None:
    bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev/null").symlink_to(target)
    bundle.linux["maskedPaths"] = ["/proc/timer_list", "/proc/keys"]
    output = attempt(runtime, bundle, "stat -c '%t %T' /proc/timer_list /proc/keys")
    assert output in ("", "1 3\n1 3\n")


@differs(crun="1.8.1 has this flaw")
@pytest.mark.parametrize("target", ["/etc/passwd", "{outside}/file"])
def test_null_device_of_the_host_keeps_its_owner(  # CVE-2026-88265
    runtime: Runtime, bundle: Bundle, outside: Path, target: str
) -> None:
    bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    (bundle.rootfs / "dev/null").symlink_to(target.format(outside=outside))
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    before = os.stat("/dev/null")
    attempt(runtime, bundle)
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


@pytest.mark.parametrize("target", ["{outside}", UP + "{outside}"])
def test_cwd_below_a_symlink(runtime: Runtime, bundle: Bundle, outside: Path, target: str) -> None:  # CVE-2026-55686
    (bundle.rootfs / "w").symlink_to(target.format(outside=outside))
    bundle.process["cwd"] = "/w/new"
    attempt(runtime, bundle)


@pytest.mark.parametrize(
    "destination, kind", [("/proc", "directory"), ("/proc/self/attr", "tmpfs"), ("/proc/sysrq-trigger", "file")]
)
@differs(crun="1.8.1 mounts what it is told to", runc="1.1.5 allows a tmpfs below /proc")
def test_mounts_over_proc(  # CVE-2015-3630, CVE-2019-16884
    runtime: Runtime, bundle: Bundle, outside: Path, destination: str, kind: str
) -> None:
    if kind == "tmpfs":
        bundle.mount(destination, "tmpfs", fstype="tmpfs")
    else:
        bundle.mount(destination, outside if kind == "directory" else outside / "file", "bind")
    runtime.create_fails(bundle, "/proc")


def test_mount_over_a_harmless_file_of_proc(runtime: Runtime, bundle: Bundle, outside: Path) -> None:
    bundle.mount("/proc/uptime", outside / "file", "bind")
    assert runtime.output(bundle, "cat /proc/uptime") == "outside marker"


@pytest.mark.parametrize("through", ["cwd", "symlink"])
@differs(crun="1.8.1 has this flaw", runc="1.1.5 has this flaw")
def test_working_directory_through_a_descriptor(  # CVE-2024-21626
    runtime: Runtime, bundle: Bundle, outside: Path, through: str
) -> None:
    descriptor = os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in {*range(3, 16), descriptor}:
            cwd = f"/proc/self/fd/{number}"
            if through == "symlink":
                link = bundle.rootfs / f"workdir{number}"
                link.symlink_to(cwd)
                cwd = f"/{link.name}"
            bundle.process["cwd"] = cwd
            output = attempt(runtime, bundle, "cat sub/sentinel ../../../../../../../../etc/machine-id; pwd")
            assert "outside marker" not in output
            assert "(unreachable)" not in output
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("through", ["cwd", "symlink"])
def test_working_directory_is_not_made_through_a_descriptor(
    runtime: Runtime, bundle: Bundle, outside: Path, through: str
) -> None:
    """Descriptors of the runtime's own that its process has while it makes the directory lead to the host as well."""
    for number in range(3, 24):
        way = f"/proc/self/fd/{number}/{UP}{outside}"
        if through == "symlink":
            (bundle.rootfs / f"workdir{number}").symlink_to(way)
            way = f"/workdir{number}"
        bundle.process["cwd"] = f"{way}/made"
        attempt(runtime, bundle)


@differs(crun="1.8.1 waits for a writer", runc="1.1.5 waits for a writer")
def test_passwd_that_is_no_regular_file_is_not_even_opened(runtime: Runtime, bundle: Bundle) -> None:
    """A device in its place would be opened while no device filter is in force yet: opening a watchdog starts it."""
    passwd = bundle.rootfs / "etc/passwd"
    passwd.unlink()
    os.mkfifo(passwd)
    opens = watch_opens(str(passwd))
    try:
        with runtime.running(bundle.shell("exec sleep 1000")) as container:
            assert runtime.call("exec", container.id, "sh", "-c", "echo $HOME").stdout == "/\n"
        with pytest.raises(BlockingIOError):
            os.read(opens, 4096)
    finally:
        os.close(opens)


@differs(crun="1.8.1 has this flaw", runc="1.1.5 has this flaw")
def test_working_directory_through_a_process_of_the_host(runtime: Runtime, bundle: Bundle, outside: Path) -> None:
    """As CVE-2024-21626, by the magic link of a process that the container sees in a shared pid namespace."""
    with subprocess.Popen(["sleep", "1000"], cwd=outside) as process:
        try:
            bundle.share("pid").process["cwd"] = f"/proc/{process.pid}/cwd"
            runtime.create_fails(bundle, "cwd")
        finally:
            process.kill()


@only_pyrunc("escapes fewer of them")
@pytest.mark.parametrize("name", ["line\nbreak", "\x1b[31mred", "\x7f", "a\rb"])
def test_control_characters_in_an_error(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.mount("/mnt", f"/no/such/{name}", "bind")
    message = runtime.create_fails(bundle, "no such file or directory")
    assert not [character for character in message if ord(character) < 32 or ord(character) == 127]


def test_log_stays_one_json_object(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.mount("/mnt", '/no/such/\n\x1b[31m"}', "bind").save("x")
    log = area / "log"
    result = runtime.call("--log", str(log), "--log-format", "json", "create", "--bundle", bundle.path, new_id())
    error_text(result)
