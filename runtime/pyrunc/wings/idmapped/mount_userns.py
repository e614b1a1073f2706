"""The user namespace of an id-mapped mount: mount_setattr(2) takes its maps from one (MOUNT_ATTR_IDMAP, Linux 5.12)."""

import posix

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.ids.idmap import Range
from pyrunc.kernel.process.trial import Held


class MountMap:
    """The maps of an id-mapped mount, empty for those of a user namespace that is joined.

    recursive: also of the mounts below.
    """

    __slots__ = ("_gids", "_uids", "recursive")

    def __init__(self, uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", *, recursive: bool) -> None:
        self._uids, self._gids, self.recursive = uids, gids, recursive

    def open(self, joined: int, pointer: str) -> int:
        """A descriptor of a user namespace that has them; `joined` is that of the container's, if that is joined."""
        return _namespace(self._uids, self._gids, pointer) if self._uids and self._gids else joined


def _namespace(uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", pointer: str) -> int:
    """A descriptor of a new user namespace with these maps, for an id-mapped mount; it needs CAP_SETUID, CAP_SETGID.

    No process stays in it: the one that it was made with waits for the maps and is gone.
    """
    try:
        with Held(syscalls.CLONE_NEWUSER) as pid:
            idmap.write(pid, uids, gids, None)
            return posix.open(f"/proc/{pid}/ns/user", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        text = "make a user namespace for an id-mapped mount"
        raise PyruncError.from_os(text, error, pointer=pointer, check="user-namespaces") from None
    except PyruncError as error:
        raise error.about(pointer) from None
