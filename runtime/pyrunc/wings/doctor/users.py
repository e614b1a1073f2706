"""Checks of the user: privilege, user namespaces, subordinate ids and the programs that map them.

user_namespaces(7), subuid(5), newuidmap(1), capabilities(7).
"""

import posix
from _struct import unpack_from
from errno import EAGAIN, ENOMEM, ENOSPC, ENOSYS, EUSERS

from pyrunc.kernel import syscalls
from pyrunc.kernel.ids import subordinate
from pyrunc.kernel.process import capabilities, trial

from .finding import DEGRADED, MISSING, OK, Finding, Subject, number, package, status_field

# What the setting up of a container uses, besides CAP_SYS_ADMIN.
_USED = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
         "CAP_SYS_RESOURCE")  # fmt: skip


def privileges(subject: Subject) -> Finding:
    """The capabilities of a caller that is uid 0."""
    if subject.ordinary:
        return Finding(OK, "an ordinary user: every container gets a user namespace")
    have = int(status_field("CapEff") or "0", 16)
    if not have & capabilities.mask(("CAP_SYS_ADMIN",)):
        return Finding(
            MISSING, "uid 0 without CAP_SYS_ADMIN, as in a container of docker or podman",
            "call pyrunc as an ordinary user, whose user namespaces need no privilege outside", fatal=True,
        )  # fmt: skip
    lacking = [name for name in _USED if not have & capabilities.mask((name,))]
    if lacking:
        return Finding(
            DEGRADED, f"uid 0 without {', '.join(lacking)}: what needs it is refused",
            f"if the outer container may have it: `{' '.join(f'--cap-add {name}' for name in lacking)}`",
        )  # fmt: skip
    where = "uid 0 of a user namespace" if subject.host.in_userns else "root of the host"
    return Finding(OK, f"{where}, with the capabilities that containers need")


# -- user namespaces --------------------------------------------------------------------------------------------------

_LIMIT = "/proc/sys/user/max_user_namespaces"
_DEBIAN_SWITCH = "/proc/sys/kernel/unprivileged_userns_clone"  # Debian, Arch
_AS_ROOT = "they are switched off for everybody: root can run containers without a user namespace"
# For this program alone: the switch is a protection of all others.
_PROFILE = (
    'echo "abi <abi/4.0>, profile crun-pyrunc $(command -v pyrunc) flags=(unconfined) { userns, }" '
    "> /etc/apparmor.d/pyrunc && apparmor_parser -r /etc/apparmor.d/pyrunc"
)
_APPARMOR_SWITCH = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"  # Ubuntu since 23.10


def user_namespaces(subject: Subject) -> Finding:
    """A child in a new user namespace tries what its privilege there is for: a mount."""
    try:
        failure = trial.try_in_child(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS, _make_private)
    except OSError as error:
        text, repair = _why_refused(error.errno or 0)
        return Finding(MISSING, text, repair, fatal=subject.ordinary)
    if failure:
        text, repair = _restricted() or ("a security module removes the privileges in a new user namespace", "")
        return Finding(MISSING, text, repair, fatal=subject.ordinary)
    return Finding(OK, "can be made, and give privileges inside")


def _make_private() -> None:
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def _why_refused(errno: int) -> "tuple[str, str]":
    """(cause, repair) when the clone itself failed."""
    limit = number(_LIMIT)
    if limit == 0:
        return "user.max_user_namespaces is 0", _AS_ROOT
    if errno == ENOSYS:
        return "clone3 is missing", "pyrunc doctor system-calls"
    if errno in {ENOSPC, EUSERS}:
        text = f"the limit user.max_user_namespaces ({limit}) is reached, or that of a parent, or 32 levels are"
        return text, "sysctl -w user.max_user_namespaces=100000"
    if errno in {EAGAIN, ENOMEM}:
        return "no process could be made just now: no process or no memory is left (ulimit -u, pids.max)", ""
    if not posix.access("/proc/self/ns/user", posix.F_OK):
        return "the kernel was built without CONFIG_USER_NS", "boot another kernel"
    if number(_DEBIAN_SWITCH) == 0:
        return "kernel.unprivileged_userns_clone is 0", _AS_ROOT
    if found := _restricted():
        return found
    if status_field("Seccomp") == "2":
        text = "the seccomp filter of this process refuses them"
        return text, "give the outer container a profile that allows clone3, mount, setns and unshare in them"
    return f"the kernel refuses them (errno {errno}): a security module, or this process is in a chroot", ""


