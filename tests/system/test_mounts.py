"""Mounts of config.md apart from their options: destinations, sources, order, tmpcopyup, errors."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, MS_RDONLY, MS_REMOUNT, mount, umount
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import DEFAULT_RUNTIME, Runtime


def test_default_mounts(runtime: Runtime, bundle: Bundle) -> None:
    mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    found = {line.split()[4]: line.split(" - ")[1].split()[0] for line in mountinfo.splitlines()}
    expected = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue"}
    assert expected.items() <= found.items()
    assert found["/sys"] == "sysfs"
    assert found["/sys/fs/cgroup"] == "cgroup2"


def test_no_host_mount_is_left_visible(runtime: Runtime, bundle: Bundle) -> None:
    mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    for line in mountinfo.splitlines():
        destination = line.split()[4]
        assert destination == "/" or destination.startswith(("/proc", "/dev", "/sys")), line


def test_missing_destination_is_made(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").mkdir()
    (area / "source/file").touch()
    assert runtime.output(bundle.mount("/a/b/c", area / "source", "bind"), "ls /a/b/c") == "file\n"
    assert (bundle.rootfs / "a/b/c").is_dir()


@pytest.mark.parametrize("destination", ["/a/b/file", "/etc/existing"])
def test_file_on_file(runtime: Runtime, bundle: Bundle, area: Path, destination: str) -> None:
    (bundle.rootfs / "etc/existing").write_text("image")
    (area / "source").write_text("host")
    assert runtime.output(bundle.mount(destination, area / "source", "bind"), f"cat {destination}") == "host"
    assert (bundle.rootfs / "etc/existing").read_text() == "image"


def test_order(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").mkdir()
    (area / "source/file").touch()
    bundle.mount("/mnt", "tmpfs", fstype="tmpfs").mount("/mnt/inner", area / "source", "bind")
    assert runtime.output(bundle, "ls /mnt/inner") == "file\n"


def test_order_is_not_that_of_the_names(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").mkdir()
    bundle.mount("/mnt/inner", area / "source", "bind").mount("/mnt", "tmpfs", fstype="tmpfs")
    assert runtime.output(bundle, "ls /mnt") == ""


def test_later_mount_covers_an_earlier_one(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").mkdir()
    (area / "source/file").touch()
    bundle.mount("/mnt", area / "source", "bind").mount("/mnt", "tmpfs", fstype="tmpfs")
    assert runtime.output(bundle, "ls /mnt") == ""


def test_relative_destination_is_below_the_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("mnt/relative", "tmpfs", "size=64k", fstype="tmpfs")
    assert " /mnt/relative " in runtime.output(bundle, "cat /proc/self/mountinfo")


def test_relative_source_is_below_the_bundle(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "source").mkdir()
    (bundle.path / "source/file").touch()
    assert runtime.output(bundle.mount("/mnt", "source", "bind"), "ls /mnt") == "file\n"


@pytest.mark.parametrize("fstype", ["none", "tmpfs", "proc", "nonsensefs"])
def test_type_is_ignored_for_a_bind_mount(runtime: Runtime, bundle: Bundle, area: Path, fstype: str) -> None:
    (area / "source").mkdir()
    (area / "source/file").touch()
    assert runtime.output(bundle.mount("/mnt", area / "source", "bind", fstype=fstype), "ls /mnt") == "file\n"


@pytest.mark.parametrize(
    "link, target",
    [("link", "/mnt"), ("link", "mnt"), ("link", "../../../mnt"), ("link", "/../../mnt"), ("a/link", "../mnt")],
)
def test_destination_through_a_symlink_stays_inside(
    runtime: Runtime, bundle: Bundle, area: Path, link: str, target: str
) -> None:
    (area / "source").mkdir()
    (area / "source/file").touch()
    (bundle.rootfs / "a").mkdir()
    (bundle.rootfs / link).symlink_to(target)
    assert runtime.output(bundle.mount("/" + link, area / "source", "bind"), "ls /mnt") == "file\n"


@pytest.mark.parametrize("source", ["/no/such/source", "no-such-source"])
def test_missing_source(runtime: Runtime, bundle: Bundle, source: str) -> None:
    runtime.create_fails(bundle.mount("/mnt", source, "bind"), "no such file or directory")


@differs(crun="1.8.1 names the destination alone")
def test_missing_source_is_named(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(bundle.mount("/mnt", "/no/such/source", "bind"), "/no/such/source", "/mnt")


def test_unknown_file_system(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(bundle.mount("/mnt", "none", fstype="nonsensefs"), "no such device")


def test_unknown_option_goes_to_the_file_system(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(bundle.mount("/mnt", "none", "nonsense=1", fstype="tmpfs"), "invalid argument")


def test_directory_on_file(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").mkdir()
    runtime.create_fails(bundle.mount("/etc/passwd", area / "source", "bind"))


def test_file_on_directory(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").touch()
    runtime.create_fails(bundle.mount("/mnt", area / "source", "bind"))


@only_pyrunc("ends the path at the NUL byte, or stumbles over it later")
@pytest.mark.parametrize("key", ["source", "destination"])
def test_nul_byte(runtime: Runtime, bundle: Bundle, key: str) -> None:
    bundle.mount("/mnt", "/etc", "bind").config["mounts"][-1][key] += "\0x"
    runtime.create_fails(bundle, key, "NUL byte")


def test_tmpcopyup(runtime: Runtime, bundle: Bundle) -> None:
    directory = bundle.rootfs / "data"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub/file").write_text("content")
    (directory / "link").symlink_to("sub/file")
    (directory / "sub/file").chmod(0o640)
    bundle.mount("/data", "tmpfs", "tmpcopyup", fstype="tmpfs")
    script = "cat /data/link; stat -c ' %a' /data/sub/file; readlink /data/link; echo changed > /data/sub/file"
    assert runtime.output(bundle, script).split() == ["content", "640", "sub/file"]
    assert (directory / "sub/file").read_text() == "content"


def test_tmpcopyup_leaves_the_directory_to_the_options(runtime: Runtime, bundle: Bundle) -> None:
    """Its mode and owner are those of the options, or what they are without tmpcopyup; what is copied keeps its own."""
    for directory in (bundle.rootfs / "plain", bundle.rootfs / "given"):
        (directory / "sub").mkdir(mode=0o750, parents=True)
        directory.chmod(0o711)
        os.chown(directory, 5, 6)
        os.chown(directory / "sub", 5, 6)
    bundle.mount("/plain", "tmpfs", "tmpcopyup", fstype="tmpfs")
    bundle.mount("/given", "tmpfs", "tmpcopyup", "mode=1775", "uid=7", "gid=8", fstype="tmpfs")
    output = runtime.output(bundle, "stat -c '%a %u %g' /plain /plain/sub /given /given/sub")
    assert output.splitlines() == ["711 0 0", "750 5 6", "1775 7 8", "750 5 6"]


@differs(crun="1.8.1 writes the holes", runc="1.1.5 writes the holes")
def test_tmpcopyup_of_a_file_with_holes(runtime: Runtime, bundle: Bundle) -> None:
    """Or an image that takes no space takes all memory."""
    (bundle.rootfs / "data").mkdir()
    with (bundle.rootfs / "data/file").open("wb") as file:
        for at, text in ((0, b"begin"), (10 << 20, b"middle"), (20 << 20, b"end")):
            file.seek(at)
            file.write(text)
        file.truncate(1 << 30)
    (bundle.rootfs / "data/hole").touch()
    os.truncate(bundle.rootfs / "data/hole", 1 << 40)
    bundle.mount("/data", "tmpfs", "tmpcopyup", fstype="tmpfs")
    script = (
        "stat -c '%s %b' /data/file /data/hole; head -c 5 /data/file; "
        "for at in 10 20; do dd if=/data/file bs=1M skip=$at count=1 2> /dev/null | head -c 6 | tr -d '\\0'; done"
    )
    (size, blocks), (hole, none), (text,) = (line.split() for line in runtime.output(bundle, script).splitlines())
    assert (int(size), int(hole), none, text) == (1 << 30, 1 << 40, "0", "beginmiddleend")
    assert int(blocks) <= 3 * 16


def test_tmpcopyup_stays_within_the_limit_of_memory(runtime: Runtime, bundle: Bundle) -> None:
    """What is copied is the image's to say; the limit itself comes when init is no interpreter any more."""
    if "memory" not in (CGROUP_ROOT / "cgroup.controllers").read_text().split():
        pytest.skip("needs the memory controller of cgroup v2")
    with (bundle.rootfs / "mnt/big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1 << 20))
    bundle.mount("/mnt", "tmpfs", "tmpcopyup", fstype="tmpfs")
    bundle.linux["resources"] = {"memory": {"limit": 32 << 20}}
    runtime.create_fails(bundle, "memory")


@differs(crun="1.8.1 uses 755")
@pytest.mark.parametrize("mode", [0o1777, 0o700, 0o751])
def test_tmpfs_takes_the_mode_of_what_it_covers(runtime: Runtime, bundle: Bundle, mode: int) -> None:
    (bundle.rootfs / "mnt").chmod(mode)
    bundle.mount("/mnt", "tmpfs", fstype="tmpfs")
    assert runtime.output(bundle, "stat -c %a /mnt").strip() == f"{mode:o}"


@differs(runc="1.1.5 lets the covered directory win")
def test_tmpfs_with_a_mode_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "mnt").chmod(0o700)
    bundle.mount("/mnt", "tmpfs", "mode=711", fstype="tmpfs")
    assert runtime.output(bundle, "stat -c %a /mnt").strip() == "711"


