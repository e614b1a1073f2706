"""All checks, in the order in which they are printed. The names are API: errors of `create` print them.

    examine     run them, or some of them
"""

from pyrunc.errors import PyruncError

from . import cgroups, features, files, installation, users
from .finding import MISSING, Finding, Subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHECKS: "dict[str, Callable[[Subject], Finding]]" = {
    "privileges": users.privileges,
    "system-calls": features.system_calls,
    "namespaces": features.namespace_types,
    "user-namespaces": users.user_namespaces,
    "subordinate-ids": users.subordinate_ids,
    "id-map-programs": users.id_map_programs,
    "proc-mount": files.proc_mount,
    "state-directory": files.state_directory,
    "memory-files": features.memory_files,
    "cgroups": cgroups.hierarchy,
    "controllers": cgroups.controllers,
    "systemd": cgroups.bus,
    "libsystemd": features.libsystemd,
    "seccomp": features.seccomp_filters,
    "libseccomp": features.libseccomp,
    "id-mapped-mounts": features.id_mapped_mounts,
    "security-modules": features.security_modules,
    "installation": installation.installation,
}


def examine(subject: Subject, names: "Iterable[str]" = CHECKS) -> "dict[str, Finding]":
    """The findings of these checks, in this order. None of them raises: what could not be examined is missing."""
    return {name: _examine(CHECKS[name], subject) for name in names}


def _examine(check: "Callable[[Subject], Finding]", subject: Subject) -> Finding:
    try:
        return check(subject)
    except PyruncError as error:
        return Finding(MISSING, f"cannot be examined: {error.message} (errno {error.errno})")
    except OSError as error:
        return Finding(MISSING, f"cannot be examined: {error.filename or 'a system call'} (errno {error.errno})")
