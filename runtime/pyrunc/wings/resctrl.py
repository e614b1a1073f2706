"""Groups of the resctrl file system: shares of caches and of memory bandwidth (config-linux.md, "IntelRdt").

A control group is a directory at the root (or the root itself), a monitoring group one below its `mon_groups`. The
files of both are made by the kernel with the directory (Documentation/filesystems/resctrl.rst).
"""

import posix

from pyrunc.errors import ConfigError, PyruncError, within
from pyrunc.kernel import files
from pyrunc.kernel.process import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrunc.spec.linux import IntelRdt



def mount_point() -> str:
    """Where resctrl is mounted, "" if it is not."""
    for _, kind, point in processes.mount_table():
        if kind == "resctrl":
            return point
    return ""


def planned(wanted: "IntelRdt", container_id: str, root: str, pointer: str) -> "Group":
    """What `linux.intelRdt` asks for; root: see `mount_point`; pointer: to it.

    Whether it can be made depends on what is there (`Group.check`). The order of the lines is the
    specification's: of two for the same resource the later one counts.
    """
    schemas = (wanted.l3_cache_schema, wanted.mem_bw_schema)
    lines = [line for text in schemas for line in (text or "").split("\n") if line]
    lines += wanted.schemata or []
    if not root:
        hint = "if CPU and kernel support it, run `mount -t resctrl resctrl /sys/fs/resctrl`"
        text = "intelRdt needs the file system resctrl, which is not mounted"
        raise ConfigError(text, pointer=pointer, hint=hint)
    return Group(root, container_id, wanted.clos_id, tuple(lines), pointer, monitor=wanted.enable_monitoring)


class Group:
    """The groups that a container's processes belong to.

    directory: of the control group; monitor: of the container's own monitoring group, "" for none; lines: for schemata;
    pointer: JSON pointer of what asks for it
    """

    __slots__ = ("_named", "directory", "lines", "monitor", "pointer")

    def __init__(
        self, root: str, container_id: str, clos_id: "str | None", lines: "Sequence[str]", pointer: str = "", *,
        monitor: bool,
    ) -> None:  # fmt: skip
        """clos_id: None for a group of the container's own, which has its name and goes with it."""
        self._named, self.lines, self.pointer = clos_id is not None, lines, pointer
        name = container_id if clos_id is None else clos_id.strip("/")
        self.directory = f"{root}/{name}" if name else root
        self.monitor = f"{self.directory}/mon_groups/{container_id}" if monitor else ""

    @property
    def own_group(self) -> str:
        """The control group's directory if it goes when the container does, "" if the config names it."""
        return "" if self._named else self.directory

    def check(self) -> None:
        """Refuse what would fail, before anything is made."""
        with within(self.pointer):
            self._check()

    def _check(self) -> None:
        there = _exists(self.directory)
        if self._named and not there and not self.lines:
            text = f"the resctrl group `{self.directory}` does not exist, and no schema is given to make it with"
            raise ConfigError(text, pointer="/closID")
        if self._named and there:
            self._compare()
        for path in (self.monitor, self.own_group):
            if path and _exists(path):
                raise _exists_already(path)

    def _compare(self) -> None:
        """A group that is there is shared: its schemata must be the wanted ones already."""
        if not self.lines:
            return
        present = _parse(_read(f"{self.directory}/schemata").splitlines())
        for (resource, domain), value in _parse(self.lines).items():
            found = present.get((resource, domain))
            if found != value:
                text = f"the resctrl group `{self.directory}` exists with a different schema: {resource}:{domain}"
                raise ConfigError(f"{text} is {found}, not {value}")

    def make(self, note: "Callable[[str, str], None]", made: "dict[str, bool]") -> None:
        """Make what is missing and write the schemata of a new control group. What mkdir makes is ours, nothing else:
        it gets True in `made`.

        note: writes into the journal what goes when the container does: the intent, and that it is made.
        """
        if not self._named:
            self._make(self.directory, "resctrlGroup", note, made)
        with within(self.pointer):
            if not self._named or _mkdir(self.directory, made):
                write_schemata(self.directory, self.lines)
            else:
                self._compare()  # it may have come after `check`
        if self.monitor:
            self._make(self.monitor, "resctrlMonitor", note, made)

    def _make(self, path: str, key: str, note: "Callable[[str, str], None]", made: "dict[str, bool]") -> None:
        note(f"{key}Intent", path)
        with within(self.pointer):
            if not _mkdir(path, made):
                raise _exists_already(path)
        note(key, path)


