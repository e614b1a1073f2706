"""`linux.sysctl`: kernel parameters of the container's own namespaces."""

import posix

from pyrunc.errors import ConfigError, PyruncError

from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def path_of(key: str) -> str:
    """The file below /proc/sys that `key` names: "net/ipv4/ip_forward"; "" if it names none.

    As in sysctl(8) the first separator decides: in `net.ipv4.conf.eth0/1.forwarding` dots separate and a slash stands
    for a dot in a name; in `net/ipv4/conf/eth0.1/forwarding` slashes separate. No component may lead upwards.
    """
    dot, slash = key.find("."), key.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        key = key.translate({ord("."): "/", ord("/"): "."})
    return "" if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")) else key


def apply(proc: int, values: "Mapping[str, str]") -> None:
    """Write each value, inside the container's namespaces: /proc/sys shows those of the process that opens it.

    proc: a procfs with /proc/sys, from `procfs.private(subset=False)`
    """
    for key, value in values.items():
        pointer = f"/linux/sysctl/{key.replace('~', '~0').replace('/', '~1')}"
        path = path_of(key)
        if not path:
            raise ConfigError(f"`{key}` is no name of a kernel parameter", pointer=pointer)
        try:
            fd = procfs.open_file(proc, f"sys/{path}", posix.O_WRONLY)
            try:
                posix.write(fd, value.encode())
            finally:
                posix.close(fd)
        except OSError as error:
            raise PyruncError.from_os(f"set kernel parameter `{key}` to `{value}`", error, pointer=pointer) from None
