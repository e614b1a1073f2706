"""The root filesystem in user namespaces, under a race, and in the eyes of strace."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.mount import mounts, procfs, rootfs
from pyrunc.kernel.mount.mounts import Attached
from pyrunc.kernel.syscalls import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER

from tests.image import Image, mount, untouched
from tests.swapping import swapping

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def _leftovers_checked() -> None:
    """No runtime runs here; `untouched` looks for what could be left."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Image]:
    """An image; what is outside of it is the same afterwards."""
    with untouched(tmp_path) as image:
        yield image


def options_of(path: Path) -> list[list[str]]:
    """[type, options] of each mount at or below `path`, topmost last."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [
        [words[words.index("-") + 1], words[5]]
        for words in lines
        if words[4] == str(path) or words[4].startswith(f"{path}/")
    ]


def test_user_namespace_without_the_others_gets_readonly_copies(place: Image) -> None:
    """Where the kernel refuses new ones; CVE-2023-25809 for the cgroups."""

    def body(root: int) -> object:
        mounts.attach(root, mount("/sys", "sysfs", "nosuid,rw"), Attached())
        mounts.attach(root, mount("/sys/fs/cgroup", "cgroup", "rw"), Attached())
        mounts.attach(root, mount("/proc", "proc", "nosuid"), Attached())
        return options_of(place.root / "sys"), options_of(place.root / "proc")

    sys_mounts, proc_mounts = place.inside(body, CLONE_NEWUSER)  # type: ignore[misc]  # the pair that body gives
    assert sys_mounts[0][0] == "sysfs"
    assert all("ro" in options.split(",") for _, options in sys_mounts)
    assert sys_mounts[-1][0] in {"cgroup2", "tmpfs"}
    assert proc_mounts[0][0] == "proc"


def test_refused_cgroup_mount_of_an_own_namespace_is_an_error(place: Image) -> None:
    with pytest.raises(PyruncError, match=r"mount `cgroup` to `/c`: Operation not permitted"):
        place.inside(
            lambda root: mounts.attach(root, mount("/c", "cgroup"), Attached(), apart=("cgroup",)), CLONE_NEWUSER
        )


@pytest.mark.parametrize(("flags", "refused"), [(CLONE_NEWNS, False), (CLONE_NEWNS | CLONE_NEWPID, True)])
def test_copy_of_the_hosts_proc_only_in_its_pid_namespace(place: Image, flags: int, refused: bool) -> None:
    """/proc of the host shows the host's processes. While something locked is over it, the kernel gives no new one."""

    def body(_: int) -> object:
        syscalls.mount("tmpfs", "/proc/tty", "tmpfs", 0)
        syscalls.unshare(CLONE_NEWUSER)
        syscalls.unshare(flags)
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            mounts.attach(rootfs.prepare(str(place.root)), mount("/proc", "proc"), Attached())
        except PyruncError as error:
            os._exit(error.errno)
        os._exit(0 if [entry[1][:2] for entry in options_of(place.root / "proc")] == ["ro", "ro"] else 100)

    assert place.inside(body) == (1 if refused else 0)


def test_copy_of_proc_must_be_proc(place: Image) -> None:
    def body(_: int) -> None:
        syscalls.mount("tmpfs", "/proc", "tmpfs", 0)
        syscalls.unshare(CLONE_NEWUSER)
        procfs.private()

    with pytest.raises(PyruncError, match="`/proc` is not a proc file system"):
        place.inside(body)


def test_what_covers_a_file_of_the_hosts_proc_is_seen(place: Image) -> None:
    """Where /proc can neither be new nor copied; the cover is itself a file of a procfs (CVE-2025-52881)."""

    def body(_: int) -> None:
        syscalls.mount("/proc/self/oom_score_adj", f"/proc/{os.getpid()}/comm", None, syscalls.MS_BIND)
        syscalls.unshare(CLONE_NEWUSER)
        procfs.write(procfs.private(), "self/comm", "1")

    with pytest.raises(PyruncError, match="write `/proc/self/comm`: Invalid cross-device link"):
        place.inside(body)


def test_locked_flags_stay(place: Image) -> None:
    """A mount from outside the user namespace keeps nosuid, nodev, ro, whatever the words say."""
    source = place.outside.parent / "source"
    source.mkdir()

    def host(root: int) -> object:
        syscalls.mount("tmpfs", str(source), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_RDONLY)
        return in_user_namespace(root)

    def in_user_namespace(root: int) -> object:
        syscalls.unshare(CLONE_NEWUSER)
        syscalls.unshare(CLONE_NEWNS)
        copy = rootfs.prepare(str(place.root))
        mounts.attach(copy, mount("/a", "", "rbind,noexec", str(source)), Attached())
        mounts.attach(copy, mount("/b", "", "rbind,rw,dev", str(source)), Attached())
        return options_of(place.root / "a"), options_of(place.root / "b")

    first, second = place.inside(host)  # type: ignore[misc]  # the pair that body gives
    assert first == [["tmpfs", "ro,nosuid,nodev,noexec,relatime"]]
    assert second == [["tmpfs", "ro,nosuid,nodev,relatime"]]


