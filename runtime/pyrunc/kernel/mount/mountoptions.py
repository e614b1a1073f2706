"""A mount, and the words of its options (config.md, "Linux mount options") as flags of the kernel. No system calls.

Later words win, as in mount(8). A word that is not in the tables is data for the file system.
"""

from errno import EACCES, EPERM

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import paths
from pyrunc.kernel.syscalls import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_DIRSYNC,
    MS_I_VERSION,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_RDONLY,
    MS_RELATIME,
    MS_SILENT,
    MS_STRICTATIME,
    MS_SYNCHRONOUS,
)
from pyrunc.words import PROPAGATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.wings.idmapped.mount_userns import MountMap

_ATIME = MS_NOATIME | MS_RELATIME | MS_STRICTATIME  # one choice of three

# word: (MS_* that it sets, MS_* that it clears)
_FLAGS = {
    "async": (0, MS_SYNCHRONOUS),
    "atime": (0, MS_NOATIME),
    "defaults": (0, 0),
    "dev": (0, MS_NODEV),
    "diratime": (0, MS_NODIRATIME),
    "dirsync": (MS_DIRSYNC, 0),
    "exec": (0, MS_NOEXEC),
    "iversion": (MS_I_VERSION, 0),
    "lazytime": (MS_LAZYTIME, 0),
    "loud": (0, MS_SILENT),
    "mand": (MS_MANDLOCK, 0),
    "noatime": (MS_NOATIME, _ATIME & ~MS_NOATIME),
    "nodev": (MS_NODEV, 0),
    "nodiratime": (MS_NODIRATIME, 0),
    "noexec": (MS_NOEXEC, 0),
    "noiversion": (0, MS_I_VERSION),
    "nolazytime": (0, MS_LAZYTIME),
    "nomand": (0, MS_MANDLOCK),
    "norelatime": (0, MS_RELATIME),
    "nostrictatime": (0, MS_STRICTATIME),
    "nosuid": (MS_NOSUID, 0),
    "nosymfollow": (MS_NOSYMFOLLOW, 0),
    "relatime": (MS_RELATIME, _ATIME & ~MS_RELATIME),
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "silent": (MS_SILENT, 0),
    "strictatime": (MS_STRICTATIME, _ATIME & ~MS_STRICTATIME),
    "suid": (0, MS_NOSUID),
    "symfollow": (0, MS_NOSYMFOLLOW),
    "sync": (MS_SYNCHRONOUS, 0),
}

