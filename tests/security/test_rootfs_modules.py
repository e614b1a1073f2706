"""The kernel modules that build the root filesystem, against hostile images; each test in a child's own namespaces."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.mount import mounts, rootfs
from pyrunc.kernel.mount.mounts import Attached
from pyrunc.kernel.process import processes

from tests.image import Image, link, mount, untouched

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def _leftovers_checked() -> None:
    """No runtime runs here; `untouched` looks for what could be left."""


@pytest.fixture
def place(private_host: None, tmp_path: Path) -> Iterator[Image]:
    """An image; what is outside of it is the same afterwards, on a host whose mounts are shared."""
    with untouched(tmp_path) as image:
        yield image


def attach(root: int, *args: str) -> dict[str, list[str]]:
    """Make a mount; {its path in the container: [options, propagation, type, superblock options]} of all there are."""
    mounts.attach(root, mount(*args), Attached())
    return table_of(os.readlink(f"/proc/self/fd/{root}"))


def table_of(top: str) -> dict[str, list[str]]:
    """What is mounted below `top`."""
    result = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        words, kind, _, superblock = fields.split(), *rest.split()
        if words[4].startswith(f"{top}/"):
            result[words[4].removeprefix(top)] = [words[5], " ".join(words[6:]), kind, superblock]
    return result


@pytest.mark.parametrize(
    ("arguments", "flags", "kind", "superblock"),
    [
        (("/proc", "proc", "nosuid,noexec,nodev"), {"nosuid", "noexec", "nodev"}, "proc", set()),
        (("/sys", "sysfs", "ro,nosuid"), {"ro", "nosuid"}, "sysfs", set()),
        (
            ("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            {"nosuid"},
            "tmpfs",
            {"size=65536k", "mode=755"},
        ),
        (("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"), {"rw"}, "devpts", {"ptmxmode=666", "mode=620"}),
        (("/dev/mqueue", "mqueue", "noexec"), {"noexec"}, "mqueue", {"rw"}),
        (("/sys/fs/cgroup", "cgroup", "ro"), {"ro"}, "cgroup2", set()),
        (("/a/b/c", "tmpfs", "ro,noatime,nodiratime"), {"ro", "noatime", "nodiratime"}, "tmpfs", {"ro"}),
        (("/t", "tmpfs", "sync,lazytime,dirsync,mand"), {"rw"}, "tmpfs", {"sync", "dirsync", "lazytime"}),
        (("relative", "tmpfs", "iversion,silent,nosymfollow"), {"nosymfollow"}, "tmpfs", {"rw"}),
        (("/t", "tmpfs", "rro,rnosuid"), {"ro", "nosuid"}, "tmpfs", {"rw"}),
    ],
)
def test_new_file_systems(
    place: Image, arguments: tuple[str, str, str], flags: set[str], kind: str, superblock: set[str]
) -> None:
    table = place.inside(lambda root: attach(root, *arguments))
    assert isinstance(table, dict)
    entry = table["/" + arguments[0].strip("/")]
    assert flags <= set(entry[0].split(","))
    assert entry[2] == kind
    assert superblock <= set(entry[3].split(","))


def test_bind_keeps_flags_that_no_option_names(place: Image) -> None:
    def body(root: int) -> object:
        mounts.attach(root, mount("/etc", "tmpfs", "nosuid,nodev,noatime"), Attached())
        mounts.attach(root, mount("/file", "", "bind,ro", f"{place.outside}/sub/sentinel"), Attached())
        return attach(root, "/copy", "", "rbind,ro,dev", f"{place.root}/etc")

    table = place.inside(body)
    assert table["/copy"][0] == "ro,nosuid,noatime"
    assert table["/file"][0].startswith("ro,")
    assert (place.root / "file").read_text() == ""


def test_recursive_attributes_reach_what_is_below(place: Image) -> None:
    def body(root: int) -> object:
        mounts.attach(root, mount("/etc", "tmpfs"), Attached())
        mounts.attach(root, mount("/etc/below", "tmpfs"), Attached())
        return attach(root, "/copy", "", "rbind,rro,rnosymfollow", f"{place.root}/etc")

    table = place.inside(body)
    assert {"ro", "nosymfollow"} <= set(table["/copy"][0].split(","))
    assert {"ro", "nosymfollow"} <= set(table["/copy/below"][0].split(","))
    assert "ro" not in table["/etc/below"][0].split(",")


def test_remount_and_propagation(place: Image) -> None:
    def body(root: int) -> object:
        mounts.attach(root, mount("/etc", "tmpfs", "nosuid,size=64k"), Attached())
        mounts.attach(root, mount("/etc", "", "remount,ro,size=128k"), Attached())
        mounts.attach(root, mount("/data", "tmpfs", "shared"), Attached())
        mounts.attach(root, mount("/dev", "tmpfs", "unbindable"), Attached())
        return attach(root, "/data", "", "remount,bind,noexec")

    table = place.inside(body)
    assert table["/etc"][0] == "ro,nosuid,relatime"
    assert {"ro", "size=128k"} <= set(table["/etc"][3].split(","))
    assert table["/data"][1].startswith("shared:")
    assert "noexec" in table["/data"][0]
    assert table["/dev"][1] == "unbindable"


@pytest.mark.parametrize("word", ["", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"])
@pytest.mark.parametrize("enter", [rootfs.pivot, rootfs.move_root])
def test_root_propagation_and_pivot(place: Image, enter: Callable[[int], None], word: str) -> None:
    def body(root: int) -> object:
        mounts.attach(root, mount("/proc", "proc"), Attached())
        enter(root)
        rootfs.make_readonly(root)
        if word:
            rootfs.set_propagation(root, word)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line.split()[3:7] for line in lines if line.split()[4] == "/"], os.getcwd(), os.listdir("/")

    roots, cwd, names = place.inside(body, propagation=word)  # type: ignore[misc]  # the tuple that body gives
    assert sorted(names) == ["data", "dev", "etc", "proc", "sys"]
    assert cwd == "/"
    top, _, flags, kind = roots[-1]
    assert top.endswith("/root")
    assert flags.startswith("ro")
    kinds = {"slave": "master:", "shared": "shared:", "unbindable": "unbindable"}
    assert kind.startswith(kinds.get(word.removeprefix("r"), "-"))


def test_no_mount_namespace(place: Image) -> None:
    """Nothing is mounted and the root is entered by chroot."""

    def body(_: int) -> object:
        before = Path("/proc/self/mountinfo").read_bytes()
        root = rootfs.prepare(str(place.root), private=False)
        assert Path("/proc/self/mountinfo").read_bytes() == before
        paths.change_root(root)
        return os.getcwd(), os.listdir("/")

    cwd, names = place.inside(body)  # type: ignore[misc]  # the pair that body gives
    assert (cwd, sorted(names)) == ("/", ["data", "dev", "etc", "proc", "sys"])


def test_what_is_detached_is_no_other_mount(place: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mount namespace; a symlink to mounts of the host comes into the way after the table was read."""
    hosts, way, link = place.outside.parent / "hosts", place.root / "data/a", place.root / "data/link"
    for directory in (hosts, way):
        (directory / "m").mkdir(parents=True)
    link.symlink_to(hosts)

    def body(_: int) -> object:
        for directory in (hosts, way):
            syscalls.mount("tmpfs", str(directory / "m"), "tmpfs", 0)
        reads: list[int] = []

        def mount_table() -> object:
            found = table()
            if not reads:
                for old, new in ((way, "away"), (link, "a"), (way.parent / "away", "link")):
                    old.rename(way.parent / new)
            reads.append(0)
            return found

        table = processes.mount_table
        monkeypatch.setattr(processes, "mount_table", mount_table)
        rootfs.detach(str(way.parent), [])
        points = [point for _, _, point in table()]
        return str(hosts / "m") in points, any(point.startswith(str(way.parent)) for point in points), len(reads)

    assert place.inside(body) == [True, False, 2]
    shutil.rmtree(way.parent)