def _mkdir(path: str, made: "dict[str, bool]") -> bool:
    """Whether it is made; False if it was there."""
    try:
        posix.mkdir(path, 0o755)
    except FileExistsError:
        return False
    except OSError as error:
        hint = "their number is limited: see `num_closids` and `num_rmids` below resctrl's info"
        raise PyruncError.from_os(f"make the resctrl group `{path}`", error, hint=hint) from None
    made[path] = True
    return True


def _exists_already(path: str) -> PyruncError:
    return PyruncError(f"the resctrl group `{path}` already exists")


def join(pid: int, directory: str, monitor: str) -> None:
    """Put a process into a control group and then into the monitoring group, if any; its children are in them too."""
    for path in filter(None, (directory, monitor)):
        _write(f"{path}/tasks", str(pid))


def write_schemata(directory: str, lines: "Sequence[str]") -> None:
    """One write for each line, in this order: a later one wins."""
    for line in lines:
        _write(f"{directory}/schemata", line)


def statistics(directory: str, monitor: str) -> "dict[str, object]":
    """`intel_rdt` of an event as runc has it: the group's schemata, and for each L3 cache what was counted (bytes).

    monitor: the container's monitoring group; without one the control group's own counters, if the CPU has any.
    """
    found: dict[str, object] = {}
    for line in _read(f"{directory}/schemata").splitlines():
        resource = line.strip().partition(":")[0]
        if resource in _SCHEMAS:
            found[_SCHEMAS[resource]] = line.strip()
    data = f"{monitor or directory}/mon_data"
    caches = [f"{data}/{name}" for name in sorted(posix.listdir(data)) if "_L3_" in name] if _exists(data) else []
    for key, names in _COUNTERS.items():
        rows = [{name: _counter(f"{cache}/{name}") for name in names} for cache in caches]
        if rows and _exists(f"{caches[0]}/{names[0]}"):
            found[key] = rows
    return found


_SCHEMAS = {"L3": "l3_cache_schema", "MB": "mem_bw_schema"}
_COUNTERS = {"mbm_stats": ("mbm_total_bytes", "mbm_local_bytes"), "cmt_stats": ("llc_occupancy",)}


def _counter(path: str) -> int:
    text = _read(path).strip() if _exists(path) else ""
    return int(text) if text.isdecimal() else 0  # "Unavailable", or an error in words


def remove(path: str) -> None:
    """Remove a group; who is in it falls back to the group above. One that is gone is no error."""
    try:
        posix.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PyruncError.from_os(f"remove the resctrl group `{path}`", error) from None


def remove_unused(path: str) -> None:
    """Remove a group of which it is not known who has made it, unless it has processes."""
    if _exists(path) and not _read(f"{path}/tasks").strip():
        remove(path)


def _exists(path: str) -> bool:
    return posix.access(path, posix.F_OK)


def _parse(lines: "Sequence[str]") -> "dict[tuple[str, str], str]":
    """(resource, domain) -> value of lines such as `L3:0=7f0;1=1f`; without leading zeros, which the kernel adds."""
    values = {}
    for line in lines:
        resource, _, domains = line.strip().partition(":")
        for entry in filter(None, domains.split(";")):
            domain, _, value = entry.strip().partition("=")
            values[resource, domain.lstrip("0") or "0"] = value.strip().lower().lstrip("0") or "0"
    return values


def _read(path: str) -> str:
    try:
        return files.read(path).decode("utf-8", "replace")
    except OSError as error:
        raise PyruncError.from_os(f"read `{path}`", error) from None


def _write(path: str, text: str) -> None:
    try:
        files.write(path, f"{text}\n".encode())
    except OSError as error:
        what = f"write `{text}` to `{path}`"
        raise PyruncError.from_os(what, error, hint=_complaint(path)) from None


def _complaint(path: str) -> str:
    """What the kernel says of the last failed write, "" if nothing: the errno alone is EINVAL for all of them."""
    parts = path.split("/")
    for end in range(len(parts) - 1, 0, -1):
        status = "/".join([*parts[:end], "info", "last_cmd_status"])
        if _exists(status):
            text = _read(status).strip()
            return "" if text == "ok" else f"resctrl says `{text}`"
    return ""
