"""Mount options of config.md: what each does, seen in the container's mountinfo."""

from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, MS_PRIVATE, MS_REC, MS_REMOUNT, MS_SHARED, mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime

NO_LAZYTIME = differs(crun="1.8.1 does not know it and gives it to the file system")
FIRST_STAYS = differs(crun="1.8.1 lets the first option stand")
SHARED = differs(crun="1.8.1 makes it private again")
NO_ATIME = differs(crun="1.8.1 gives the kernel the flag without the mask that it wants")
NO_SYMFOLLOW = differs(crun="1.8.1 does not know it", runc="1.1.5 does not know it")


def flags_of(mountinfo: str, destination: str) -> set[str]:
    """Options of the topmost mount at destination: those of the mount and those of the file system."""
    lines = [line.split() for line in mountinfo.splitlines() if line.split()[4] == destination]
    assert lines, f"nothing is mounted on {destination}:\n{mountinfo}"
    return set(lines[-1][5].split(",")) | set(lines[-1][-1].split(","))


def propagation_of(mountinfo: str, destination: str) -> set[str]:
    """Kinds of the optional fields (shared, master, unbindable) of the mount at destination."""
    lines = [line.split() for line in mountinfo.splitlines() if line.split()[4] == destination]
    fields = lines[-1]
    return {field.partition(":")[0] for field in fields[6 : fields.index("-")]}


TMPFS = [
    ("ro", {"ro"}, set()),
    ("rw", {"rw"}, {"ro"}),
    pytest.param("ro rw", {"rw"}, {"ro"}, marks=FIRST_STAYS),
    ("nosuid", {"nosuid"}, set()),
    pytest.param("nosuid suid", set(), {"nosuid"}, marks=FIRST_STAYS),
    ("nodev", {"nodev"}, set()),
    pytest.param("nodev dev", set(), {"nodev"}, marks=FIRST_STAYS),
    ("noexec", {"noexec"}, set()),
    pytest.param("noexec exec", set(), {"noexec"}, marks=FIRST_STAYS),
    ("sync", {"sync"}, set()),
    pytest.param("sync async", set(), {"sync"}, marks=FIRST_STAYS),
    ("dirsync", {"dirsync"}, set()),
    ("noatime", {"noatime"}, {"relatime"}),
    pytest.param("noatime atime", set(), {"noatime"}, marks=FIRST_STAYS),
    ("nodiratime", {"nodiratime"}, set()),
    pytest.param("nodiratime diratime", set(), {"nodiratime"}, marks=FIRST_STAYS),
    ("relatime", {"relatime"}, {"noatime"}),
    pytest.param(
        "noatime relatime",
        {"relatime"},
        {"noatime"},
        marks=differs(crun="1.8.1 lets the first option stand", runc="1.1.5 lets the first option stand"),
    ),
    ("norelatime", set(), {"noatime"}),
    ("strictatime", set(), {"relatime", "noatime"}),
    pytest.param("strictatime nostrictatime", {"relatime"}, set(), marks=FIRST_STAYS),
    pytest.param(
        "defaults", {"rw"}, {"nosuid", "nodev", "noexec"}, marks=differs(runc="1.1.5 gives it to the file system")
    ),
    ("nosuid nodev noexec ro", {"nosuid", "nodev", "noexec", "ro"}, set()),
    ("size=64k", {"size=64k"}, set()),
    ("mode=700 size=128k", {"size=128k", "mode=700"}, set()),
    pytest.param("lazytime", {"lazytime"}, set(), marks=NO_LAZYTIME),
    pytest.param("lazytime nolazytime", set(), {"lazytime"}, marks=NO_LAZYTIME),
    pytest.param("silent", set(), set(), marks=NO_LAZYTIME),
    pytest.param("silent loud", set(), set(), marks=NO_LAZYTIME),
    pytest.param("noiversion", set(), {"iversion"}, marks=NO_LAZYTIME),
    ("mand", set(), set()),
    ("nomand", set(), set()),
    pytest.param("nosymfollow", {"nosymfollow"}, set(), marks=NO_SYMFOLLOW),
    pytest.param("nosymfollow symfollow", set(), {"nosymfollow"}, marks=NO_SYMFOLLOW),
]


