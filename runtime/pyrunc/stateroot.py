"""The state root, the directory in which each container has its state directory: who could change it, and what commands
that were killed have left in it.
"""

import fcntl
import posix
from _stat import S_ISLNK, S_ISVTX
from errno import ELOOP

from .errors import PyruncError
from .kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CLAIM, GRAVE = ".claim-", ".deleted-"  # of a state directory that is not yet, or no longer, a container's
DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
_MOST_LINKS = 40  # as the kernel has it
_UNMAPPED = 65534  # /proc/sys/kernel/overflowuid, unless somebody has changed it


def check(root: str) -> None:
    """Raise PyruncError if others could change what lies in the state root, or lead us elsewhere; OSError without one.

    What a state says is killed and removed, by root maybe: two users must never meet (XDG_RUNTIME_DIR=/tmp). And who
    can move away a directory above makes us forget a container that runs. As sshd(8) does, with what is above a file
    of keys: each directory and link on the way must be root's or ours.
    """
    for path, facts in way(root):
        check_owner(path, facts)
    if facts.st_mode & 0o022 and _is_outside(facts.st_uid):  # and the sticky bit
        # The owner may rename what is in it. In a user namespace any stranger looks like the host's root, who has made
        # directories above this one, but this one is one's own.
        check_owner(path, facts, only_ours=True)


def way(path: str) -> "Iterator[tuple[str, posix.stat_result]]":
    """Each directory and each link on the way to an absolute path, from `/` on, with its facts. OSError."""
    names, here, links = path.split("/"), "", 0
    yield "/", posix.stat("/")
    while names:
        name = names.pop(0)
        if name in {"", "."}:
            continue
        above, here = here, f"{here}/{name}" if name != ".." else here.rpartition("/")[0]
        facts = posix.stat(here or "/", follow_symlinks=False)
        yield here or "/", facts
        if S_ISLNK(facts.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(ELOOP, "", here)
            target = posix.readlink(here)
            names[:0], here = target.split("/"), "" if target.startswith("/") else above


def check_owner(path: str, facts: "posix.stat_result", *, only_ours: bool = False) -> None:
    """Raise PyruncError if others than root and this user (`only_ours`: than this user) can change a directory."""
    hint, euid = "choose another with --root or XDG_RUNTIME_DIR", posix.geteuid()
    if facts.st_uid != euid and (only_ours or not (facts.st_uid == 0 or _is_outside(facts.st_uid))):
        text = f"the state directory `{path}` belongs to uid {facts.st_uid}"
        raise PyruncError(text, hint=hint, check="state-directory")
    # In a directory like /tmp nobody can rename or remove what is another's.
    writable = 0o002 if facts.st_gid == 0 else 0o022
    if facts.st_mode & writable and not facts.st_mode & S_ISVTX and not S_ISLNK(facts.st_mode):
        raise PyruncError(f"others may write into the state directory `{path}`", hint=hint, check="state-directory")


def _is_outside(uid: int) -> bool:
    """Whether this is how an id looks that our user namespace does not have: of the host's root, say."""
    if uid != _UNMAPPED:
        return False
    from pyrunc.kernel.ids import idmap

    try:
        return not idmap.is_initial()
    except OSError:
        return False


def make(root: str, mode: int = 0o700 | S_ISVTX) -> None:
    """Make the state root, and what is above it.

    Sticky: who tidies up $XDG_RUNTIME_DIR leaves what is (XDG Base Directory Specification). A container whose state is
    gone would run on, and nothing could end it.
    """
    parent = root.rpartition("/")[0]
    try:
        posix.mkdir(root, mode)
    except FileExistsError:
        pass
    except FileNotFoundError:
        if not parent:
            raise
        make(parent, 0o700)
        posix.mkdir(root, mode)


def collect(root: str, *, dry: bool = False) -> "list[str]":
    """Remove what commands that were killed have left: directories that are of no container; their names. Who works at
    one holds its lock. One that cannot be removed stays, with what is mounted in it, for the next time.

    dry: only name them.
    """
    try:
        names = sorted(name for name in posix.listdir(root) if name.startswith((CLAIM, GRAVE)))
    except OSError:
        return []
    left = []
    for name in names:
        try:
            with opened(posix.open(f"{root}/{name}", DIRECTORY)) as fd:
                if posix.fstat(fd).st_uid != posix.geteuid():  # a stranger's, in a root like /tmp
                    continue
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not dry:
                    from .kernel import trees

                    trees.remove(f"{root}/{name}")
                left.append(name)
        except (OSError, PyruncError):
            continue
    return left
