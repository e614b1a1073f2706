"""Mounts do not leave a container unless the configuration asks for it: every combination, on a host of shared mounts.

What asks is `shared` or `rshared`, of the mount or as rootfsPropagation. Whoever does not ask has no mount of type
`shared`, whatever the container mounts below stays in it, and the host's table is the same all the time.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import MS_BIND, MS_SHARED, mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime
from tests.waiting import eventually

NO_IDMAP = differs(runc="1.1.5 has no id-mapped mounts")
WORDS = ("", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
ALONE = differs(
    crun="1.8.1 leaves all mounts but / shared with the host",
    runc="1.1.5 leaves all but / shared with the host",
)
NULL = differs(crun="1.8.1 masks with a peer of the host's /dev/null")
ROOT_WORDS = (
    *("", "rprivate", "rslave"),
    *(pytest.param(word, marks=ALONE) for word in ("private", "slave", "unbindable")),
    *(pytest.param(word, marks=NULL) for word in ("shared", "rshared")),
)
HOST_ID = 100000
CASES = [(bind, word) for bind in ("bind", "rbind") for word in WORDS]


def table() -> list[str]:
    return sorted(Path("/proc/self/mountinfo").read_text().splitlines())


@pytest.fixture
def sources(area: Path) -> Iterator[dict[tuple[str, str], Path]]:
    """A shared mount of the host for each of CASES, with a directory `sub`; that of an rbind has a mount below it."""
    found = {}
    points = []
    try:
        for bind, word in CASES:
            source = area / "sources" / f"{bind}-{word}"
            source.mkdir(parents=True)
            mount("tmpfs", str(source), "tmpfs", 0, "mode=755")
            points.append(source)
            (source / "sub").mkdir()
            if bind == "rbind":
                (source / "below").mkdir()
                mount("tmpfs", str(source / "below"), "tmpfs", 0, "mode=755")
                points.append(source / "below")
                (source / "below/sub").mkdir()
            found[bind, word] = source
        yield found
    finally:
        for point in reversed(points):
            umount(str(point))


def asks(word: str) -> bool:
    return word.removeprefix("r") == "shared"


SCRIPT = """
for at in /mnt/*/sub /mnt/*/below/sub; do test ! -d $at || mount -t tmpfs inner $at || exit; done
for at in /etc /dev/shm; do mount -t tmpfs inner $at || exit; done
touch /etc/file && mount -o bind /etc/file /proc/keys && mount -o bind /etc/file /dev/null || exit
cat /proc/self/mountinfo && echo done && exec sleep 1000
"""


@pytest.mark.parametrize("root_word", ROOT_WORDS)
@pytest.mark.parametrize("mapped", [False, pytest.param(True, marks=NO_IDMAP)])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_what_does_not_ask_stays_inside(
    runtime: Runtime, bundle: Bundle, sources: dict[tuple[str, str], Path], user_namespace: bool, mapped: bool,
    root_word: str,
) -> None:  # fmt: skip
    for (bind, word), source in sources.items():
        (bundle.rootfs / "mnt" / source.name).mkdir()
        bundle.mount(f"/mnt/{source.name}", source, bind, *filter(None, [word]))
        if mapped:
            ranges = [{"containerID": 0, "hostID": HOST_ID, "size": 10}]
            bundle.config["mounts"][-1] |= {"uidMappings": ranges, "gidMappings": ranges}
    if user_namespace:
        bundle.user_namespace(HOST_ID)
    if root_word:
        bundle.linux["rootfsPropagation"] = root_word
    quiet = {source.name for (_, word), source in sources.items() if not (asks(word) or asks(root_word))}
    loud = [str(source) for source in sources.values() if source.name not in quiet]

    def host() -> list[str]:
        """The host's mounts but for those on the sources that may have some."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return sorted(line for line in lines if not line.split()[4].startswith(tuple(f"{path}/" for path in loud)))

    tables = [host()]
    with runtime.created(bundle.all_sets("CAP_SYS_ADMIN").shell(SCRIPT)) as container:
        tables.append(host())
        container.start()
        inside = eventually(
            lambda: (output := container.output()).endswith("done\n") and output, "the mounts of the container"
        )
        tables.append(host())
    tables.append(host())
    assert tables[1:] == tables[:1] * 3
    lines = [line.split() for line in str(inside).splitlines() if " - " in line]
    below = {line[4].split("/")[2] for line in lines if line[4].startswith("/mnt/")}
    assert below == {source.name for source in sources.values()}
    shared = {line[4] for line in lines if any(field.startswith("shared:") for field in line[6 : line.index("-")])}
    if not asks(root_word):
        assert not {point for point in shared if not point.startswith("/mnt/") or point.split("/")[2] in quiet}


