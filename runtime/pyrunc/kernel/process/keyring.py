"""The session keyring of a container (keyrings(7), keyctl(2))."""

import posix
from errno import EDQUOT, ENOSYS, EOPNOTSUPP, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened

_KEYCTL_SETPERM = 5
_POSSESSOR_ALL, _USER_VIEW_READ_SEARCH = 0x3F000000, 0x000B0000


def new_name(container_id: str) -> str:
    """A name for the session keyring of a new container: short, because it counts against the user's key quota.

    Joining takes any keyring of that name which may be searched: if it could be guessed, another user of the host could
    have made it, and would read what the container puts in.
    """
    return f"_ses.{container_id}.{posix.urandom(8).hex()}"


def label_new_keys(label: str) -> None:
    """Give keyrings and keys that are made until the next execve (security/selinux/hooks.c) a label of SELinux, which
    would not let the program use a keyring that is labelled like the runtime."""
    from pyrunc.kernel.mount import procfs

    from . import lsm

    with opened(procfs.private()) as proc:
        lsm.label_new_keys(proc, label)


def new_session_keyring(name: str) -> str:
    """A session keyring of the container's own, so that it cannot see or revoke that of the caller (keyrings(7)): one
    of this name, or of another if that belongs to somebody else. A warning, or "".

    A kernel without keys leaves nothing to hide. A system call filter around us may forbid them: crun and runc go on as
    well.
    """
    try:
        ring = syscalls.join_session_keyring(name)
        if not _is_ours(ring):
            ring = syscalls.join_session_keyring(f"{name}.{posix.urandom(8).hex()}")
    except OSError as error:
        if error.errno in {ENOSYS, EOPNOTSUPP}:
            return ""
        if error.errno == EPERM:
            return "the container shares the session keyring of the runtime's caller: keyctl(2) is not permitted here"
        hint = (
            "the user's quota in /proc/sys/kernel/keys is used up; --no-new-keyring does without"
            if error.errno == EDQUOT
            else ""
        )
        raise PyruncError.from_os(f"make the session keyring `{name}`", error, hint=hint) from None
    try:
        syscalls.keyctl(_KEYCTL_SETPERM, ring, _POSSESSOR_ALL | _USER_VIEW_READ_SEARCH)
    except OSError as error:
        if error.errno not in {ENOSYS, EPERM}:
            raise PyruncError.from_os("set the permissions of the session keyring", error) from None
    return ""


def _is_ours(ring: int) -> bool:
    """Whether the key belongs to this user (keyctl_describe(3): `type;uid;gid;permissions;name`)."""
    return syscalls.describe_key(ring).split(";")[1] == str(posix.getuid())
