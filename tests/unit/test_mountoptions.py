"""The option words of mounts (config.md, "Linux mount options") as flags."""

import pytest
from pyrunc.kernel import syscalls as k
from pyrunc.kernel.mount import mountoptions
from pyrunc.kernel.mount.mountoptions import parse

SPEC_WORDS = """
async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime noexec
noiversion nolazytime norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime
remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate
rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid
symfollow sync tmpcopyup unbindable mand nomand idmap ridmap
""".split()  # noqa: SIM905  as the specification lists them
OUR_WORDS = ["copy-symlink", "dest-nofollow", "src-nofollow"]


def test_known_words_are_those_of_the_spec_and_ours() -> None:
    assert list(mountoptions.KNOWN) == sorted(SPEC_WORDS + OUR_WORDS)


@pytest.mark.parametrize("word", mountoptions.KNOWN)
def test_no_known_word_is_data(word: str) -> None:
    assert parse([word]).data == ()


@pytest.mark.parametrize(
    ("word", "opposite", "flag"),
    [
        ("ro", "rw", k.MS_RDONLY),
        ("nosuid", "suid", k.MS_NOSUID),
        ("nodev", "dev", k.MS_NODEV),
        ("noexec", "exec", k.MS_NOEXEC),
        ("sync", "async", k.MS_SYNCHRONOUS),
        ("mand", "nomand", k.MS_MANDLOCK),
        ("noatime", "atime", k.MS_NOATIME),
        ("nodiratime", "diratime", k.MS_NODIRATIME),
        ("relatime", "norelatime", k.MS_RELATIME),
        ("strictatime", "nostrictatime", k.MS_STRICTATIME),
        ("iversion", "noiversion", k.MS_I_VERSION),
        ("lazytime", "nolazytime", k.MS_LAZYTIME),
        ("silent", "loud", k.MS_SILENT),
        ("nosymfollow", "symfollow", k.MS_NOSYMFOLLOW),
    ],
)
def test_later_word_wins(word: str, opposite: str, flag: int) -> None:
    on, off = parse([opposite, word]), parse([word, opposite])
    assert (on.flags & flag, on.cleared & flag) == (flag, 0)
    assert (off.flags & flag, off.cleared & flag) == (0, flag)


PLAIN = {
    "ro": k.MS_RDONLY, "nosuid": k.MS_NOSUID, "nodev": k.MS_NODEV, "noexec": k.MS_NOEXEC, "sync": k.MS_SYNCHRONOUS,
    "mand": k.MS_MANDLOCK, "nodiratime": k.MS_NODIRATIME, "iversion": k.MS_I_VERSION, "lazytime": k.MS_LAZYTIME,
    "silent": k.MS_SILENT, "nosymfollow": k.MS_NOSYMFOLLOW, "dirsync": k.MS_DIRSYNC,
}  # fmt: skip
TIMES = {"noatime": k.MS_NOATIME, "relatime": k.MS_RELATIME, "strictatime": k.MS_STRICTATIME}
OFF = {"ro": "rw", "sync": "async", "mand": "nomand", "iversion": "noiversion", "lazytime": "nolazytime",
       "silent": "loud", "relatime": "norelatime", "strictatime": "nostrictatime"}  # fmt: skip


@pytest.mark.parametrize(("word", "flag"), [*PLAIN.items(), *TIMES.items()])
def test_a_word_sets_its_flag_and_nothing_else(word: str, flag: int) -> None:
    on = parse([word])
    assert (on.flags, on.cleared) == (flag, sum(TIMES.values()) & ~flag if word in TIMES else 0)
    assert on.iversion is (word == "iversion")
    if word != "dirsync":
        off = parse([OFF.get(word, word.removeprefix("no"))])
        assert (off.flags, off.cleared, off.iversion) == (0, flag, False)


