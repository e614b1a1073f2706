"""From a `create` that failed to the check that names the cause: the one place that knows which failure belongs where.

It is loaded when something has failed, and never before.
"""

from errno import EACCES, ENOSYS, EPERM, EROFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.errors import PyruncError
    from pyrunc.planning.facts import HostFacts

    from .finding import Finding

_REFUSED = (EPERM, EACCES)

# (a part of the error's message, the errnos or () for any, the checks that may know why: the first that is not ok does)
CAUSES: "tuple[tuple[str, tuple[int, ...], tuple[str, ...]], ...]" = (
    ("", (ENOSYS,), ("system-calls",)),
    ("clone the container's first process", (), ("privileges", "system-calls", "user-namespaces", "namespaces")),
    ("newuidmap", (), ("id-map-programs", "subordinate-ids")),
    ("newgidmap", (), ("id-map-programs", "subordinate-ids")),
    ("mount `proc`", _REFUSED, ("user-namespaces", "proc-mount")),
    ("make a user namespace for an id-mapped mount", (), ("user-namespaces",)),
    ("not yours to map", (), ("subordinate-ids",)),
    ("become root of the user namespace", _REFUSED, ("user-namespaces",)),
    ("the state directory `", (), ("state-directory",)),
    ("protect pyrunc-init", (), ("memory-files",)),
    ("kernel has no seccomp filters", (), ("seccomp",)),
    ("needs libseccomp", (), ("libseccomp",)),
    ("needs libsystemd", (), ("libsystemd",)),
    ("systemd user manager", (), ("systemd",)),
    ("connect to systemd's bus", (), ("systemd",)),
    ("no cgroup v2 hierarchy is mounted", (), ("cgroups",)),
    ("is bound to cgroup v1", (), ("cgroups",)),
    ("controller `", (), ("cgroups", "controllers")),
    ("make cgroup", (*_REFUSED, EROFS), ("cgroups", "controllers")),
    ("AppArmor is not enabled", (), ("security-modules",)),
    ("SELinux is not enabled", (), ("security-modules",)),
)


def explain(error: "PyruncError", host: "HostFacts", environment: "dict[bytes, bytes]", root: str) -> None:
    """Put the cause, the repair and the name of the check into the error's hint, if a check that may know finds one.

    Which failure it was only tells whom to ask: the host is examined anew, so that no cause is named that is none.
    """
    names: dict[str, None] = {}
    for part, errnos, checks in CAUSES:
        if part in error.message and (not errnos or error.errno in errnos):
            names |= dict.fromkeys(checks)
    if not names:
        return
    from .checks import examine
    from .finding import DEGRADED, MISSING, Subject

    findings = examine(Subject(host, environment, root), names)
    for status in (MISSING, DEGRADED):
        for name, finding in findings.items():
            if finding.status == status and _concerns(finding, name, error.message):
                cause = "" if error.message in finding.text else finding.text
                repair = f"repair: {finding.repair}" if finding.repair else ""
                error.hint = f"{'; '.join(filter(None, (cause, repair)))} (pyrunc doctor: {name})".lstrip()
                return


def _concerns(finding: "Finding", check: str, message: str) -> bool:
    """Whether a finding is about this failure: controllers that are lacking explain only an error that names one."""
    lacking, not_all, _ = finding.text.partition(" not available in ")
    return check != "controllers" or not not_all or any(f"`{name}`" in message for name in lacking.split(", "))