def test_what_is_detached_is_no_mount_that_is_there_for_a_moment(place: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a symlink: the directory that holds it is in the way while that is looked up, and gone again."""
    hosts, way, away = place.root / "hosts", place.root / "data/a", place.root / "data/away"  # (of one mount)
    for directory in (hosts, way):
        (directory / "m").mkdir(parents=True)

    def swap() -> None:
        for old, new in ((way, away), (hosts, way), (away, hosts)):
            old.rename(new)

    def body(_: int) -> object:
        for directory in (hosts, way):
            syscalls.mount("tmpfs", str(directory / "m"), "tmpfs", 0)
        calls: list[int] = []

        def open_in(*arguments: Any, **options: Any) -> int:
            calls.append(0)
            if len(calls) > 1:
                return look_up(*arguments, **options)
            swap()
            try:
                return look_up(*arguments, **options)
            finally:
                swap()

        look_up = paths.open_in
        monkeypatch.setattr(paths, "open_in", open_in)
        rootfs.detach(str(way.parent), [])
        points = [point for _, _, point in processes.mount_table()]
        return str(hosts / "m") in points, str(way / "m") in points, len(calls)

    assert place.inside(body) == [True, False, 2]
    for directory in (hosts, way.parent):
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("/x", "nonsuch"), "No such device (config.json: /mounts/0; this kernel does not know the file system"),
        (
            ("/x", "bind"),
            "No such device (config.json: /mounts/0; a bind mount needs the option `bind` or `rbind`)",
        ),
        (("/x", "tmpfs", "mode=zzz"), "Invalid argument (config.json: /mounts/0; tmpfs: Bad value for 'mode')"),
        (("/x", "tmpfs", "nonsuch"), "Invalid argument (config.json: /mounts/0; tmpfs: Unknown parameter 'nonsuch')"),
        (("/x", "", "bind", "/nonsuch/source"), "mount `/nonsuch/source` to `/x`"),
        (("/x", "", "bind,size=3", "/etc"), "a bind mount does not take file system options (`size=3`)"),
        (("/x", "", "", "/etc"), "it has no type"),
        (("/data", "", "remount,ro"), "Invalid argument"),
        (("/", "tmpfs"), "the root file system is set by root.path and cannot be mounted over"),
        (("/data", "", "bind", "/etc/passwd"), "one is a directory, the other is not"),
        (("/file", "tmpfs"), "one is a directory, the other is not"),
        (("/x\0y", "tmpfs"), "Invalid argument"),
    ],
)
def test_errors_name_the_mount_and_say_the_kernels_words(place: Image, arguments: tuple[str], text: str) -> None:
    (place.root / "file").write_text("")
    with pytest.raises(PyruncError) as caught:
        place.inside(lambda root: attach(root, *arguments))
    assert text in str(caught.value)
    assert caught.value.pointer == "/mounts/0"


@pytest.mark.parametrize("target", ["{}", "../../../../../../../../../../../..{}", "{}/nonsuch/deep"])
@pytest.mark.parametrize(("options", "source"), [("", ""), ("bind", "/etc"), ("bind", "/etc/passwd")])
def test_destination_symlinks_stay_inside(place: Image, target: str, options: str, source: str) -> None:
    """CVE-2019-18837: an image's symlink to the host leads to that path inside."""
    link(place.root / "data", target.format(place.outside))
    table = place.inside(lambda root: attach(root, "/data/x/y", "" if source else "tmpfs", options, source))
    where = target.format(place.outside).replace("../", "/").replace("..", "")
    assert list(table) == [f"/{where.strip('/')}/x/y"]


def test_symlink_loop_and_dangling_chain(place: Image) -> None:
    link(place.root / "data", "/loop")
    (place.root / "loop").symlink_to("data")
    with pytest.raises(PyruncError, match="Too many levels of symbolic links"):
        place.inside(lambda root: attach(root, "/data/x", "tmpfs"))
    (place.root / "var").mkdir()
    (place.root / "var/run").symlink_to("../run")
    (place.root / "var/lock").symlink_to("run/lock")
    assert "/run/lock/x" in place.inside(lambda root: attach(root, "/var/lock/x", "tmpfs"))


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp/x", "/etc", "{}", "../../../../../../{}"])
def test_proc_and_sys_must_be_directories(place: Image, name: str, target: str) -> None:
    """CVE-2023-27561, CVE-2019-19921."""
    link(place.root / name, target.format(place.outside))
    with pytest.raises(PyruncError, match="ordinary directory"):
        place.inside(lambda root: attach(root, f"/{name}", {"proc": "proc", "sys": "sysfs"}[name]))


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("/proc", "", "bind", "OUT"), False),
        (("/proc", "", "rbind", "/proc"), True),
        (("/proc/self/attr", "tmpfs"), False),
        (("/proc/version", "", "bind", "/etc/hostname"), False),
        (("/alias/version", "", "bind", "/etc/hostname"), False),
        (("//proc/./sys/../version", "", "bind", "/etc/hostname"), False),
        (("/proc/uptime", "", "bind", "/etc/hostname"), True),
        (("/proc/sys/kernel/ns_last_pid", "", "bind", "/etc/hostname"), True),
    ],
)
def test_what_may_cover_proc(place: Image, arguments: tuple[str, ...], allowed: bool) -> None:
    """CVE-2015-3627 and its kin."""
    (place.root / "alias").symlink_to("proc")
    arguments = tuple(word.replace("OUT", str(place.outside)) for word in arguments)

    def body(root: int) -> object:
        if arguments[0] != "/proc":
            mounts.attach(root, mount("/proc", "proc"), Attached())
        return attach(root, *arguments)

    if allowed:
        assert arguments[0] in place.inside(body)
    else:
        with pytest.raises(PyruncError, match=r"must not be mounted over|only a proc file system"):
            place.inside(body)