RECURSIVE = {
    "rro": k.MOUNT_ATTR_RDONLY, "rnosuid": k.MOUNT_ATTR_NOSUID, "rnodev": k.MOUNT_ATTR_NODEV,
    "rnoexec": k.MOUNT_ATTR_NOEXEC, "rnodiratime": k.MOUNT_ATTR_NODIRATIME, "rnosymfollow": k.MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
RECURSIVE_TIMES = {
    "rnoatime": k.MOUNT_ATTR_NOATIME, "rstrictatime": k.MOUNT_ATTR_STRICTATIME, "rrelatime": 0, "ratime": 0,
    "rnorelatime": 0, "rnostrictatime": 0,
}  # fmt: skip


@pytest.mark.parametrize("word", [*RECURSIVE, *RECURSIVE_TIMES])
def test_a_recursive_word_sets_its_attribute_and_nothing_else(word: str) -> None:
    on = parse([word])
    if word in RECURSIVE_TIMES:
        assert (on.recursive_set, on.recursive_clear) == (RECURSIVE_TIMES[word], k.MOUNT_ATTR__ATIME)
        return
    off = parse(["rrw" if word == "rro" else f"r{word.removeprefix('rno')}"])
    assert (on.recursive_set, on.recursive_clear) == (RECURSIVE[word], 0)
    assert (off.recursive_set, off.recursive_clear) == (0, RECURSIVE[word])


@pytest.mark.parametrize(
    ("words", "recursive"),
    [
        (["rrw", "rnosuid", "rro"], (k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, 0)),
        (["rsuid", "rnoatime"], (k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR__ATIME)),
        (["rsuid", "rnoatime", "rnodev"], (k.MOUNT_ATTR_NOATIME | k.MOUNT_ATTR_NODEV,
                                           k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR__ATIME)),
    ],
)  # fmt: skip
def test_a_later_recursive_word_leaves_the_others(words: list[str], recursive: tuple[int, int]) -> None:
    options = parse(words)
    assert (options.recursive_set, options.recursive_clear) == recursive


@pytest.mark.parametrize(
    ("words", "attributes"),
    [
        ([], (0, 0)),
        (["defaults"], (0, 0)),
        (["ro", "nodev"], (k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NODEV, 0)),
        (["rw", "exec"], (0, k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOEXEC)),
        (["noatime"], (k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR__ATIME)),
        (["noatime", "strictatime"], (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME)),
        (["strictatime", "relatime"], (0, k.MOUNT_ATTR__ATIME)),
        (["atime"], (0, k.MOUNT_ATTR__ATIME)),
        (["nodiratime"], (k.MOUNT_ATTR_NODIRATIME, 0)),
        (["nosymfollow"], (k.MOUNT_ATTR_NOSYMFOLLOW, 0)),
        (["sync", "lazytime", "mand", "silent", "iversion", "dirsync"], (0, 0)),
    ],
)
def test_attributes_are_those_named(words: list[str], attributes: tuple[int, int]) -> None:
    assert parse(words).attributes == attributes


@pytest.mark.parametrize(("word", "attribute"), RECURSIVE.items())
def test_a_word_for_the_mount_alone_has_the_attribute_of_the_recursive_one(word: str, attribute: int) -> None:
    plain = word.removeprefix("r")
    assert parse([plain]).attributes == (attribute, 0)
    assert parse([OFF.get(plain, plain.removeprefix("no"))]).attributes == (0, attribute)


def test_superblock_flags_have_names() -> None:
    assert parse(["ro", "sync", "dirsync", "mand", "lazytime", "nodev"]).superblock == (
        ["ro", "sync", "dirsync", "mand", "lazytime"],
        [],
    )
    off = parse(["rw", "async", "nomand", "nolazytime", "dev"])
    off.cleared |= k.MS_DIRSYNC  # which fsconfig(2) has no name for
    assert off.superblock == ([], ["rw", "async", "nomand", "nolazytime"])


@pytest.mark.parametrize(
    ("words", "recursive"),
    [
        (["rro"], (k.MOUNT_ATTR_RDONLY, 0)),
        (["rro", "rrw"], (0, k.MOUNT_ATTR_RDONLY)),
        (["rrw", "rro"], (k.MOUNT_ATTR_RDONLY, 0)),
        (["rnosuid", "rnodev", "rnoexec"], (k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOEXEC, 0)),
        (["rnosymfollow"], (k.MOUNT_ATTR_NOSYMFOLLOW, 0)),
        (["rsymfollow"], (0, k.MOUNT_ATTR_NOSYMFOLLOW)),
        (["rnoatime", "rstrictatime"], (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR__ATIME)),
        (["rnoatime", "rrelatime"], (0, k.MOUNT_ATTR__ATIME)),
        (["ratime"], (0, k.MOUNT_ATTR__ATIME)),
        (["rstrictatime", "rnostrictatime"], (0, k.MOUNT_ATTR__ATIME)),
        (["rnorelatime"], (0, k.MOUNT_ATTR__ATIME)),
        (["rdiratime"], (0, k.MOUNT_ATTR_NODIRATIME)),
    ],
)
def test_recursive_attributes(words: list[str], recursive: tuple[int, int]) -> None:
    options = parse(words)
    assert (options.recursive_set, options.recursive_clear) == recursive
    assert (options.flags, options.cleared) == (0, 0)


def test_bind_and_switches() -> None:
    options = parse(["rbind", "copy-symlink", "src-nofollow", "dest-nofollow", "tmpcopyup", "remount"])
    assert options.bind
    assert options.recursive
    assert options.copy_symlink
    assert options.src_nofollow
    assert options.dest_nofollow
    assert options.tmpcopyup
    assert options.remount
    plain = parse(["bind"])
    assert (plain.bind, plain.recursive) == (True, False)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("private", k.MS_PRIVATE), ("shared", k.MS_SHARED), ("slave", k.MS_SLAVE), ("unbindable", k.MS_UNBINDABLE)],
)
def test_propagation_words(word: str, kind: int) -> None:
    assert parse([word, f"r{word}"]).propagation == (kind, kind | k.MS_REC)


