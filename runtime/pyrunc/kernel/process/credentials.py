"""Who a process is: ids on entering a user namespace, its home, its standard streams, signal dispositions."""

import _signal
import fcntl
import posix
from _signal import SIGKILL, SIGSTOP
from _stat import S_IFBLK, S_IFCHR, S_IFMT, S_ISREG
from errno import EACCES, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM, EROFS

import _prctl

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import files, paths, syscalls
from pyrunc.kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DEVICES = (S_IFCHR, S_IFBLK)


def hide() -> None:
    """Let no other process trace this one or look into it, and none that it clones (PR_SET_DUMPABLE): before it enters
    a namespace, so that root of that has no way to the host's root (CVE-2016-9962).

    /proc/PID belongs to root then: an ordinary user could not write the maps of a namespace any more.
    """
    _prctl.prctl(_prctl.PR_SET_DUMPABLE, 0)


def become_root(uid: int, gid: int, *, keep_groups: bool) -> None:
    """Uid and gid 0 of the user namespace that this process has entered, with no other groups if they are not kept.

    Where 0 is not mapped, `uid` and `gid`, the program's: privilege over the namespace is not a matter of ids.
    """
    try:
        if not keep_groups:
            posix.setgroups([])
    except PermissionError:  # denied in a namespace whose map an ordinary user wrote
        pass
    for become, own in ((posix.setresgid, gid), (posix.setresuid, uid)):
        try:
            _become_mapped(become, own)
        except OSError as error:
            hint = f"{own} is not mapped there" if error.errno == EINVAL else ""
            check = "user-namespaces" if error.errno in (EPERM, EACCES) else ""
            raise PyruncError.from_os("become root of the user namespace", error, hint=hint, check=check) from None


def _become_mapped(become: "Callable[[int, int, int], None]", own: int) -> None:
    try:
        become(0, 0, 0)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        become(own, own, own)


def setgroups_denied(proc: str = "/proc/self") -> bool:
    """Whether the user namespace of this process (or that of /proc/PID) forbids setgroups(2): one in which an ordinary
    user mapped his own group alone, or one inside of such a one (user_namespaces(7))."""
    try:
        return files.read(f"{proc}/setgroups").strip() == b"deny"
    except OSError:  # no user namespaces in this kernel
        return False


def check_groups(groups: "tuple[int, ...] | list[int]", *, denied: bool) -> None:
    """Raise ConfigError for additionalGids that may not be set."""
    if groups and denied:
        raise ConfigError(
            "additional groups cannot be set in a user namespace that maps only your own group",
            hint="map a range of /etc/subgid, or leave them out",
        )


def with_home(env: "list[str]", uid: int, root: int, *, before_pivot: bool) -> "list[str]":
    """The environment with HOME: if it is missing or empty, the home of `uid` in the container's /etc/passwd, or /.

    root: a descriptor of the container's root; before_pivot: /proc is still the host's, and no device filter in force.
    The file is hostile: read as bytes, within the root, up to a bound, and opened only if it is regular: a driver may
    act on being opened (a watchdog would start).
    """
    if any(entry.startswith("HOME=") and entry != "HOME=" for entry in env):
        return env
    home = _home(uid, root, before_pivot=before_pivot)
    return [*(entry for entry in env if entry != "HOME="), f"HOME={home}"]


def _home(uid: int, root: int, *, before_pivot: bool) -> str:
    try:
        content = _passwd(root, before_pivot=before_pivot)
    except OSError as error:
        # Without room it is not the image that has no home for him; all else is the image's.
        if error.errno in {EMFILE, ENFILE, ENOMEM}:
            raise PyruncError.from_os("read the container's `/etc/passwd`", error) from None
        content = b""
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 6 and fields[2] == str(uid).encode() and fields[5].startswith(b"/"):
            return fields[5].decode("utf-8", "surrogateescape").replace("\0", "")
    return "/"