@differs(crun="1.28 gives all mounts the root's type")
@pytest.mark.parametrize(
    "root_word, word, tags",
    [
        ("rslave", "shared", {"shared", "master"}),
        ("rprivate", "rshared", {"shared"}),
        ("rslave", "unbindable", {"unbindable"}),
        pytest.param("rshared", "private", set(), marks=differs(runc="1.5.3 makes it shared")),
    ],
)
def test_type_that_a_mount_asks_for_is_its_own(
    runtime: Runtime, bundle: Bundle, sources: dict[tuple[str, str], Path], root_word: str, word: str, tags: set[str]
) -> None:
    bundle.linux["rootfsPropagation"] = root_word
    bundle.mount("/mnt/it", sources["bind", word], "bind", word).mount("/mnt/other", "tmpfs", fstype="tmpfs")
    lines = [line.split() for line in runtime.output(bundle, "cat /proc/self/mountinfo").splitlines()]
    (found,) = (line[6 : line.index("-")] for line in lines if line[4] == "/mnt/it")
    assert {tag.partition(":")[0] for tag in found} - {"propagate_from"} == tags


@differs(crun="1.8.1 binds a peer of the host's", runc="1.1.5 binds a peer of the host's")
def test_what_covers_a_bound_device_stays_inside(runtime: Runtime, bundle: Bundle) -> None:
    """Where the runtime may not make nodes, as in a container, it binds the host's, which nothing may cover."""
    bundle.linux["rootfsPropagation"] = "rshared"
    bundle.all_sets("CAP_SYS_ADMIN").shell(
        "mount -t tmpfs inner /etc && touch /etc/file && mount -o bind /etc/file /dev/zero && exec sleep 1000"
    )
    before = table()
    with runtime.behind("setpriv", "--bounding-set=-mknod").running(bundle) as container:
        name = Path(f"/proc/{container.pid}/comm")
        eventually(lambda: name.read_text() == "sleep\n", "the mounts of the container")
        assert " /dev/zero " in Path(f"/proc/{container.pid}/mountinfo").read_text()
        assert table() == before


@pytest.mark.parametrize("mounted", [False, True], ids=["directory", "mount"])
def test_what_the_host_mounts_in_the_root_stays_outside(runtime: Runtime, bundle: Bundle, mounted: bool) -> None:
    if mounted:
        mount(str(bundle.rootfs), str(bundle.rootfs), "", MS_BIND)
        mount("none", str(bundle.rootfs), "", MS_SHARED)
    try:
        with runtime.running(bundle.shell("exec sleep 1000")) as container:
            mount("tmpfs", str(bundle.rootfs / "mnt"), "tmpfs")
            try:
                assert " /mnt " not in Path(f"/proc/{container.pid}/mountinfo").read_text()
            finally:
                umount(str(bundle.rootfs / "mnt"))
    finally:
        if mounted:
            umount(str(bundle.rootfs))


@only_pyrunc("wants a mount namespace")
def test_mounts_that_are_bound_without_a_mount_namespace_stay(
    runtime: Runtime, bundle: Bundle, sources: dict[tuple[str, str], Path]
) -> None:
    """What is below the source goes from the container's root with the container, and only from there."""
    for (bind, word), source in sources.items():
        bundle.mount(f"/mnt/{source.name}", source, bind, *filter(None, [word]))
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    before = table()
    with runtime.running(bundle.share("mount").drop_mounts("/sys/fs/cgroup").shell("exec sleep 1000")):
        assert table() != before
    assert table() == before


@only_pyrunc("wants a mount namespace")
def test_root_behind_a_symlink_without_a_mount_namespace(runtime: Runtime, bundle: Bundle) -> None:
    """What was mounted in it is found under its true name."""
    (bundle.path / "link").symlink_to("rootfs")
    bundle.config["root"]["path"] = "link"
    del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    before = table()
    runtime.output(bundle.share("mount").drop_mounts("/sys/fs/cgroup"), "true")
    assert table() == before
