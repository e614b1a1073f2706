"""Checks of cgroups: the hierarchy, the controllers that this user may give to containers, and systemd's bus."""

import posix

from pyrunc.cgroup import cgroupfs, interface_files, limits
from pyrunc.errors import PyruncError
from pyrunc.wings.systemd import scopes
from pyrunc.wings.systemd.bus import private

from .finding import DEGRADED, MISSING, OK, Finding, Subject

_LIMITING = ("cpu", "cpuset", "io", "memory", "pids")
_UNIFIED = "boot with the kernel argument `systemd.unified_cgroup_hierarchy=1`"
_BOOT_SYSTEMD = "boot with systemd as process 1, or use --cgroup-manager cgroupfs"


def hierarchy(_: Subject) -> Finding:
    """cgroup v2 alone, beside version 1 (hybrid), or none."""
    top = cgroupfs.mount_point()
    if top is None:
        loss = "containers with limits are refused, the others run without a cgroup of their own"
        if limits.bound_to_v1("cpu") or limits.bound_to_v1("memory"):
            return Finding(MISSING, f"cgroup v1 only: {loss}", _UNIFIED)
        return Finding(MISSING, f"no cgroup v2 hierarchy is mounted: {loss}", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    bound = [name for name in _LIMITING if limits.bound_to_v1(name)]
    if bound:
        text = f"hybrid: cgroup v2 at {top}, but {', '.join(bound)} belong to cgroup v1"
        return Finding(DEGRADED, f"{text}: these limits are refused", _UNIFIED)
    return Finding(OK, f"cgroup v2 at {top}")


def controllers(subject: Subject) -> Finding:
    """The controllers of the cgroup below which this user's containers are."""
    top = cgroupfs.mount_point()
    if top is None:
        return Finding(MISSING, "no cgroup v2 hierarchy, no limits", "pyrunc doctor cgroups")
    below = "" if subject.host.privileged else _delegated(top, subject.host.uid_outside)
    present = [] if below is None else (interface_files.read(f"{top}{below}/cgroup.controllers") or "").split()
    lacking = [name for name in _LIMITING if name not in present]
    if not lacking:
        return _all_there(subject, below or "/")
    if below is None:
        text = f"no cgroup is delegated to `{subject.name()}`: limits, and cgroups with a name, are refused"
    else:
        text = f"{', '.join(lacking)} not available in `{below or '/'}`: these limits are refused"
    if any(limits.bound_to_v1(name) for name in lacking):
        repair = _UNIFIED
    elif subject.host.privileged:
        repair = "boot without `cgroup_disable=`, or boot another kernel"
    else:
        repair = _delegation(top, subject)
    return Finding(DEGRADED if present else MISSING, text, repair, lacking=() if below is None else lacking)


def _all_there(subject: Subject, below: str) -> Finding:
    """Whether the cgroupfs manager gets at them too: it moves processes, and so must be in what is delegated."""
    text, own = f"{', '.join(_LIMITING)} in `{below}`", cgroupfs.own_path()
    if subject.host.privileged or f"{own}/".startswith(below.rstrip("/") + "/"):
        return Finding(OK, text)
    text += f", but this process is not below it: in `{own}` only --systemd-cgroup can use them"
    return Finding(DEGRADED, text, "use --systemd-cgroup, or `systemd-run --user --scope pyrunc ...`")


def _delegated(top: str, uid: int) -> "str | None":
    """The highest cgroup that is the user's: above the own one, or that of the user's systemd manager."""
    manager = f"/user.slice/user-{uid}.slice/user@{uid}.service"
    for path in (cgroupfs.own_path(), manager):
        names = path.strip("/").split("/")
        for i in range(len(names) + 1):
            above = "".join(f"/{name}" for name in names[:i] if name)
            if posix.access(f"{top}{above}/cgroup.procs", posix.W_OK) and posix.access(f"{top}{above}", posix.W_OK):
                return above
    return None


def _delegation(top: str, subject: Subject) -> str:
    """What delegates every controller to the user (systemd.resource-control(5), Delegate=; cgroup-v2.rst)."""
    uid = subject.host.uid_outside
    if not _booted_by_systemd():
        own = f"{top}/user-{uid}"
        return f"mkdir {own} && chown {uid} {own} {own}/cgroup.*, enable controllers in {top}, move the user there"
    drop_in = "/etc/systemd/system/user@.service.d"
    text = f"[Service]\\nDelegate={' '.join(_LIMITING)}\\n"
    return (
        f"mkdir -p {drop_in} && printf '{text}' > {drop_in}/delegate.conf && systemctl daemon-reload && "
        f"systemctl restart user@{uid}.service"
    )


def _booted_by_systemd() -> bool:
    return posix.access("/run/systemd/system", posix.F_OK)  # sd_booted(3)


def bus(subject: Subject) -> Finding:
    """A question to the manager that --systemd-cgroup would ask: the user's own, or for root the system's."""
    user = not subject.host.privileged
    whose = "the user's manager" if user else "the system's manager"
    loss = "--systemd-cgroup is refused"
    try:
        address = scopes.address(subject.environment, user=user)
        manager = scopes.Manager(address)
    except PyruncError as error:
        cause = error.message
        if error.errno:
            itself = private(address)
            cause = f"nobody answers at `{address}`" + (f", nor at `{itself}`" if itself else "")
        log_in = f"loginctl enable-linger {subject.name()}, then log in with a new session (ssh, machinectl shell)"
        return Finding(MISSING, f"{cause}: {loss}", log_in if user and _booted_by_systemd() else _BOOT_SYSTEMD)
    try:
        below = manager.cgroup()
    except PyruncError as error:
        return Finding(MISSING, f"{whose} does not answer ({error.message}): {loss}")
    finally:
        manager.close()
    how = " itself, without a D-Bus daemon," if manager.direct else ""
    return Finding(OK, f"{whose} answers{how or ','} its cgroup is `{below or '/'}`")
