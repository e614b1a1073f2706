"""crun's annotations that change what the runtime does: their names, and what is wrong with a value.

Others are passed through to the state and mean nothing here. org.systemd.property.* is the matter of
`wings.systemd.properties`.
"""

from pyrunc.errors import ConfigError, token

from .reader import one_of, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "run.oci."
KEEP_GROUPS = "run.oci.keep_original_groups"  # podman sets it for `--group-add keep-groups`
HOOKS_STDOUT, HOOKS_STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"  # files that hooks' output is added to
MOUNT_CONTEXT_TYPE = "run.oci.mount_context_type"  # which option of a mount linux.mountLabel becomes
PIDFD_RECEIVER = "run.oci.pidfd_receiver"  # as --pidfd-socket
SECCOMP_RECEIVER = "run.oci.seccomp.receiver"  # as linux.seccomp.listenerPath
SECCOMP_BPF = "run.oci.seccomp_bpf_data"  # base64 of a filter to load in place of linux.seccomp
SECCOMP_STRICT = "run.oci.seccomp_fail_unknown_syscall"  # its presence counts
SYSTEMD_SUBGROUP = "run.oci.systemd.subgroup"  # a cgroup below the scope, for the container's processes
DELEGATED_CGROUP = "run.oci.delegate-cgroup"  # a cgroup below the container's, which is given to it

MOUNT_CONTEXTS = frozenset(("context", "fscontext", "defcontext", "rootcontext"))  # mount(8)

_PATHS = (HOOKS_STDOUT, HOOKS_STDERR, PIDFD_RECEIVER, SECCOMP_RECEIVER)
_CGROUPS = (SYSTEMD_SUBGROUP, DELEGATED_CGROUP)
_REFUSED = {
    "run.oci.handler": "pyrunc runs programs of Linux in namespaces; another kind of container needs its own runtime",
    "run.oci.seccomp.plugins": "pyrunc loads no plugins; an agent can listen at linux.seccomp.listenerPath",
    "run.oci.systemd.force_cgroup_v1": "pyrunc has no cgroup v1; a systemd that needs it is older than version 226",
}


def annotation_problems(annotations: "Mapping[str, str]") -> "Iterator[ConfigError]":
    """What cannot be honoured."""
    for name, value in annotations.items():
        if name.startswith(PREFIX):
            text = _problem(name, value)
            if text:
                yield ConfigError(text, pointer=f"/annotations/{token(name)}", hint=_REFUSED.get(name, ""))


def _problem(name: str, value: str) -> str:
    if name in _REFUSED:
        return f"the annotation `{name}` is not supported"
    if name == KEEP_GROUPS and value not in ("0", "1", "true"):
        return f"{shown(value)} is neither `1` nor `0`"  # crun takes all but "0" for a yes, "false" as well
    if name in _PATHS and (not value.startswith("/") or "\0" in value):
        return f"{shown(value)} is not an absolute path"
    if name in _CGROUPS and not (name == SYSTEMD_SUBGROUP and not value) and not _is_below(value):
        return f"{shown(value)} is not the name of a cgroup below the container's"
    if name == MOUNT_CONTEXT_TYPE and value not in MOUNT_CONTEXTS:
        return f"{shown(value)} is not {one_of(MOUNT_CONTEXTS)}"
    if name == SECCOMP_BPF:
        return "" if seccomp_instructions(value) else "not a seccomp filter in base64"
    return ""


def hook_paths(annotations: "object") -> tuple[str, str]:
    """The files that the hooks' standard output and standard error are added to, "" for none."""
    if not isinstance(annotations, dict):
        return "", ""
    return str(annotations.get(HOOKS_STDOUT, "")), str(annotations.get(HOOKS_STDERR, ""))


def _is_below(path: str) -> bool:
    return not set("\0\n") & set(path) and not any(part in ("", ".", "..") for part in path.split("/"))


def seccomp_instructions(value: str) -> bytes:
    """The struct sock_filter[] (eight bytes each) that is written in base64; empty if it is none."""
    import binascii

    try:
        data = binascii.a2b_base64(value.encode("ascii", "replace"), strict_mode=True)
    except binascii.Error:
        return b""
    return b"" if len(data) % 8 or len(data) > 8 * 4096 else data  # BPF_MAXINSNS
