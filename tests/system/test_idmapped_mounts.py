"""Id-mapped mounts: `idmap` and `ridmap`, mappings of the mount's own, of the container, and in crun's words."""

import os
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import mount, umount
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime

RUNC = differs(runc="1.1.5 has no id-mapped mounts")
RELATIVE = only_pyrunc("runc 1.1.5 has no id-mapped mounts; crun has looked up the second number since 1.9")
HOST = 100000  # what `Bundle.user_namespace` maps 0 to


def source_with_owners(area: Path, *owners: int) -> Path:
    """A directory on tmpfs or disk with one file for each owner, named by it."""
    source = area / "source"
    source.mkdir()
    for owner in owners:
        (source / str(owner)).touch()
        os.chown(source / str(owner), owner, owner)
    return source


def mapping(*ranges: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in ranges]


def owners(runtime: Runtime, bundle: Bundle, directory: str = "/mnt") -> dict[str, str]:
    """Name of each file in the directory -> "uid:gid" as the container sees it."""
    output = runtime.output(bundle, f"cd {directory}; stat -c '%n %u:%g' *")
    return dict(line.split() for line in output.splitlines())


@RUNC
@pytest.mark.parametrize("word", ["idmap", pytest.param("ridmap", marks=differs(crun="1.8.1 does not know it"))])
def test_without_a_mapping_the_containers_own_is_used(runtime: Runtime, bundle: Bundle, area: Path, word: str) -> None:
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0, 7), "rbind", word)
    assert owners(runtime, bundle) == {"0": "0:0", "7": "7:7"}


def test_unmapped_mount_shows_foreign_owners(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0, 7), "rbind")
    assert owners(runtime, bundle) == {"0": "65534:65534", "7": "65534:65534"}


@RUNC
@pytest.mark.parametrize("words", [(), ("idmap",), ("ridmap",)])
def test_mapping_of_the_mount(runtime: Runtime, bundle: Bundle, area: Path, words: tuple[str, ...]) -> None:
    bundle.mount("/mnt", source_with_owners(area, 0, 7, 50), "rbind", *words)
    bundle.config["mounts"][-1] |= {"uidMappings": mapping((0, 5, 1), (7, 1007, 2)), "gidMappings": mapping((0, 6, 10))}
    assert owners(runtime, bundle) == {"0": "5:6", "7": "1007:13", "50": "65534:65534"}


@RUNC
def test_mapping_of_the_mount_beside_a_user_namespace(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0, 7), "bind", "idmap")
    ranges = mapping((0, HOST + 1000, 10))
    bundle.config["mounts"][-1] |= {"uidMappings": ranges, "gidMappings": ranges}
    assert owners(runtime, bundle) == {"0": "1000:1000", "7": "1007:1007"}


@RUNC
def test_mapping_in_the_option(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    word = f"idmap=uids=0-{HOST + 1}-5#7-{HOST + 70}-1;gids=0-{HOST}-10"
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0, 7), "bind", word)
    assert owners(runtime, bundle) == {"0": "1:0", "7": "70:7"}


@RELATIVE
def test_mapping_relative_to_the_container(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    word = "idmap=uids=@0-500-10;gids=@0-600-10"
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0, 7), "bind", word)
    assert owners(runtime, bundle) == {"0": "500:600", "7": "507:607"}