@pytest.mark.parametrize("destination", ["/sys/fs/cgroup", "/cgroup"])
def test_cgroup_mount_shows_the_containers_own_cgroup(runtime: Runtime, bundle: Bundle, destination: str) -> None:
    bundle.drop_mounts("/sys/fs/cgroup").mount(destination, "cgroup", "ro", fstype="cgroup")
    output = runtime.output(bundle, f"cat {destination}/cgroup.procs; cat /proc/self/cgroup | tail -n 1")
    assert output.split()[0] == "1"
    assert output.split()[-1] == "0::/"


@differs(runc="1.1.5 does not try again with the flags of the source")
def test_bind_of_a_mount_with_locked_flags(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    # In a user namespace the kernel refuses a remount that would drop nosuid or nodev of a mount made outside.
    source = area / "source"
    source.mkdir()
    mount("tmpfs", str(source), "tmpfs", 0x2 | 0x4 | 0x8, "mode=755")
    try:
        bundle.user_namespace().mount("/mnt", source, "bind", "ro")
        mountinfo = runtime.output(bundle, "grep ' /mnt ' /proc/self/mountinfo")
    finally:
        umount(str(source))
    assert "ro" in mountinfo.split()[5].split(",")


LONG = "n" * 200


def layers(area: Path, count: int) -> str:
    """An overlay's lowerdir of this many directories with long names; the first has a file `first`."""
    made = [area / f"{number}{LONG}" for number in range(count)]
    for path in made:
        path.mkdir()
    (made[0] / "first").touch()
    return "lowerdir=" + ":".join(map(str, made))


def test_overlay_with_long_paths(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.mount("/mnt/overlay", "overlay", layers(area, 3), "ro", "nosuid", fstype="overlay")
    output = runtime.output(bundle, "ls /mnt/overlay; grep ' /mnt/overlay ' /proc/self/mountinfo")
    name, fields = output.split()[0], output.splitlines()[1].split()
    assert (name, fields[5].split(",")[:2]) == ("first", ["ro", "nosuid"])


def test_a_source_with_a_long_name(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", f"/{LONG}/{LONG}", "size=64k", fstype="tmpfs")
    assert runtime.output(bundle, "grep ' /mnt ' /proc/self/mountinfo").split()[-2] == f"/{LONG}/{LONG}"


SWAPPED = """
from pyrunc.kernel import syscalls

def swap_and_mount(*arguments, mount=syscalls.mount):
    import posix
    posix.rename("../mnt", "../moved")
    posix.mkdir("../mnt")
    mount(*arguments)

syscalls.mount = swap_and_mount
main()
"""


@only_pyrunc("changes a function of pyrunc's")
def test_destination_that_is_swapped_before_mount2(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    program = area / "pyrunc"
    program.write_text(DEFAULT_RUNTIME.read_text().replace("\nmain()\n", SWAPPED))
    program.chmod(0o755)
    bundle.mount("/mnt", f"/{LONG}/{LONG}", fstype="tmpfs")
    Runtime(runtime.root, program).create_fails(bundle, "changed while it was being mounted", "/mounts/")


@differs(runc="1.1.5 applies recursive words to bind mounts alone")
def test_recursive_read_only_with_a_long_name(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", f"/{LONG}/{LONG}", "rro", fstype="tmpfs")
    assert "ro" in runtime.output(bundle, "grep ' /mnt ' /proc/self/mountinfo").split()[5].split(",")


@only_pyrunc("crun and runc copy into a mount that is in its place already")
def test_copy_of_what_is_covered_with_a_long_name(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/etc", f"/{LONG}/{LONG}", "tmpcopyup", fstype="tmpfs")
    runtime.create_fails(bundle, "/etc", "mount(2)", "shows the mount too early")


@only_pyrunc("passes them on")
def test_options_that_the_kernel_would_cut(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.mount("/mnt", "overlay", layers(area, 25), fstype="overlay")
    runtime.create_fails(bundle, "/mnt", "longer than 4095 bytes")


@differs(crun="1.8.1 wants the key", runc="1.1.5 needs a /proc in the container")
def test_without_a_mounts_key(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.config["mounts"]
    for key in ("maskedPaths", "readonlyPaths"):
        bundle.linux.pop(key)
    assert runtime.output(bundle, "echo ran; ls /proc") == "ran\n"


def test_five_hundred_mounts(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source").touch()
    for number in range(500):
        bundle.mount(f"/mnt/{number}", area / "source", "bind", "ro")
    assert runtime.output(bundle, "grep -c ' /mnt/' /proc/self/mountinfo").strip() == "500"


def of_an_earlier_tmpfs(bundle: Bundle, area: Path) -> None:
    bundle.mount("/a", "tmpfs", fstype="tmpfs")


def of_an_earlier_bind_mount(bundle: Bundle, area: Path) -> None:
    (area / "volume").mkdir(mode=0o777)
    (area / "volume").chmod(0o777)
    bundle.mount("/a", area / "volume", "bind")


def without_mount_namespace(bundle: Bundle) -> None:
    bundle.share("mount").linux.update(maskedPaths=[], readonlyPaths=[])


KINDS = {"plain": lambda bundle: None, "user namespace": Bundle.user_namespace, "shared": without_mount_namespace}
SHARED = pytest.param("shared", marks=only_pyrunc("leaves its mounts on the host"))


@pytest.mark.parametrize("kind", ["plain", "user namespace", SHARED])
@pytest.mark.parametrize("earlier", [of_an_earlier_tmpfs, of_an_earlier_bind_mount])
@pytest.mark.parametrize("absolute", [False, True])
def test_source_in_an_earlier_mount(
    runtime: Runtime, bundle: Bundle, area: Path, kind: str, earlier: Callable[[Bundle, Path], None], absolute: bool
) -> None:
    KINDS[kind](bundle)
    earlier(bundle, area)
    bundle.mount("/b", bundle.rootfs / "a" if absolute else "rootfs/a", "rbind", "rw")
    assert runtime.output(bundle, "echo it > /a/file; cat /b/file; echo more > /b/file; cat /a/file") == "it\nmore\n"


@differs(runc="1.5.3 refuses the second mount")
def test_read_only_source_in_an_earlier_mount_stays_so_in_a_user_namespace(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    """The host's mount is read-only; what goes through an earlier mount of the container's does not change that."""
    volume = area / "volume"
    volume.mkdir()
    mount(str(volume), str(volume), "", MS_BIND)
    mount("", str(volume), "", MS_BIND | MS_REMOUNT | MS_RDONLY)
    try:
        bundle.user_namespace().mount("/a", volume, "bind", "rw").mount("/b", "rootfs/a", "bind", "rw")
        result = runtime.run(bundle.shell("touch /a/file || touch /b/file || echo read-only"))
        assert result.stdout == "read-only\n", result.stderr
    finally:
        umount(str(volume))
