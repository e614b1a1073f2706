"""Checks of the kernel and of the libraries that some containers need."""

import posix
from errno import E2BIG, EINVAL, ENOSYS

from pyrunc.errors import PyruncError
from pyrunc.kernel import namespaces, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.library import Library, NotInstalled
from pyrunc.kernel.process import lsm, sealed
from pyrunc.wings.idmapped.mount_userns import MountMap
from pyrunc.wings.seccomp import filters

from .finding import DEGRADED, MISSING, OK, Finding, Subject, number, package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NOBODY = 1 << 20  # no descriptor has this number

# Each is called with arguments that the kernel refuses: how it does so tells whether it knows the call.
_CALLS: "tuple[tuple[str, str, Callable[[], object]], ...]" = (
    ("clone3 into a cgroup", "5.7", lambda: syscalls.fork_into(0, _NOBODY)),
    ("close_range", "5.9", lambda: syscalls.close_range(2, 1)),
    ("fsmount", "5.2", lambda: syscalls.fsmount(-1)),
    ("fsopen", "5.2", lambda: syscalls.fsopen("")),
    ("mount_setattr", "5.12", lambda: syscalls.mount_setattr(-1)),
    ("move_mount", "5.2", lambda: syscalls.move_mount(-1, -1)),
    ("open_tree", "5.2", lambda: syscalls.open_tree(-1, "x")),
    ("openat2", "5.6", lambda: syscalls.openat2(-1, "x", 0)),
    ("pidfd_getfd", "5.6", lambda: syscalls.pidfd_getfd(-1, 0)),
    ("pidfd_open", "5.3", lambda: syscalls.pidfd_open(0)),
    ("statx with mount ids", "5.8", lambda: syscalls.mount_id(-1)),
)


def system_calls(_: Subject) -> Finding:
    """The system calls that no container can be made without."""
    lacking = [f"{name} (Linux {since})" for name, since, call in _CALLS if _unknown(name, call)]
    if lacking:
        return Finding(
            MISSING, f"the kernel {posix.uname().release}, or a seccomp filter before it, lacks {', '.join(lacking)}",
            "boot Linux 5.12 or newer; in a container, give it a seccomp profile that allows them", fatal=True,
        )  # fmt: skip
    return Finding(OK, f"Linux {posix.uname().release} has all {len(_CALLS)} that are newer than Linux 5.0")


def _unknown(name: str, call: "Callable[[], object]") -> bool:
    try:
        call()
    except OSError as error:
        # An older clone3 knows neither the flag nor, then, the size.
        return error.errno == ENOSYS or (name.startswith("clone3") and error.errno in {EINVAL, E2BIG})
    return False


def namespace_types(_: Subject) -> Finding:
    """The types of namespaces besides the user namespace: built in, and allowed to be made."""
    files = {kind: namespaces.FILES.get(kind, kind) for kind in namespaces.FLAGS if kind != "user"}
    absent = [kind for kind, name in files.items() if not posix.access(f"/proc/self/ns/{name}", posix.F_OK)]
    if absent:
        return Finding(MISSING, f"the kernel was built without {', '.join(absent)} namespaces", "boot another kernel")
    limits = [f"user.max_{name}_namespaces" for name in files.values()]
    for limit in limits:
        if number(f"/proc/sys/{limit.replace('.', '/')}") == 0:
            return Finding(MISSING, f"{limit} is 0", f"sysctl -w {limit}=15000")
    return Finding(OK, ", ".join(files))


def memory_files(_: Subject) -> Finding:
    """Whether pyrunc-init can be executed from a sealed file in memory (`kernel.process.sealed`)."""
    repair = "install pyrunc as root, so that its files are not this user's"
    forbidden = number("/proc/sys/vm/memfd_noexec") == 2  # the strictest of the pid namespaces
    try:
        posix.close(sealed.helper())
    except PyruncError as error:
        cause = "vm.memfd_noexec is 2" if forbidden else error.message
        return Finding(MISSING, f"{cause}, and this user can write to the file of pyrunc-init", repair, fatal=True)
    if forbidden:
        return Finding(DEGRADED, "vm.memfd_noexec is 2: pyrunc-init runs from its file, not from memory")
    return Finding(OK, "pyrunc-init runs from a sealed file in memory")


_NEW_LISTENER = 8


def seccomp_filters(_: Subject) -> Finding:
    """seccomp(2), and user notification (Linux 5.0)."""
    if not filters.supports(0):
        text = "the kernel was built without CONFIG_SECCOMP_FILTER: a configuration with linux.seccomp is refused"
        return Finding(MISSING, text, "boot another kernel")
    if not filters.supports(_NEW_LISTENER):
        return Finding(DEGRADED, "filters, but no user notification (SCMP_ACT_NOTIFY)", "boot Linux 5.0 or newer")
    return Finding(OK, "filters and user notification")


def libseccomp(_: Subject) -> Finding:
    """The compiler of filters."""
    loss = "a configuration with linux.seccomp is refused, and engines give one by default"
    return _library("libseccomp.so.2", loss, package("libseccomp2", "libseccomp"))


def libsystemd(_: Subject) -> Finding:
    """The D-Bus client of the systemd cgroup manager."""
    return _library("libsystemd.so.0", "--systemd-cgroup is refused", package("libsystemd0", "systemd-libs"))


def _library(name: str, loss: str, repair: str) -> Finding:
    try:
        Library(name, "pyrunc")
    except NotInstalled:
        return Finding(MISSING, f"{name} is not installed: {loss}", repair)
    except PyruncError:
        return Finding(MISSING, f"{name} does not fit this machine: {loss}", repair)
    return Finding(OK, f"{name} can be loaded")


def security_modules(_: Subject) -> Finding:
    """AppArmor and SELinux: what containers can be confined by."""
    modules = (("AppArmor", lsm.apparmor_enabled()), ("SELinux", lsm.selinux_enabled()))
    text = ", ".join(f"{name} is {'on' if on else 'off'}" for name, on in modules)
    if any(on for _, on in modules):
        return Finding(OK, text)
    text = f"{text}: a configuration with a profile or a label is refused"
    return Finding(DEGRADED, text, "boot with the kernel argument `security=apparmor` or `security=selinux`")


def id_mapped_mounts(subject: Subject) -> Finding:
    """A copy of the root file system's mount takes the ids of a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP)."""
    if not subject.host.privileged:
        return Finding(OK, "not available to this user: only root of the host may make them")
    loss = "a configuration with an id-mapped mount of its files is refused"
    mapping = MountMap(((0, 1, 1),), ((0, 1, 1),), recursive=False)
    try:
        userns = mapping.open(-1, "")
    except PyruncError:
        return Finding(DEGRADED, f"cannot be tried without a user namespace: {loss}", "pyrunc doctor user-namespaces")
    root = (syscalls.AT_FDCWD, "/", syscalls.OPEN_TREE_CLONE)
    try:
        with opened(userns), opened(syscalls.open_tree(*root)) as tree:
            syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_IDMAP, userns=userns)
    except OSError as error:
        text = f"the file system of / does not support them (errno {error.errno}): {loss}"
        return Finding(DEGRADED, text, "keep images on ext4, xfs or btrfs")
    return Finding(OK, "the file system of / supports them")
