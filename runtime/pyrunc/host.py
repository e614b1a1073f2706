"""What this host and this user allow, asked of the kernel when it is needed."""

import posix

_WHOLE_RANGE = ["0", "0", "4294967295"]


class HostFacts:
    """euid; in_userns: whether this process is in another user namespace than the host's."""

    __slots__ = ("euid", "in_userns")

    def __init__(self, euid: int, *, in_userns: bool) -> None:
        self.euid, self.in_userns = euid, in_userns

    @property
    def privileged(self) -> bool:
        """Whether uid 0 here is uid 0 of the host."""
        return self.euid == 0 and not self.in_userns


def facts() -> HostFacts:
    """The facts of this process."""
    return HostFacts(posix.geteuid(), in_userns=in_user_namespace())


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
