"""`linux.sysctl`: which key names which file, and which keys belong to the container alone."""

IPC_KEYS = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
)

# (prefix or whole key, namespace type without which the value would be the host's own)
_NAMESPACED = (("fs.mqueue.", "ipc"), ("net.", "network"), ("user.", "user"))


def sysctl_path(key: str) -> str | None:
    """The file below /proc/sys that `key` names ("net/ipv4/ip_forward"), None if it names none.

    As in sysctl(8) the first separator decides: in `net.ipv4.conf.eth0/1.forwarding` dots separate and a slash stands
    for a dot, in `net/ipv4/conf/eth0.1/forwarding` slashes separate. No component may be empty, `.` or `..`.
    """
    dot, slash = key.find("."), key.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        key = key.translate({ord("."): "/", ord("/"): "."})
    parts = key.split("/")
    if len(parts) < 2 or "\0" in key or any(part in ("", ".", "..") or part.isspace() for part in parts):
        return None
    return key


def sysctl_namespace(path: str) -> str | None:
    """The type of the namespace to which the file `path` (see `sysctl_path`) belongs.

    None: it belongs to no namespace, a container that wrote it would change the host. `hostname` is told by the
    configuration's own key, so `kernel/hostname` is not among the keys that are let through.
    """
    name = path.replace("/", ".")
    if name in IPC_KEYS:
        return "ipc"
    if name == "kernel.domainname":
        return "uts"
    return next((namespace for prefix, namespace in _NAMESPACED if name.startswith(prefix)), None)
