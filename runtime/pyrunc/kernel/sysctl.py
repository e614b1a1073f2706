"""`linux.sysctl`: kernel parameters of the container's own namespaces."""

from pyrunc.errors import ConfigError
from pyrunc.kernel.mount import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Parameter:
    """key: as config.json has it; path: its file below /proc/sys; namespace: the type of that it belongs to;
    pointer: where config.json has it."""

    __slots__ = ("key", "namespace", "path", "pointer", "value")

    def __init__(self, key: str, path: str, value: str, namespace: str, pointer: str) -> None:
        self.key, self.path, self.value, self.namespace, self.pointer = key, path, value, namespace, pointer


def check(parameters: "Sequence[Parameter]", ours: "Collection[str]") -> None:
    """Raise ConfigError if a parameter belongs to a namespace that is to be joined and is the runtime's own: the host's
    would be changed. ours: the types of such namespaces."""
    for parameter in parameters:
        if parameter.namespace in ours:
            text = f"`{parameter.key}` would be set on the host: the {parameter.namespace} namespace is the runtime's"
            raise ConfigError(text, pointer=parameter.pointer)


def apply(proc: int, parameters: "Sequence[Parameter]") -> None:
    """Write each value, inside the container's namespaces: /proc/sys shows those of the process that opens it.

    proc: a procfs with /proc/sys, from `procfs.private(subset=False)`
    """
    for parameter in parameters:
        what = f"set kernel parameter `{parameter.key}` to `{parameter.value}`"
        procfs.write(proc, f"sys/{parameter.path}", parameter.value, what=what, pointer=parameter.pointer)