def test_detached_source_from_outside(place: Image) -> None:
    """A source that the child may not reach any more is attached from the descriptor that the parent opened."""
    entry = mount("/data/file", "", "bind,ro", str(place.outside / "sub/sentinel"))

    def body(root: int) -> object:
        tree = mounts.detach(entry)
        syscalls.mount("tmpfs", str(place.outside), "tmpfs", 0)
        mounts.attach(root, entry, Attached(), source_fd=tree)
        return (place.root / "data/file").read_text(), options_of(place.root / "data/file")[0][1][:2]

    assert place.inside(body) == ["outside marker", "ro"]


def test_swapped_destination(place: Image) -> None:
    """CVE-2021-30465, CVE-2024-45310: a directory of a shared volume is exchanged for a symlink all the time."""
    volume = place.root / "data"
    (volume / "a").mkdir()
    (volume / "link").symlink_to(place.outside)
    with swapping(volume / "a", volume / "link"):

        def body(root: int) -> object:
            done = failed = 0
            for i in range(500):
                try:
                    os.close(paths.make_file(root, f"/data/a/d{i}/file"))
                    mounts.attach(root, mount("/data/a/m", "", "bind", "/etc/hostname"), Attached())
                    mounts.attach(root, mount(f"/data/a/t{i % 9}", "tmpfs"), Attached())
                    done += 1
                except PyruncError:
                    failed += 1  # seen while it was being exchanged
            return done, failed, [line for line in options_of(place.outside) if line]

        done, failed, outside = place.inside(body)  # type: ignore[misc]  # the tuple that body gives
    assert (done + failed, outside) == (500, [])
    assert done > 0
    shutil.rmtree(volume)


TRACED = """
import sys
sys.path[:0] = sys.argv[2:]
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.mount import devices, mountoptions, mounts, rootfs
from pyrunc.wings import copyup
syscalls.unshare(syscalls.CLONE_NEWNS)
root = rootfs.prepare(sys.argv[1])
print("prepared", flush=True)
for source, destination, kind, options in (
    ("proc", "/proc", "proc", ()), ("tmpfs", "/dev", "tmpfs", ("mode=755",)),
    ("tmpfs", "/etc", "tmpfs", ("tmpcopyup",)),
    ("/etc/hostname", "/new/dir/file", "", ("bind", "ro")), ("tmpfs", "/t", "tmpfs", ("iversion",)),
):
    mounts.attach(root, mountoptions.Mount(source, destination, kind, mountoptions.parse(options)), mounts.Attached())
devices.create(root, [], mounts.Attached())
devices.link(root, mounts.Attached())
null = paths.null_device()
rootfs.pivot(root)
rootfs.mask(root, ["/proc/version", "/proc/tty"], null, "")
rootfs.protect(root, ["/proc/sys"])
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_path_into_the_root_but_by_descriptor(place: Image) -> None:
    """After the root is open, every path of a system call is relative to a descriptor or the host's own."""
    trace = place.outside.parent / "trace"
    command = [sys.executable, "-ISc", TRACED, str(place.root), *(entry for entry in sys.path if entry)]
    result = subprocess.run(["strace", "-f", "-o", trace, *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    _, after = trace.read_text().split('"prepared\\n"')
    calls = [line.split(None, 1)[1] for line in after.splitlines()]
    assert any(call.startswith("move_mount(") for call in calls)
    # /dev, /etc/hostname and /proc are the host's; "/", "." and "" stand beside a descriptor or a fchdir.
    others = [call for call in calls if not call.startswith(("write(", "openat2(", "fsconfig(", "fsopen(", "read("))]
    named = {word for call in others for word in call.split('"')[1::2] if word.startswith("/")}
    descriptors = {f"/proc/self/fd/{number}" for number in range(32)}
    hosts = {"/dev", "/dev/null", "/etc/hostname", "/proc/kcore", "/proc/self/fd", "/proc/self/mountinfo"}
    assert named <= {"/"} | hosts | descriptors
    looked_up = [call for call in calls if call.startswith("openat2(")]
    assert looked_up
    assert all("RESOLVE_IN_ROOT" in call or "RESOLVE_BENEATH" in call for call in looked_up)
    assert not any(call.startswith("openat2(AT_FDCWD") for call in calls)