def test_copy_symlink_and_nofollow(place: Image) -> None:
    source = place.outside.parent / "link"
    source.symlink_to("/nonsuch")

    def body(root: int) -> object:
        mounts.attach(root, mount("/a/copied", "", "bind,copy-symlink", str(source)), Attached())
        mounts.attach(root, mount("/a/copied", "", "bind,copy-symlink", str(source)), Attached())
        return attach(root, "/a/bound", "", "bind,src-nofollow", str(source)), os.readlink(place.root / "a/bound")

    table, target = place.inside(body)  # type: ignore[misc]  # the pair that body gives
    assert (place.root / "a/copied").readlink() == Path("/nonsuch")
    assert ("/a/bound" in table, target) == (True, "/nonsuch")


@pytest.mark.parametrize(("word", "covered"), [("dest-nofollow", "/a/way"), ("rw", "/a/target")])
@pytest.mark.parametrize("source_is_link", [False, True])
def test_destination_that_is_a_symlink(place: Image, source_is_link: bool, word: str, covered: str) -> None:
    """With dest-nofollow the symlink itself is covered, otherwise what it leads to in the image."""
    source = place.outside.parent / "source"
    source.symlink_to("/nonsuch") if source_is_link else source.touch()
    (place.root / "a").mkdir(exist_ok=True)
    (place.root / "a/target").touch()
    (place.root / "a/way").symlink_to("target")
    before = set(place.inside(lambda _: table_of(str(place.root))))  # type: ignore[call-overload]  # a table

    def body(root: int) -> object:
        return attach(root, "/a/way", "", f"bind,src-nofollow,{word}", str(source))

    assert set(place.inside(body)) - before == {covered}  # type: ignore[call-overload]  # a table


