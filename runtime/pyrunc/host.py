"""What this host and this user allow, asked of the kernel when it is needed."""

import posix

from .kernel import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel.subids import IdRights

_WHOLE_RANGE = ["0", "0", "4294967295"]


class HostFacts:
    """euid; in_userns: whether this process is in another user namespace than the host's; denies_setgroups: whether
    that one forbids setgroups(2); rights: which ids an ordinary user may map, None for uid 0."""

    __slots__ = ("denies_setgroups", "euid", "in_userns", "rights")

    def __init__(
        self, euid: int, *, in_userns: bool, denies_setgroups: bool = False, rights: "IdRights | None" = None
    ) -> None:
        self.euid, self.in_userns, self.denies_setgroups, self.rights = euid, in_userns, denies_setgroups, rights

    @property
    def privileged(self) -> bool:
        """Whether uid 0 here is uid 0 of the host."""
        return self.euid == 0 and not self.in_userns


def facts(environment: "dict[bytes, bytes]") -> HostFacts:
    """The facts of this process."""
    euid, in_userns, rights = posix.geteuid(), in_user_namespace(), None
    if euid != 0:
        from .kernel import subids

        rights = subids.rights(environment.get(b"PATH", b"").decode("utf-8", "surrogateescape"))
    denied = in_userns and credentials.setgroups_denied()
    return HostFacts(euid, in_userns=in_userns, denies_setgroups=denied, rights=rights)


def privileged() -> bool:
    """Whether this process is root of the host."""
    return posix.geteuid() == 0 and not in_user_namespace()


def in_user_namespace() -> bool:
    """Whether /proc/self/uid_map is another than the initial namespace's."""
    try:
        fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        return posix.read(fd, 4096).decode().split() != _WHOLE_RANGE
    finally:
        posix.close(fd)


def state_root(environment: "dict[bytes, bytes]") -> str:
    """The default of --root: /run/pyrunc for root, $XDG_RUNTIME_DIR/pyrunc for everybody else.

    podman gives root an empty XDG_RUNTIME_DIR, and uid 0 of a user namespace that of the user.
    """
    runtime_dir = environment.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    euid = posix.geteuid()
    if euid == 0 and not (runtime_dir and in_user_namespace()):
        return "/run/pyrunc"
    return f"{runtime_dir or f'/run/user/{euid}'}/pyrunc"
