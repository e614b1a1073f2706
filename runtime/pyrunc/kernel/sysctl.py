"""`linux.sysctl`: kernel parameters of the container's own namespaces."""

from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Parameter:
    """key: as config.json has it; path: its file below /proc/sys; pointer: where config.json has it."""

    __slots__ = ("key", "path", "pointer", "value")

    def __init__(self, key: str, path: str, value: str, pointer: str) -> None:
        self.key, self.path, self.value, self.pointer = key, path, value, pointer


def apply(proc: int, parameters: "Sequence[Parameter]") -> None:
    """Write each value, inside the container's namespaces: /proc/sys shows those of the process that opens it.

    proc: a procfs with /proc/sys, from `procfs.private(subset=False)`
    """
    for parameter in parameters:
        what = f"set kernel parameter `{parameter.key}` to `{parameter.value}`"
        procfs.write(proc, f"sys/{parameter.path}", parameter.value, what=what, pointer=parameter.pointer)
