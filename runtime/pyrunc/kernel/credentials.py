"""Who a process is: ids on entering a user namespace, session keyring, signal dispositions."""

import _signal
import posix

from pyrunc.errors import ConfigError, PyruncError

from . import syscalls

_ENOSYS, _EOPNOTSUPP, _EDQUOT, _EPERM, _EINVAL, _EROFS = 38, 95, 122, 1, 22, 30
_SIGKILL, _SIGSTOP = 9, 19
_KEYCTL_DESCRIBE_NONE, _KEYCTL_SETPERM = 0, 5
_POSSESSOR_ALL, _USER_VIEW_READ_SEARCH = 0x3F000000, 0x000B0000


def become_root(*, keep_groups: bool) -> None:
    """Uid and gid 0 of the user namespace that this process has entered, with no other groups if they are not kept."""
    try:
        if not keep_groups:
            posix.setgroups([])
    except PermissionError:  # denied in a namespace whose map an ordinary user wrote
        pass
    try:
        posix.setresgid(0, 0, 0)
        posix.setresuid(0, 0, 0)
    except OSError as error:
        hint = "id 0 must be mapped" if error.errno == _EINVAL else ""
        raise PyruncError.from_os("become root of the user namespace", error, hint=hint) from None


def setgroups_denied(proc: str = "/proc/self") -> bool:
    """Whether the user namespace of this process (or that of /proc/PID) forbids setgroups(2): one in which an ordinary
    user mapped his own group alone, or one inside of such a one (user_namespaces(7))."""
    try:
        fd = posix.open(f"{proc}/setgroups", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:  # no user namespaces in this kernel
        return False
    try:
        return posix.read(fd, 16).strip() == b"deny"
    finally:
        posix.close(fd)


def check_groups(groups: "tuple[int, ...] | list[int]", *, denied: bool) -> None:
    """Raise ConfigError for additionalGids that may not be set."""
    if groups and denied:
        raise ConfigError(
            "additional groups cannot be set in a user namespace to which your own group alone is mapped",
            pointer="/process/user/additionalGids",
            hint="map a range of /etc/subgid, or leave them out",
        )


def new_session_keyring(name: str) -> None:
    """A session keyring of the container's own, so that it cannot see or revoke that of the caller (keyrings(7)).

    A kernel without keys, or a key quota that is used up by other containers of the same user, leaves the old one: crun
    and runc go on as well.
    """
    try:
        ring = syscalls.join_session_keyring(name)
    except OSError as error:
        if error.errno in {_ENOSYS, _EOPNOTSUPP, _EPERM}:
            return
        hint = (
            "the user's quota in /proc/sys/kernel/keys is used up; --no-new-keyring does without"
            if error.errno == _EDQUOT
            else ""
        )
        raise PyruncError.from_os(f"make the session keyring `{name}`", error, hint=hint) from None
    try:
        syscalls.keyctl(_KEYCTL_SETPERM, ring, _POSSESSOR_ALL | _USER_VIEW_READ_SEARCH)
    except OSError as error:
        if error.errno not in {_ENOSYS, _EPERM}:
            raise PyruncError.from_os("set the permissions of the session keyring", error) from None


def with_home(env: "list[str]", uid: int) -> "list[str]":
    """The environment with HOME: if it is missing or empty, the home of `uid` in the container's /etc/passwd, or /.

    Called inside the container's root: the file is hostile, so it is read as bytes, of a regular file, up to a bound.
    """
    if any(entry.startswith("HOME=") and entry != "HOME=" for entry in env):
        return env
    return [*(entry for entry in env if entry != "HOME="), f"HOME={_home(uid)}"]


def _home(uid: int) -> str:
    try:
        fd = posix.open("/etc/passwd", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    except OSError:
        return "/"
    try:
        if posix.fstat(fd).st_mode & 0o170000 != 0o100000:
            return "/"
        for line in posix.read(fd, 1 << 20).split(b"\n"):
            fields = line.split(b":")
            if len(fields) > 6 and fields[2] == str(uid).encode() and fields[5].startswith(b"/"):
                return fields[5].decode("utf-8", "surrogateescape").replace("\0", "")
    except OSError:
        return "/"
    finally:
        posix.close(fd)
    return "/"


def make_working_directory(path: str) -> None:
    """Make the working directory if it is missing, as all runtimes do. Called inside the container's root, so that no
    symlink leads out of it; one that cannot be made is an error at chdir."""
    for end in [i for i in range(1, len(path)) if path[i] == "/"] + [len(path)]:
        try:
            posix.mkdir(path[:end], 0o755)
        except OSError:
            continue


def own_standard_streams(uid: int) -> None:
    """Give the standard streams to the container's user, or it could not open /dev/stdout, as runc does.

    Never the null device: it is the host's (runc issue 3674). A stream of a user that is not mapped here stays.
    """
    for fd in range(3):
        facts = posix.fstat(fd)
        if facts.st_uid == uid or (facts.st_mode & 0o170000 == 0o020000 and facts.st_rdev == posix.makedev(1, 3)):
            continue
        try:
            posix.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in {_EPERM, _EINVAL, _EROFS}:
                raise PyruncError.from_os(f"give descriptor {fd} to uid {uid}", error) from None


def default_signals() -> None:
    """Every signal at its default: CPython ignores SIGPIPE and SIGXFSZ, the caller may ignore others, exec keeps it."""
    for number in range(1, _signal.NSIG):
        if number not in {_SIGKILL, _SIGSTOP}:
            syscalls.default_signal(number)