def test_tmpfs_takes_the_mode_of_what_it_covers(place: Image) -> None:
    (place.root / "data").chmod(0o1777)

    def body(root: int) -> object:
        for destination, options in (("/data", ""), ("/new", ""), ("/etc", "mode=700")):
            mounts.attach(root, mount(destination, "tmpfs", options), Attached())
        return [oct(os.stat(place.root / name).st_mode) for name in ("data", "new", "etc")]

    assert place.inside(body) == ["0o41777", "0o41777", "0o40700"]  # the last but one is the default of tmpfs


def test_tmpcopyup(place: Image) -> None:
    etc = place.root / "etc"
    etc.chmod(0o751)
    (etc / "deep").mkdir(mode=0o700)
    (etc / "deep/file").write_text("text")
    os.chown(etc / "deep/file", 12, 34)
    (etc / "deep/file").chmod(0o4750)
    os.setxattr(etc / "deep/file", "trusted.note", b"kept")
    (etc / "deep/link").symlink_to(place.outside)
    os.mkfifo(etc / "fifo")
    os.mknod(etc / "node", stat.S_IFCHR | 0o640, os.makedev(1, 3))

    def body(root: int) -> object:
        made, attached = mount("/etc", "tmpfs", "tmpcopyup"), Attached()
        made.sealed = True
        mounts.attach(root, made, attached)
        attached.seal()
        table = table_of(os.readlink(f"/proc/self/fd/{root}"))
        found: dict[str, object] = {}
        for name in (".", "deep", "deep/file", "deep/link", "fifo", "node"):
            facts = os.lstat(etc / name)
            found[name] = [oct(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_rdev]
        found["note"] = os.getxattr(etc / "deep/file", "trusted.note").decode()
        return table["/etc"][0], found, (etc / "deep/file").read_text(), os.readlink(etc / "deep/link")

    flags, found, text, target = place.inside(body)  # type: ignore[misc]  # the tuple that body gives
    assert flags.startswith("ro,")
    assert found.pop("note") == "kept"
    assert found == {
        ".": ["0o40751", 0, 0, 0],
        "deep": ["0o40700", 0, 0, 0],
        "deep/file": ["0o104750", 12, 34, 0],
        "deep/link": ["0o120777", 0, 0, 0],
        "fifo": ["0o10644", 0, 0, 0],
        "node": ["0o20640", 0, 0, os.makedev(1, 3)],
    }
    assert (text, target) == ("text", str(place.outside))