@pytest.mark.parametrize("options, present, absent", TMPFS)
def test_tmpfs(runtime: Runtime, bundle: Bundle, options: str, present: set[str], absent: set[str]) -> None:
    bundle.mount("/mnt", "tmpfs", *options.split(), fstype="tmpfs")
    flags = flags_of(runtime.output(bundle, "cat /proc/self/mountinfo"), "/mnt")
    assert present <= flags
    assert not absent & flags


BIND = [
    ("ro", {"ro"}, set()),
    ("rw", {"rw"}, {"ro"}),
    ("nosuid nodev noexec", {"nosuid", "nodev", "noexec"}, set()),
    ("ro nosuid", {"ro", "nosuid"}, set()),
    ("noatime", {"noatime"}, set()),
    pytest.param("nosymfollow", {"nosymfollow"}, set(), marks=NO_SYMFOLLOW),
]


@pytest.mark.parametrize("bind", ["bind", "rbind"])
@pytest.mark.parametrize("options, present, absent", BIND)
def test_bind(
    runtime: Runtime, bundle: Bundle, area: Path, bind: str, options: str, present: set[str], absent: set[str]
) -> None:
    (area / "source").mkdir()
    bundle.mount("/mnt", area / "source", bind, *options.split())
    flags = flags_of(runtime.output(bundle, "cat /proc/self/mountinfo"), "/mnt")
    assert present <= flags
    assert not absent & flags


def test_read_only_bind_refuses_writing_and_leaves_the_source_alone(
    runtime: Runtime, bundle: Bundle, area: Path
) -> None:
    (area / "source").mkdir()
    bundle.mount("/mnt", area / "source", "bind", "ro")
    output = runtime.output(bundle, "touch /mnt/x 2>&1; test -e /mnt/x || echo absent")
    assert "Read-only file system" in output
    assert output.endswith("absent\n")
    (area / "source/y").touch()


