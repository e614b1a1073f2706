"""Who this process is on this host, asked of the kernel when it is needed: all that most commands want to know."""

import posix


def privileged() -> bool:
    """Whether this process is root of the host."""
    return posix.geteuid() == 0 and not in_user_namespace()


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the host's."""
    from pyrunc.kernel.ids import idmap  # most commands do not ask

    return not idmap.is_initial()


def state_root(environment: "dict[bytes, bytes]") -> str:
    """The default of --root: /run/pyrunc for root, $XDG_RUNTIME_DIR/pyrunc for everybody else.

    podman gives root an empty XDG_RUNTIME_DIR, and uid 0 of a user namespace that of the user.
    """
    runtime_dir = environment.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    euid = posix.geteuid()
    if euid == 0 and not (runtime_dir and in_user_namespace()):
        return "/run/pyrunc"
    return f"{runtime_dir or f'/run/user/{euid}'}/pyrunc"