def _restricted() -> "tuple[str, str] | None":
    if number(_APPARMOR_SWITCH) != 1:
        return None
    text = "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns is 1)"
    return text, f"{_PROFILE}; docs/apparmor.md describes the consequences"


# -- ids --------------------------------------------------------------------------------------------------------------

_USUAL_COUNT = 65536
_FIRST_SUBORDINATE = 100000


def subordinate_ids(subject: Subject) -> Finding:
    """The ranges that /etc/subuid and /etc/subgid give to the user."""
    rights = subject.host.rights
    if rights is None:
        return Finding(OK, "not needed: uid 0 can map any id that it has")
    if rights.elsewhere:
        return Finding(OK, "they come from the service that /etc/nsswitch.conf names for `subid`")
    if rights.user == str(rights.uid):
        text = "the user has no name, so newuidmap maps no ids: a container has one user and one group"
        return Finding(MISSING, text, f"useradd --uid {rights.uid} NAME")
    grants = {"/etc/subuid": rights.uids, "/etc/subgid": rights.gids}
    counts = {path: sum(grant.count for grant in given) for path, given in grants.items()}
    lowest = min(counts.values())
    if lowest >= _USUAL_COUNT:
        return Finding(OK, f"{lowest} of them")
    login, first = rights.user, max(_FIRST_SUBORDINATE, *(_end(path) for path in counts))
    ranges = f"{first}-{first + _USUAL_COUNT - 1}"
    repair = f"usermod --add-subuids {ranges} --add-subgids {ranges} {login}"
    if lowest == 0:
        lacking = " and ".join(path for path, count in counts.items() if not count)
        return Finding(MISSING, f"no ids for `{login}` in {lacking}: a container has one user and one group", repair)
    return Finding(DEGRADED, f"only {lowest} of them: images use ids up to 65535", repair)


def _end(path: str) -> int:
    """The first id behind all ranges that leave room for another."""
    ends = [grant.first + grant.count for grant in subordinate.lines(path)]
    return max([end for end in ends if end + _USUAL_COUNT < 1 << 31], default=0)


_PROGRAMS = {"newuidmap": "CAP_SETUID", "newgidmap": "CAP_SETGID"}


def id_map_programs(subject: Subject) -> Finding:
    """newuidmap(1) and newgidmap(1), and the privilege that their files carry."""
    rights = subject.host.rights
    if rights is None:
        return Finding(OK, "not needed: uid 0 writes id maps itself")
    loss = "a container has one user and one group"
    for name, capability in _PROGRAMS.items():
        path = rights.helpers[name]
        if not path:
            return Finding(MISSING, f"{name} is not installed: {loss}", package("uidmap", "shadow-utils"))
        facts = posix.stat(path)
        setuid_root = facts.st_mode & 0o4000 and facts.st_uid == 0
        if not (setuid_root or _file_capabilities(path) & capabilities.mask((capability,))):
            text = f"{path} is neither setuid root nor has the file capability {capability.lower()}: {loss}"
            return Finding(MISSING, text, package("--reinstall uidmap", "shadow-utils", verb="reinstall"))
        if posix.statvfs(path).f_flag & posix.ST_NOSUID:
            text = f"{path} is on a file system that is mounted nosuid: {loss}"
            return Finding(MISSING, text, "install it on a file system that is mounted without nosuid")
    if status_field("NoNewPrivs") == "1":
        text = f"this process has no_new_privs, so that newuidmap gains no privilege: {loss}"
        return Finding(MISSING, text, "leave NoNewPrivileges= out of the service that pyrunc is called from")
    return Finding(OK, "newuidmap and newgidmap have the privilege that they need")


def _file_capabilities(path: str) -> int:
    """The permitted set of a file's capabilities, if they are effective too (struct vfs_cap_data, capabilities(7))."""
    try:
        data = posix.getxattr(path, "security.capability")
    except OSError:
        return 0
    flags, low, _, high = unpack_from("<4I", data.ljust(16, b"\0"))
    return (low | high << 32) if flags & 1 else 0