def test_propagation_keeps_its_order() -> None:
    assert parse(["rslave", "shared"]).propagation == (k.MS_SLAVE | k.MS_REC, k.MS_SHARED)
    assert mountoptions.propagation("runbindable") == k.MS_UNBINDABLE | k.MS_REC
    with pytest.raises(KeyError):
        mountoptions.propagation("ro")


@pytest.mark.parametrize(
    ("word", "copies"),
    [
        ("", "rslave"), ("slave", "rslave"), ("rslave", "rslave"), ("private", "rprivate"), ("rprivate", "rprivate"),
        ("shared", "shared"), ("rshared", "rshared"), ("unbindable", "rprivate"), ("runbindable", "rprivate"),
    ],
)  # fmt: skip
def test_propagation_of_the_hosts_mounts(word: str, copies: str) -> None:
    """Nothing but "shared" leaves one of them as it is."""
    assert mountoptions.propagation_of_copies(word) == mountoptions.propagation(copies)


def test_without_words_nothing_is_asked_for() -> None:
    none = parse([])
    assert {name: getattr(none, name) for name in none.__slots__} == {
        "bind": False, "cleared": 0, "copy_symlink": False, "data": (), "dest_nofollow": False, "flags": 0,
        "propagation": (), "recursive": False, "recursive_clear": 0, "recursive_set": 0,
        "remount": False, "src_nofollow": False, "tmpcopyup": False,
    }  # fmt: skip
    assert (none.attributes, none.superblock, none.iversion) == ((0, 0), ([], []), False)


@pytest.mark.parametrize("word", ["idmap", "ridmap", "idmap=uids=0-1-10;gids=0-1-10"])
def test_idmap_is_not_an_option_of_the_file_system(word: str) -> None:
    options = parse(["bind", word])
    assert options.data == ()


def test_rest_is_data_in_order() -> None:
    options = parse(["mode=755", "ro", "size=64k", "newinstance", "", "lowerdir=/a:/b,c"])
    assert options.data == ("mode=755", "size=64k", "newinstance", "lowerdir=/a:/b,c")
    assert options.flags == k.MS_RDONLY


def test_whatever_they_say_it_is_writable() -> None:
    for words in (["ro", "nosuid"], ["nosuid"], ["rw", "nosuid"]):
        plain, writable = parse(words), parse(words, writable=True)
        assert (writable.flags, writable.cleared) == (k.MS_NOSUID, plain.cleared)