# word: (MOUNT_ATTR_* that it sets, that it clears) on the mount and all below it. The kernel takes the atime field only
# as a whole, and its zero means relatime: what turns another choice off turns relatime on (mount_setattr(2)).
_RECURSIVE = {
    "ratime": (0, MOUNT_ATTR__ATIME),
    "rdev": (0, MOUNT_ATTR_NODEV),
    "rdiratime": (0, MOUNT_ATTR_NODIRATIME),
    "rexec": (0, MOUNT_ATTR_NOEXEC),
    "rnoatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "rnodev": (MOUNT_ATTR_NODEV, 0),
    "rnodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "rnoexec": (MOUNT_ATTR_NOEXEC, 0),
    "rnorelatime": (0, MOUNT_ATTR__ATIME),
    "rnostrictatime": (0, MOUNT_ATTR__ATIME),
    "rnosuid": (MOUNT_ATTR_NOSUID, 0),
    "rnosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rrelatime": (0, MOUNT_ATTR__ATIME),
    "rro": (MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, MOUNT_ATTR_RDONLY),
    "rstrictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "rsuid": (0, MOUNT_ATTR_NOSUID),
    "rsymfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

# Only "shared" may let mounts out, and recursion is for safety; what is unbindable could not become the root.
_OF_HOSTS_MOUNTS = {
    "": "rslave", "slave": "rslave", "private": "rprivate", "unbindable": "rprivate", "runbindable": "rprivate",
}  # fmt: skip

# word: attribute of MountOptions that it turns on
_SWITCHES = {
    "bind": ("bind",),
    "copy-symlink": ("copy_symlink",),
    "dest-nofollow": ("dest_nofollow",),
    "rbind": ("bind", "recursive"),
    "remount": ("remount",),
    "src-nofollow": ("src_nofollow",),
    "tmpcopyup": ("tmpcopyup",),
}

KNOWN: "tuple[str, ...]" = tuple(sorted((*_FLAGS, *_RECURSIVE, *PROPAGATIONS, *_SWITCHES, "idmap", "ridmap")))

# (MS_*, MOUNT_ATTR_*) of the flags that belong to a mount; the others belong to a superblock
_ATTRIBUTES = (
    (MS_RDONLY, MOUNT_ATTR_RDONLY),
    (MS_NOSUID, MOUNT_ATTR_NOSUID),
    (MS_NODEV, MOUNT_ATTR_NODEV),
    (MS_NOEXEC, MOUNT_ATTR_NOEXEC),
    (MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    (MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
)

# (MS_*, how fsconfig(2) sets it, how it clears it). A new file system takes "ro" for superblock and mount alike, as
# with mount(2). MS_SILENT has no meaning there: messages go to the context; MS_I_VERSION has no name.
_SUPERBLOCK = (
    (MS_RDONLY, "ro", "rw"),
    (MS_SYNCHRONOUS, "sync", "async"),
    (MS_DIRSYNC, "dirsync", ""),
    (MS_MANDLOCK, "mand", "nomand"),
    (MS_LAZYTIME, "lazytime", "nolazytime"),
)


class MountOptions:
    """What the option words ask for.

    flags, cleared: MS_* named to be on and off; disjoint; without MS_BIND, MS_REC, MS_REMOUNT
    recursive: the bind mount takes the mounts below its source along (rbind)
    recursive_set, recursive_clear: MOUNT_ATTR_* for the mount and all below it
    propagation: MS_SHARED and the like, with MS_REC, to apply in this order
    data: "key" or "key=value" for the file system
    """

    __slots__ = (
        "bind", "cleared", "copy_symlink", "data", "dest_nofollow", "flags", "propagation", "recursive",
        "recursive_clear", "recursive_set", "remount", "src_nofollow", "tmpcopyup",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  (a record, built at one place)
        self, flags: int, cleared: int, recursive_set: int, recursive_clear: int, switches: "set[str]",
        propagation: "tuple[int, ...]", data: "tuple[str, ...]",
    ) -> None:  # fmt: skip
        """switches: names of the attributes that are True."""
        self.flags, self.cleared = flags, cleared
        self.recursive_set, self.recursive_clear = recursive_set, recursive_clear
        self.bind, self.recursive = "bind" in switches, "recursive" in switches
        self.remount, self.tmpcopyup = "remount" in switches, "tmpcopyup" in switches
        self.copy_symlink, self.src_nofollow = "copy_symlink" in switches, "src_nofollow" in switches
        self.dest_nofollow = "dest_nofollow" in switches
        self.propagation, self.data = propagation, data

    @property
    def attributes(self) -> "tuple[int, int]":
        """(MOUNT_ATTR_* to set, to clear) on the mount itself: only what a word names, a bind keeps the rest."""
        on, off = 0, 0
        if not (self.flags or self.cleared):
            return on, off
        for flag, attribute in _ATTRIBUTES:
            if self.flags & flag:
                on |= attribute
            elif self.cleared & flag:
                off |= attribute
        if (self.flags | self.cleared) & _ATIME:
            off |= MOUNT_ATTR__ATIME
            if self.flags & MS_NOATIME:
                on |= MOUNT_ATTR_NOATIME
            elif self.flags & MS_STRICTATIME:
                on |= MOUNT_ATTR_STRICTATIME
        return on, off

    @property
    def superblock(self) -> "tuple[list[str], list[str]]":
        """Names of the flags to set, and to clear, of the file system, as fsconfig(2) knows them."""
        return (
            [name for flag, name, _ in _SUPERBLOCK if self.flags & flag],
            [name for flag, _, name in _SUPERBLOCK if self.cleared & flag and name],
        )

    @property
    def iversion(self) -> bool:
        """Whether the inode version counter is asked for, which only mount(2) can say."""
        return bool(self.flags & MS_I_VERSION)


class Mount:
    """One entry of `mounts`.

    source: absolute for a bind mount; kind: the type, "" if none; label: SELinux context for its files, "" for none,
    given by the mount option label_option (`context`, or another of mount(8));
    pointer: JSON pointer of the entry; mapping: for an id-mapped mount; sealed: read-only at the end, when what lies in
    it has been made; earlier: what is bound lies in a mount that is made before this one, at this path of the root
    """

    __slots__ = (
        "destination", "earlier", "kind", "label", "label_option", "mapping", "options", "pointer", "sealed", "source",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  a record, built at one place
        self, source: str, destination: str, kind: str, options: MountOptions, label: str = "", pointer: str = "",
        *, label_option: str = "context", sealed: bool = False, earlier: str = "", mapping: "MountMap | None" = None,
    ) -> None:  # fmt: skip
        self.source, self.destination, self.kind = source, destination, kind
        self.options, self.label, self.pointer = options, label, pointer
        self.label_option, self.sealed, self.earlier, self.mapping = label_option, sealed, earlier, mapping

    def but(self, **changes: "Any") -> "Mount":
        """The same, but for these attributes."""
        return Mount(**{name: getattr(self, name) for name in Mount.__slots__} | changes)

    @property
    def name(self) -> str:
        """The destination without what means nothing in a path: relative to the root, "" for the root itself."""
        return "/".join(paths.components(self.destination))

    def failure(self, error: OSError, hint: str = "") -> PyruncError:
        """The error of a system call for this mount."""
        message = f"mount `{self.source or self.kind}` to `{self.destination}`"
        check = "user-namespaces proc-mount" if self.kind == "proc" and error.errno in (EPERM, EACCES) else ""
        return PyruncError.from_os(message, error, pointer=self.pointer, hint=hint, check=check)

    def refusal(self, why: str) -> ConfigError:
        """The error for something that is not allowed."""
        message = f"mount `{self.source or self.kind}` to `{self.destination}`: {why}"
        return ConfigError(message, pointer=self.pointer)


def parse(options: "tuple[str, ...] | list[str]", *, writable: bool = False) -> MountOptions:
    """The meaning of `mounts[].options`. Never fails: the file system judges the words that are not known here.

    writable: whatever they say, it is not to be read-only.
    """
    flags = cleared = recursive_set = recursive_clear = 0
    switches: set[str] = set()
    changes, data = [], []
    for word in options:
        if word in _FLAGS:
            on, off = _FLAGS[word]
            flags = flags & ~off | on
            cleared = cleared & ~on | off
        elif word in _RECURSIVE:
            on, off = _RECURSIVE[word]
            recursive_set = recursive_set & ~off | on
            recursive_clear = recursive_clear & ~(on & ~MOUNT_ATTR__ATIME) | off
        elif word in PROPAGATIONS:
            changes.append(PROPAGATIONS[word])
        elif word in _SWITCHES:
            switches.update(_SWITCHES[word])
        elif word.partition("=")[0] in ("idmap", "ridmap"):
            continue  # of the mount's mapping (`idmapped.mappings`)
        elif word:
            data.append(word)
    if writable:
        flags &= ~MS_RDONLY
    return MountOptions(flags, cleared, recursive_set, recursive_clear, switches, tuple(changes), tuple(data))


def propagation(word: str) -> int:
    """MS_* of a propagation word, as in `linux.rootfsPropagation`; KeyError if it is none."""
    return PROPAGATIONS[word]


def propagation_of_copies(word: str) -> int:
    """MS_* of the container's copies of the host's mounts, from `linux.rootfsPropagation` ("" if that is not given).

    With MS_REC, of all of them, but for "shared": that is the root's alone, and the others stay what the host's are.
    """
    return propagation(_OF_HOSTS_MOUNTS.get(word, word))
