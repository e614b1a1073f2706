"""Devices, console, masks and the private procfs, against hostile images; each in a child."""

import os
import stat
import sys
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls, sysctl
from pyrunc.kernel.mount import devices, mounts, procfs, rootfs
from pyrunc.kernel.mount.devices import Device
from pyrunc.kernel.mount.mounts import Attached
from pyrunc.kernel.syscalls import CLONE_NEWNET, CLONE_NEWUSER, CLONE_NEWUTS
from pyrunc.spec.sysctl import sysctl_path

from tests.image import Image, link, mount, untouched

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NULL = os.makedev(1, 3)


@pytest.fixture(autouse=True)
def _leftovers_checked() -> None:
    """No runtime runs here; `untouched` looks for what could be left."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Image]:
    """An image; what is outside of it is the same afterwards."""
    with untouched(tmp_path) as image:
        yield image


def nodes_of(directory: Path) -> dict[str, list[object]]:
    """{name: [type and mode, device number, owner, symlink's target]}."""
    found: dict[str, list[object]] = {}
    for path in sorted(directory.rglob("*")):
        facts = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(directory))] = [oct(facts.st_mode), facts.st_rdev, facts.st_uid, target]
    return found


def test_devices_and_links(place: Image) -> None:
    listed = [
        Device("/dev/deep/er/x", "c", 10, 229, 0o640, 5, 6),
        Device("/dev/block", "b", 7, 99, 0o600, 0, 0),
        Device("/dev/u", "u", 1, 3, 0o444, 0, 0),
        Device("/other/fifo", "p", 0, 0, 0o622, 1, 0),
        Device("/dev/null", "c", 1, 3, 0o600, 0, 0),
    ]
    os.mknod(place.root / "dev/zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (place.root / "dev/ptmx").write_text("stale")

    def body(root: int) -> None:
        os.umask(0o077)
        devices.create(root, listed, Attached())
        devices.link(root, Attached())
        devices.create(root, listed, Attached())
        devices.link(root, Attached())

    place.inside(body)
    found = nodes_of(place.root / "dev")
    kcore = {"core": ["0o120777", 0, 0, "/proc/kcore"]} if Path("/proc/kcore").exists() else {}
    assert found == {
        "block": ["0o60600", os.makedev(7, 99), 0, ""],
        "deep": ["0o40755", 0, 0, ""],
        "deep/er": ["0o40755", 0, 0, ""],
        "deep/er/x": ["0o20640", os.makedev(10, 229), 5, ""],
        "fd": ["0o120777", 0, 0, "/proc/self/fd"],
        "full": ["0o20666", os.makedev(1, 7), 0, ""],
        "null": ["0o20600", NULL, 0, ""],
        "ptmx": ["0o120777", 0, 0, "pts/ptmx"],
        "random": ["0o20666", os.makedev(1, 8), 0, ""],
        "stderr": ["0o120777", 0, 0, "/proc/self/fd/2"],
        "stdin": ["0o120777", 0, 0, "/proc/self/fd/0"],
        "stdout": ["0o120777", 0, 0, "/proc/self/fd/1"],
        "tty": ["0o20666", os.makedev(5, 0), 0, ""],
        "u": ["0o20444", NULL, 0, ""],
        "urandom": ["0o20666", os.makedev(1, 9), 0, ""],
        "zero": ["0o20600", os.makedev(1, 5), 0, ""],  # it was there, and could be the host's
        **kcore,
    }
    assert nodes_of(place.root / "other") == {"fifo": ["0o10622", 0, 1, ""]}


@pytest.mark.parametrize("target", ["{}", "../../../../../../..{}", "/etc"])
@pytest.mark.parametrize(
    "make",
    [
        lambda root: devices.create(root, [], Attached()),
        lambda root: devices.create(root, [], Attached(), bind=True),
        lambda root: devices.link(root, Attached()),
        lambda root: devices.bind_console(root, os.openpty()[1], Attached()),
    ],
)
def test_dev_that_is_a_symlink_is_refused(place: Image, target: str, make: Callable[[int], None]) -> None:
    """CVE-2026-41579: ptmx in the directory outside would go, nodes would come."""
    link(place.root / "dev", target.format(place.outside))
    with pytest.raises(PyruncError, match="symlink"):
        place.inside(make)
    assert list((place.root / "etc").iterdir()) == []


def test_device_below_a_symlink_is_refused(place: Image) -> None:
    link(place.root / "data", place.outside)
    with pytest.raises(PyruncError, match="symlink"):
        place.inside(lambda root: devices.create(root, [Device("/data/x", "c", 1, 3, 0o666, 0, 0)], Attached()))


def test_the_hosts_dev_stays_as_it_is(place: Image) -> None:
    """With a bind of /dev neither its ptmx is replaced nor a node made, or given to another owner."""

    def body(root: int) -> object:
        syscalls.mount("tmpfs", "/dev", "tmpfs", 0)
        Path("/dev/ptmx").write_text("")
        os.mknod("/dev/null", stat.S_IFCHR | 0o640, NULL)
        os.chown("/dev/null", 3, 4)
        mounts.attach(root, mount("/dev", "", "rbind", "/dev"), Attached())
        devices.create(root, [Device("/dev/new", "c", 1, 3, 0o666, 0, 0)], Attached())
        devices.link(root, Attached())
        return nodes_of(Path("/dev"))

    assert place.inside(body) == {"null": ["0o20640", NULL, 3, ""], "ptmx": ["0o100644", 0, 0, ""]}


def other_kind(path: Path) -> None:
    os.mkfifo(path)


def other_number(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def symlink_to_host(path: Path) -> None:
    path.symlink_to("/dev/null")


def regular(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("existing", [other_kind, other_number, symlink_to_host, regular])
def test_node_that_differs_is_refused(place: Image, existing: Callable[[Path], None]) -> None:
    existing(place.root / "dev/null")
    with pytest.raises(PyruncError, match="`/dev/null` exists and is a different device"):
        place.inside(lambda root: devices.create(root, [], Attached()))


def test_devices_bound_from_the_host(place: Image) -> None:
    """In a user namespace mknod(2) is not permitted, whether that is said before or found out."""

    def body(root: int, *, bind: bool) -> object:
        mounts.attach(root, mount("/dev", "tmpfs", "mode=755"), Attached())
        devices.create(root, [Device("/dev/fifo", "p", 0, 0, 0o600, 0, 0)], Attached(), bind=bind)
        return nodes_of(place.root / "dev")

    for bind in (True, False):
        found = place.inside(lambda root, bind=bind: body(root, bind=bind), CLONE_NEWUSER)  # type: ignore[misc]
        assert isinstance(found, dict)
        assert sorted(found) == ["fifo", "full", "null", "random", "tty", "urandom", "zero"]
        assert found["null"][1] == NULL


def test_bound_device_must_be_the_one(place: Image) -> None:
    with pytest.raises(PyruncError, match="of the host is a different device"):
        other = Device("/dev/null", "c", 1, 5, 0o666, 0, 0)
        place.inside(lambda root: devices.create(root, [other], Attached(), bind=True))


def test_console(place: Image) -> None:
    def body(root: int) -> object:
        mounts.attach(root, mount("/dev", "tmpfs"), Attached())
        mounts.attach(root, mount("/dev/pts", "devpts", "newinstance,ptmxmode=0666"), Attached())
        main = os.open(place.root / "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        os.set_blocking(main, False)
        unlock(main)
        pty = os.open(place.root / "dev/pts/0", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(pty)
        devices.bind_console(root, pty, Attached())
        console = os.open(place.root / "dev/console", os.O_RDWR | os.O_NOCTTY)
        os.write(console, b"hello")
        return os.read(main, 100).decode(), os.fstat(console).st_rdev == os.fstat(pty).st_rdev

    assert place.inside(body) == ["hello", True]


def unlock(main: int) -> None:
    """unlockpt(3): TIOCSPTLCK."""
    import fcntl

    fcntl.ioctl(main, 0x40045431, (0).to_bytes(4, sys.byteorder))


def test_console_symlink_is_refused(place: Image) -> None:
    """CVE-2025-52565, CVE-2026-88264: no file outside, no mount elsewhere."""
    (place.root / "dev/console").symlink_to(place.outside / "newfile")
    with pytest.raises(PyruncError, match="/dev/console"):
        place.inside(lambda root: devices.bind_console(root, os.openpty()[1], Attached()))


@pytest.mark.parametrize("before_pivot", [True, False])
def test_masked_and_readonly_paths(place: Image, before_pivot: bool) -> None:
    masked = ["/proc/version", "/proc/cmdline", "/proc/tty", "/sys/kernel", "/sys/fs", "/proc/nonsuch", "/etc/x/y"]

    def body(root: int) -> object:
        (place.root / "dev/null").write_text("a file of the image")
        mounts.attach(root, mount("/proc", "proc"), Attached())
        mounts.attach(root, mount("/sys", "sysfs"), Attached())
        null = paths.null_device()
        top = str(place.root) if before_pivot else ""
        if not before_pivot:
            rootfs.pivot(root)
        rootfs.mask(root, masked, null, "")
        rootfs.protect(root, ["/proc/sys", "/nonsuch", "/etc"])
        found: dict[str, object] = {path: os.stat(top + path).st_rdev for path in masked[:2]}
        found |= {path: os.listdir(top + path) for path in masked[2:5]}
        for path in ("/proc/sys/kernel/core_pattern", "/etc/new", "/sys/fs/new"):
            try:
                os.close(os.open(top + path, os.O_WRONLY | os.O_CREAT))
                found[path] = "written"
            except OSError as error:
                found[path] = error.strerror
        return found

    readonly = "Read-only file system"
    assert place.inside(body) == {
        **dict.fromkeys(masked[:2], NULL),
        **{path: [] for path in masked[2:5]},
        "/proc/sys/kernel/core_pattern": readonly,
        "/etc/new": readonly,
        "/sys/fs/new": readonly,
    }


@pytest.mark.parametrize("function", [lambda root, path: rootfs.mask(root, [path], paths.null_device(), ""),
                                      lambda root, path: rootfs.protect(root, [path])])  # fmt: skip
def test_masks_do_not_follow_symlinks_in_proc(place: Image, function: Callable[[int, str], None]) -> None:
    link(place.root / "proc", place.outside)
    with pytest.raises(PyruncError, match=r"`/proc/sub`: Too many levels of symbolic links"):
        place.inside(lambda root: function(root, "/proc/sub"))


def test_hosts_null_is_looked_at(place: Image) -> None:
    def body(_: int) -> None:
        syscalls.mount(str(place.outside / "ptmx"), "/dev/null", None, syscalls.MS_BIND)
        paths.null_device()

    with pytest.raises(PyruncError, match="not the null device"):
        place.inside(body)


def test_private_procfs_cannot_be_covered(place: Image) -> None:
    """CVE-2019-16884, CVE-2025-52881: neither mounts on /proc nor links in it change where a write ends."""

    def body(root: int) -> object:
        mounts.attach(root, mount("/proc", "proc"), Attached())
        proc, whole = procfs.private(), procfs.private(subset=False)
        for covered in ("/proc", f"{place.root}/proc"):
            syscalls.mount("tmpfs", covered, "tmpfs", 0)
        procfs.write(proc, "self/comm", "one")
        names = [os.read(procfs.open_file(proc, "self/comm", os.O_RDONLY), 100).decode()]
        procfs.write(whole, "thread-self/comm", b"two")
        names.append(os.read(procfs.open_file(proc, "self/comm", os.O_RDONLY), 100).decode())
        for path, value in (("kernel/domainname", "inside"), ("net/ipv4/ip_forward", "1")):
            sysctl.apply(whole, [sysctl.Parameter(path, path, value, "", "")])
        with open(os.open("sys/kernel/domainname", os.O_RDONLY, dir_fd=whole), encoding="ascii") as stream:
            return names, stream.read(), os.listdir("/proc")

    before = Path("/proc/sys/kernel/domainname").read_text()
    assert place.inside(body, CLONE_NEWUTS | CLONE_NEWNET) == [["one\n", "two\n"], "inside\n", []]
    assert Path("/proc/sys/kernel/domainname").read_text() == before


@pytest.mark.parametrize(
    "path", ["self/cwd", "self/fd/0", "self/root/etc/passwd", "../etc/passwd", "/etc/passwd", "mounts/x"]
)
def test_private_procfs_has_no_way_out(place: Image, path: str) -> None:
    def body(_: int) -> object:
        try:
            procfs.open_file(procfs.private(subset=False), path, os.O_RDONLY)
        except OSError as error:
            return os.strerror(error.errno)
        return "opened"

    assert place.inside(body) in {"Too many levels of symbolic links", "Invalid cross-device link", "Not a directory"}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/../kernel/core_pattern", None),
        ("net.ipv4.conf/../../../kernel.core_pattern", None),
        ("/kernel/core_pattern", None),
        ("kernel..core_pattern", None),
        ("kernel.x\0y", None),
        ("", None),
    ],
)
def test_keys_of_kernel_parameters(key: str, path: str | None) -> None:
    assert sysctl_path(key) == path


def test_missing_kernel_parameter_is_named(place: Image) -> None:
    with pytest.raises(PyruncError) as caught:
        missing = sysctl.Parameter("net.nonsuch", "net/nonsuch", "1", "network", "/linux/sysctl/net.nonsuch")
        place.inside(lambda _: sysctl.apply(procfs.private(subset=False), [missing]))
    assert str(caught.value) == (
        "set kernel parameter `net.nonsuch` to `1`: No such file or directory (config.json: /linux/sysctl/net.nonsuch)"
    )