def _passwd(root: int, *, before_pivot: bool) -> bytes:
    """The beginning of /etc/passwd, nothing if it is not a regular file. OSError."""
    with opened(paths.open_in(root, "/etc/passwd")) as found:
        if not S_ISREG(posix.fstat(found).st_mode):
            return b""
        flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY
        with opened(paths.reopen(found, flags) if before_pivot else paths.open_in(root, "/etc/passwd", flags)) as file:
            return posix.read(file, 1 << 20) if S_ISREG(posix.fstat(file).st_mode) else b""


def guard_null() -> None:
    """Open those standard streams anew that are the null device, on a read-only mount: through a descriptor of the
    host's, root of a container could change its mode and owner for everybody. Before anything is cloned; in the
    container they become its own (`use_own_null`)."""
    streams = _null_streams()
    if not streams:
        return
    try:
        null = paths.null_device()
    except PyruncError as error:
        if error.errno != EPERM:
            raise
        return  # who may not mount is not root, and nor is his container's root
    try:
        with opened(null):
            for fd in streams:
                how = fcntl.fcntl(fd, fcntl.F_GETFL) & (posix.O_ACCMODE | posix.O_APPEND | posix.O_NONBLOCK)
                with opened(paths.reopen(null, how)) as guarded:
                    posix.dup2(guarded, fd)
    except OSError as error:
        raise PyruncError.from_os("open `/dev/null` on a read-only mount", error) from None


def use_own_null(root: int, *, before_pivot: bool) -> None:
    """Let the standard streams that are the null device be the container's, under whose name (/proc/self/fd) it is
    there. Where it has none they stay what `guard_null` has made of them.

    root, before_pivot: as for `with_home`, whose file is as hostile.
    """
    streams = _null_streams()
    if not streams:
        return
    try:
        with opened(paths.open_in(root, "/dev/null", symlinks=False)) as found:
            for fd in streams if paths.is_null(found) else ():
                how = fcntl.fcntl(fd, fcntl.F_GETFL) & (posix.O_ACCMODE | posix.O_APPEND)
                flags = how | posix.O_NONBLOCK | posix.O_NOCTTY
                own = paths.reopen(found, flags) if before_pivot else paths.open_in(root, "/dev/null", flags)
                with opened(own):
                    if paths.is_null(own):
                        fcntl.fcntl(own, fcntl.F_SETFL, how)
                        posix.dup2(own, fd)
    except OSError:
        return


def _null_streams() -> "list[int]":
    return [fd for fd in range(3) if paths.is_null(fd)]


def make_working_directory(root: int, path: str) -> None:
    """Make the working directory in the container's root if it is missing, as all runtimes do. One that cannot be made
    is an error at chdir.

    Not by its path: /proc/self/fd/N leads to what the runtime has open, which is of the host (as in CVE-2024-21626).
    """
    try:
        posix.close(paths.make_directory(root, path))
    except (OSError, PyruncError):
        return


def own_standard_streams(uid: int) -> None:
    """Give the standard streams to the container's user, or it could not open /dev/stdout, as runc does.

    Of devices only terminals: the null device (runc issue 3674) or a disk is the host's. A stream of a user that is not
    mapped here stays.
    """
    for fd in range(3):
        facts = posix.fstat(fd)
        if facts.st_uid == uid or (S_IFMT(facts.st_mode) in _DEVICES and not posix.isatty(fd)):
            continue
        try:
            posix.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in {EPERM, EINVAL, EROFS}:
                raise PyruncError.from_os(f"change the owner of descriptor {fd} to uid {uid}", error) from None


def default_signals() -> None:
    """Every signal at its default: CPython ignores SIGPIPE and SIGXFSZ, the caller may ignore others, exec keeps it."""
    for number in range(1, _signal.NSIG):
        if number not in {SIGKILL, SIGSTOP}:
            syscalls.default_signal(number)
