"""Checks of what is mounted: a /proc that may be mounted anew, and a directory for the state of containers."""

import fcntl
import posix

from pyrunc import stateroot
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.process import processes, trial

from .finding import DEGRADED, MISSING, OK, Finding, Subject

_NEW_PROC = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS


def proc_mount(subject: Subject) -> Finding:
    """A child that is pid 1 of a new pid namespace makes a new proc file system, as a container does.

    In a user namespace the kernel allows it only where a proc without anything mounted over parts of it is in sight
    (mount_too_revealing in fs/namespace.c).
    """
    if subject.host.privileged and _try(_NEW_PROC):
        return Finding(MISSING, "not even root can mount a new proc file system here", "pyrunc doctor privileges")
    failure = _try(_NEW_PROC | syscalls.CLONE_NEWUSER)
    if failure < 0:
        status = DEGRADED if subject.host.privileged else MISSING
        return Finding(status, "cannot be tried without a user namespace", "pyrunc doctor user-namespaces")
    if not failure:
        return Finding(OK, "a container with a pid namespace of its own can have its own /proc")
    covers = _mounts_below_proc()
    listed = f"{', '.join(covers[:4])}{' and more' if len(covers) > 4 else ''}"
    cause = f"{listed} cover{'s' if len(covers) == 1 else ''} parts of /proc" if covers else "/proc is not all visible"
    if covers:
        repair = "call pyrunc outside this container: what is mounted there protects the host from it"
    else:
        repair = "mount -t proc proc /proc"
    whose = "a user namespace" if subject.host.privileged else "a pid namespace of its own"
    text = f"{cause}, so that a container with {whose} cannot have a new one"
    return Finding(DEGRADED if subject.host.privileged else MISSING, text, repair)


def _try(flags: int) -> int:
    """The errno of a new proc file system in new namespaces, 0 for success, -1 if there can be no such namespaces."""
    try:
        return trial.try_in_child(flags, _mount_proc)
    except OSError:
        return -1


def _mount_proc() -> None:
    context = syscalls.fsopen("proc")
    syscalls.fsconfig_command(context)
    syscalls.fsmount(context)


def _mounts_below_proc() -> "list[str]":
    """Mount points that hide something; that of binfmt_misc is an empty directory made for it."""
    try:
        points = {point for _, _, point in processes.mount_table()}
    except OSError:  # no /proc at all
        return []
    return sorted(point for point in points if point.startswith("/proc/") and point != "/proc/sys/fs/binfmt_misc")


def state_directory(subject: Subject) -> Finding:
    """Below the state root, or where it would be made, everything is tried that a state directory needs."""
    where = subject.root
    while not posix.access(where, posix.F_OK) and where != "/":
        where = where.rpartition("/")[0] or "/"
    if where == subject.root:
        try:
            stateroot.check(where)
        except PyruncError as error:
            return Finding(MISSING, error.message, error.hint, fatal=True)
    trial = f"{where}/.doctor-{posix.urandom(8).hex()}"
    try:
        posix.mkdir(trial, 0o700)
    except OSError as error:
        return _no_state(subject, where, f"`{where}` is not writable ({_why(error)})")
    try:
        posix.mkfifo(f"{trial}/fifo", 0o600)
        with opened(posix.open(trial, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return _no_state(subject, where, f"the file system of `{where}` has no fifos or locks ({_why(error)})")
    finally:
        for remove, name in ((posix.unlink, f"{trial}/fifo"), (posix.rmdir, trial)):
            try:
                remove(name)
            except FileNotFoundError:
                continue
    return Finding(OK, f"`{subject.root}` can be written")


def _no_state(subject: Subject, where: str, cause: str) -> Finding:
    if subject.ordinary and not subject.environment.get(b"XDG_RUNTIME_DIR"):
        cause += ", and XDG_RUNTIME_DIR is not set"
        repair = f"loginctl enable-linger {subject.name()}, then log in again; or use --root DIR"
    else:
        repair = f"make `{where}` writable for user {subject.host.euid}, or use --root DIR"
    return Finding(MISSING, cause, repair, fatal=True)


_WHY = {1: "not allowed", 13: "not allowed", 20: "not a directory", 28: "full", 30: "read-only", 122: "quota exceeded"}


def _why(error: OSError) -> str:
    """In other words than the kernel's, by which callers would classify the error."""
    return _WHY.get(error.errno or 0, f"errno {error.errno}")