@RUNC
def test_what_the_container_writes_belongs_to_the_mapped_owner(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    source = source_with_owners(area)
    os.chown(source, 0, 0)
    bundle.user_namespace().mount("/mnt", source, "bind", "idmap")
    runtime.output(bundle, "touch /mnt/new")
    assert ((source / "new").stat().st_uid, (source / "new").stat().st_gid) == (0, 0)


@RUNC
def test_the_program_gets_no_descriptor_of_it(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0), "bind", "idmap")
    assert runtime.output(bundle, "exec ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3: the directory


@RUNC
def test_other_options_count_too(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.user_namespace().mount("/mnt", source_with_owners(area, 0), "bind", "idmap", "ro", "noexec")
    output = runtime.output(bundle, "grep ' /mnt ' /proc/self/mountinfo; touch /mnt/x 2>&1 || true")
    assert {"ro", "noexec", "idmapped"} <= set(output.split()[5].split(","))
    assert "Read-only" in output


@differs(runc="1.1.5 has no id-mapped mounts", crun="1.8.1 leaves out what is mounted below")
@pytest.mark.parametrize("word, below", [("idmap", "0:0"), ("ridmap", "5:5")])
def test_only_ridmap_maps_what_is_mounted_below(
    runtime: Runtime, bundle: Bundle, area: Path, word: str, below: str
) -> None:
    source = source_with_owners(area, 0)
    (source / "sub").mkdir()
    mount("tmpfs", str(source / "sub"), "tmpfs")
    try:
        (source / "sub/0").touch()
        bundle.mount("/mnt", source, "rbind", word)
        bundle.config["mounts"][-1] |= {"uidMappings": mapping((0, 5, 1)), "gidMappings": mapping((0, 5, 1))}
        output = runtime.output(bundle, "stat -c '%u:%g' /mnt/0 /mnt/sub/0")
    finally:
        umount(str(source / "sub"))
    assert output.split() == ["5:5", below]


@differs(runc="1.1.5 has no id-mapped mounts", crun="1.8.1 looks for a source of that name")
def test_new_file_system(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", "tmpfs", "idmap", "mode=755", fstype="tmpfs")
    bundle.config["mounts"][-1] |= {"uidMappings": mapping((0, 5, 1)), "gidMappings": mapping((0, 6, 1))}
    assert runtime.output(bundle, "stat -c '%u:%g' /mnt").strip() == "5:6"


@RUNC
def test_mapping_of_a_user_namespace_that_is_joined(
    runtime: Runtime, bundle: Bundle, area: Path, rootfs_template: Path
) -> None:
    first = bundle.user_namespace().shell("exec sleep 1000")
    with runtime.running(first) as container:
        second = Bundle(area / "second", rootfs_template).user_namespace()
        second.namespace("user", f"/proc/{container.pid}/ns/user")
        for key in ("uidMappings", "gidMappings"):
            del second.linux[key]
        second.mount("/mnt", source_with_owners(area, 0, 7), "bind", "idmap")
        assert owners(runtime, second) == {"0": "0:0", "7": "7:7"}


@differs(runc="1.1.5 has no id-mapped mounts")
def test_without_any_mapping_it_is_refused(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    runtime.create_fails(bundle.mount("/mnt", source_with_owners(area), "bind", "idmap"))


@only_pyrunc("says what the kernel says")
def test_file_system_that_cannot(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/mnt", "/proc/fs", "bind", "idmap")
    bundle.config["mounts"][-1] |= {"uidMappings": mapping((0, 5, 1)), "gidMappings": mapping((0, 5, 1))}
    runtime.create_fails(bundle, "/proc/fs", "cannot be id-mapped", f"/mounts/{len(bundle.config['mounts']) - 1}")


@only_pyrunc("says what the kernel says")
@pytest.mark.parametrize(
    "words, keys, said",
    [
        (("idmap",), (), "uidMappings and gidMappings, or a container with a user namespace"),
        (("idmap=uids=0-5",), (), "not a range"),
        (("idmap=uids=0-5-0;gids=0-5-1",), (), "is not a range of ids"),
        (("idmap=gids=@0-5-1",), (), "not in the container's user namespace"),
        (("idmap=users=0-5-1",), (), "users=0-5-1"),
        (("idmap=uids=0-5-1;gids=0-5-1",), ("uidMappings", "gidMappings"), "mutually exclusive"),
        (("idmap",), ("uidMappings",), "gidMappings is missing"),
        (("remount", "idmap"), ("uidMappings", "gidMappings"), "cannot be combined with"),
    ],
)
def test_refusals(
    runtime: Runtime, bundle: Bundle, area: Path, words: tuple[str, ...], keys: tuple[str, ...], said: str
) -> None:
    bundle.mount("/mnt", source_with_owners(area), *(() if "remount" in words else ("bind",)), *words)
    bundle.config["mounts"][-1] |= {key: mapping((0, 5, 1)) for key in keys}
    runtime.create_fails(bundle, said, f"/mounts/{len(bundle.config['mounts']) - 1}")


@differs(crun="1.28: bad file descriptor")
def test_source_in_an_earlier_mount(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    bundle.mount("/a", source_with_owners(area, 0, 7), "bind").mount("/mnt", "rootfs/a", "bind")
    bundle.config["mounts"][-1] |= {"uidMappings": mapping((0, 5, 8)), "gidMappings": mapping((0, 6, 8))}
    assert owners(runtime, bundle) == {"0": "5:6", "7": "12:13"}