def test_remount_changes_an_earlier_mount(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", "tmpfs", "rw", fstype="tmpfs")
    bundle.mount("/mnt", "tmpfs", "remount", "ro", "nosuid", fstype="tmpfs")
    mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    assert {"ro", "nosuid"} <= flags_of(mountinfo, "/mnt")
    assert sum(line.split()[4] == "/mnt" for line in mountinfo.splitlines()) == 1


RECURSIVE = [
    ("rro", "ro"),
    ("rnosuid", "nosuid"),
    ("rnodev", "nodev"),
    ("rnoexec", "noexec"),
    pytest.param("rnoatime", "noatime", marks=NO_ATIME),
    pytest.param("rnodiratime", "nodiratime", marks=NO_ATIME),
    ("rro rnosuid rnodev rnoexec", "ro nosuid nodev noexec"),
    pytest.param("rnosymfollow", "nosymfollow", marks=NO_SYMFOLLOW),
]


@pytest.mark.parametrize("options, expected", RECURSIVE)
def test_recursive_attributes(runtime: Runtime, bundle: Bundle, area: Path, options: str, expected: str) -> None:
    source = area / "source"
    (source / "sub").mkdir(parents=True)
    mount("tmpfs", str(source / "sub"), "tmpfs")
    try:
        bundle.mount("/mnt", source, "rbind", *options.split())
        mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    finally:
        umount(str(source / "sub"))
    for destination in ("/mnt", "/mnt/sub"):
        assert set(expected.split()) <= flags_of(mountinfo, destination)


@pytest.mark.parametrize(
    "word",
    ["rasync", "rmand", "rnomand", "rsync", pytest.param("rdirsync", marks=differs(crun="1.8.1 turns on nodiratime"))],
)
def test_options_of_a_file_system_are_not_for_all_mounts_below(runtime: Runtime, bundle: Bundle, word: str) -> None:
    runtime.create_fails(bundle.mount("/mnt", "tmpfs", word, fstype="tmpfs"))


CLEARED = [
    ("rrw", "ro"),
    ("rsuid", "nosuid"),
    ("rdev", "nodev"),
    ("rexec", "noexec"),
    pytest.param("rdiratime", "nodiratime", marks=NO_ATIME),
]


@pytest.mark.parametrize("option, flag", CLEARED)
def test_recursive_attributes_are_cleared(runtime: Runtime, bundle: Bundle, area: Path, option: str, flag: str) -> None:
    source = area / "source"
    source.mkdir()
    numbers = {"ro": 0x1, "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "nodiratime": 0x800}
    mount("tmpfs", str(source), "tmpfs")
    mount("none", str(source), "", MS_REMOUNT | MS_BIND | numbers[flag])  # the mount, not its file system
    try:
        bundle.mount("/mnt", source, "rbind", option)
        mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    finally:
        umount(str(source))
    assert flag not in flags_of(mountinfo, "/mnt")


def test_rbind_brings_submounts_and_bind_does_not(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    (area / "source/sub").mkdir(parents=True)
    (bundle.rootfs / "mnt/a").mkdir()
    (bundle.rootfs / "mnt/b").mkdir()
    mount("tmpfs", str(area / "source/sub"), "tmpfs")
    try:
        (area / "source/sub/file").touch()
        bundle.mount("/mnt/a", area / "source", "bind").mount("/mnt/b", area / "source", "rbind")
        output = runtime.output(bundle, "ls /mnt/a/sub; echo --; ls /mnt/b/sub")
    finally:
        umount(str(area / "source/sub"))
    assert output.split() == ["--", "file"]


@pytest.mark.parametrize(
    "option, kinds",
    [
        ("private", set()),
        ("rprivate", set()),
        pytest.param("shared", {"shared"}, marks=SHARED),
        pytest.param("rshared", {"shared"}, marks=SHARED),
        ("slave", {"master"}),
        ("rslave", {"master"}),
        ("unbindable", {"unbindable"}),
        ("runbindable", {"unbindable"}),
    ],
)
def test_propagation(runtime: Runtime, bundle: Bundle, area: Path, option: str, kinds: set[str]) -> None:
    source = area / "source"
    source.mkdir()
    mount("tmpfs", str(source), "tmpfs")
    try:
        mount("none", str(source), "", MS_SHARED if kinds == {"master"} else MS_PRIVATE)
        if kinds != {"shared"}:  # a slave's copy that is made shared again would be both
            bundle.linux["rootfsPropagation"] = "rslave"
        bundle.mount("/mnt", source, "rbind", option)
        mountinfo = runtime.output(bundle, "cat /proc/self/mountinfo")
    finally:
        mount("none", str(source), "", MS_PRIVATE)
        umount(str(source))
    assert propagation_of(mountinfo, "/mnt") == kinds


@pytest.mark.parametrize(
    "option", [pytest.param("unbindable", marks=differs(crun="1.8.1 makes what is below so, too")), "runbindable"]
)
def test_propagation_of_what_is_mounted_below(runtime: Runtime, bundle: Bundle, area: Path, option: str) -> None:
    source = area / "source"
    (source / "sub").mkdir(parents=True)
    mount("tmpfs", str(source / "sub"), "tmpfs")
    bundle.linux["rootfsPropagation"] = "rslave"
    try:
        mountinfo = runtime.output(bundle.mount("/mnt", source, "rbind", option), "cat /proc/self/mountinfo")
    finally:
        umount(str(source / "sub"))
    assert "unbindable" in propagation_of(mountinfo, "/mnt")
    assert ("unbindable" in propagation_of(mountinfo, "/mnt/sub")) == (option == "runbindable")


@pytest.mark.parametrize(
    "propagation, kinds",
    [
        ("private", set()),
        ("rprivate", set()),
        pytest.param("shared", {"shared"}, marks=differs(runc="1.1.5 leaves the root private")),
        pytest.param("unbindable", {"unbindable"}, marks=differs(runc="1.1.5 cannot bind the root afterwards")),
    ],
)
def test_rootfs_propagation(runtime: Runtime, bundle: Bundle, propagation: str, kinds: set[str]) -> None:
    bundle.linux["rootfsPropagation"] = propagation
    assert propagation_of(runtime.output(bundle, "cat /proc/self/mountinfo"), "/") == kinds


@pytest.mark.parametrize("propagation", ["shared", "rshared"])
@pytest.mark.parametrize(
    "user_namespace", [False, pytest.param(True, marks=differs(runc="1.1.5 binds a slave of the host's mount"))]
)
def test_mounts_of_a_shared_root_go_out_to_the_host(
    runtime: Runtime, bundle: Bundle, area: Path, propagation: str, user_namespace: bool
) -> None:
    shared = area / "shared"
    (shared / "sub").mkdir(parents=True)
    mount(str(shared), str(shared), "", MS_BIND)
    mount("none", str(shared), "", MS_SHARED)
    bundle.linux["rootfsPropagation"] = propagation
    if user_namespace:
        bundle.user_namespace()
    try:
        bundle.all_sets("CAP_SYS_ADMIN").mount("/mnt", shared, "rbind", "rshared")
        runtime.output(bundle, "mount -t tmpfs none /mnt/sub")
        assert str(shared / "sub") in Path("/proc/self/mountinfo").read_text()
        umount(str(shared / "sub"))
    finally:
        mount("none", str(shared), "", MS_PRIVATE | MS_REC)
        umount(str(shared))


def test_mounts_of_the_container_are_not_seen_by_the_host(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    shared = area / "shared"
    (shared / "sub").mkdir(parents=True)
    mount(str(shared), str(shared), "", MS_BIND)
    mount("none", str(shared), "", MS_SHARED | MS_REC)
    try:
        bundle.all_sets("CAP_SYS_ADMIN").mount("/mnt", shared, "rbind", "rslave")
        output = runtime.output(bundle, "mount -t tmpfs none /mnt/sub && touch /mnt/sub/x && ls /mnt/sub")
        assert output == "x\n"
        assert str(shared / "sub") not in Path("/proc/self/mountinfo").read_text()
    finally:
        mount("none", str(shared), "", MS_PRIVATE | MS_REC)
        umount(str(shared))


def test_slave_mount_receives_later_mounts_of_the_host(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    shared = area / "shared"
    (shared / "sub").mkdir(parents=True)
    mount(str(shared), str(shared), "", MS_BIND)
    mount("none", str(shared), "", MS_SHARED)
    bundle.linux["rootfsPropagation"] = "rslave"
    bundle.mount("/mnt", shared, "rbind", "rslave").shell("ls /mnt/sub")
    try:
        with runtime.created(bundle) as container:
            mount("tmpfs", str(shared / "sub"), "tmpfs")
            (shared / "sub/from-the-host").touch()
            assert container.finish() == "from-the-host\n"
    finally:
        umount(str(shared / "sub"))
        mount("none", str(shared), "", MS_PRIVATE)
        umount(str(shared))


def test_file_system_options_of_a_bind_mount_are_of_no_effect(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.mount("/mnt", area, "bind", "mode=755").shell("ls -d /mnt")
    result = runtime.run(bundle)
    assert (result.returncode, result.stdout) == (0, "/mnt\n"), result.stderr


@only_pyrunc("says nothing")
def test_file_system_options_of_a_bind_mount_are_warned_about(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    result = runtime.run(bundle.mount("/mnt", area, "bind", "mode=755"))
    assert "`mode=755` is ignored" in result.stderr
    assert "/mounts/7/options" in result.stderr
