"""What `state.json` says of a container (or, before it is there, the journal), as commands ask for it."""

from . import SPEC_VERSION, lifecycle
from .cgroup import events
from .errors import PyruncError
from .kernel import procs

# What no boot outlives. Who has its pid, its cgroup or its unit by now is another.
_OF_ONE_BOOT = frozenset((
    "pid", "startTime", "cgroup", "cgroupIntent", "unit", "unitIntent", "mounted", "mountsBefore", "resctrl",
    "resctrlGroup", "resctrlGroupIntent", "resctrlMonitor", "resctrlMonitorIntent",
))  # fmt: skip


class State:
    """What `state.json` (or, before it is there, the journal) says.

    past: in an earlier boot of the machine. unit: slice, name, address of the bus.
    """

    __slots__ = ("cgroup", "data", "past", "pid", "saved", "start_time", "unit")

    def __init__(self, data: "dict[str, object]", *, saved: bool, past: bool = False) -> None:
        if past:
            data = {key: value for key, value in data.items() if key not in _OF_ONE_BOOT}
        self.data, self.saved, self.past = data, saved, past
        self.pid, self.start_time = integer(data, "pid"), integer(data, "startTime")
        cgroup = data.get("cgroup")
        self.cgroup = cgroup if isinstance(cgroup, str) and cgroup else None
        unit = data.get("unit")
        self.unit = tuple(map(str, unit)) if isinstance(unit, list) and len(unit) == 3 else None

    def alive(self) -> bool:
        """Whether the init process runs: that one, in this boot."""
        return self.pid > 1 and procs.alive(self.pid, self.start_time)

    def namespaces(self) -> "dict[str, list[int]]":
        """Type -> [device, inode] of the namespaces that it was created with; {} if an older pyrunc made it."""
        saved = self.data.get("namespaces")
        return {kind: its for kind, its in saved.items() if isinstance(its, list)} if isinstance(saved, dict) else {}

    def why_unsure(self) -> str:
        """Why the init process may run although it is not seen to be alive; "" if it has surely ended."""
        if self.past:
            return ""
        seen_from = self.data.get("seenFrom")
        try:
            vantage = procs.vantage()
            if self.pid <= 1 or self.start_time <= 0:  # let go by nobody, unless the state is damaged
                why = "its state does not say which process is its first" if self.saved else ""
            elif seen_from is None:  # an older pyrunc made it
                inside = self.data.get("privatePids") is True and self.cgroup and events.populated(self.cgroup)
                why = "its first process is not to be seen, but its cgroup is not empty" if inside else ""
            else:
                why = "it was created in another pid or time namespace, which sees processes in another way"
                why = why if seen_from != vantage else ""
        except OSError:
            why = "there is no /proc of this pid namespace, to look for its processes"
        return "" if why and self.cgroup is not None and events.empty(self.cgroup) else why

    def own_cgroup(self, doing: str) -> str:
        """The container's cgroup, for `doing`, which cannot be done without."""
        if self.cgroup is None:
            why = "create was told to make none, or could not: `pyrunc doctor cgroups` says what it takes"
            why = "the machine has been booted since it was created" if self.past else why
            name = self.data.get("id", "")
            raise PyruncError(f"cannot {doing} container `{name}`: it has no cgroup of its own", hint=why)
        return self.cgroup

    def only_first_reached(self) -> str:
        """A warning, if nothing holds the other processes together, neither a cgroup nor a pid namespace; or ""."""
        if self.cgroup is not None or self.data.get("privatePids") is not False:
            return ""
        text = "has neither a cgroup nor a pid namespace of its own: its other processes, if any, live on"
        return f"container `{self.data.get('id', '')}` {text}"

    def hooks(self, name: str) -> "list[SavedHook]":
        """The hooks that were saved under this name."""
        saved = self.data.get("hooks")
        entries = saved.get(name) if isinstance(saved, dict) else None
        return [SavedHook(entry) for entry in entries or () if isinstance(entry, dict)]

    def spec_state(self, status: str) -> "dict[str, object]":
        """The state as the spec has it (runtime.md, "State"); the pid is given unless it has stopped."""
        state: dict[str, object] = {"ociVersion": SPEC_VERSION, "id": self.data.get("id", ""), "status": status}
        if status != lifecycle.STOPPED:
            state["pid"] = self.pid
        state["bundle"] = self.data.get("bundle", "")
        if self.data.get("annotations"):
            state["annotations"] = self.data["annotations"]
        return state


class SavedHook:
    """A hook out of state.json, with the attributes of the spec's."""

    __slots__ = ("args", "env", "path", "timeout")

    def __init__(self, entry: "dict[str, object]") -> None:
        self.path = str(entry.get("path"))
        args, env, timeout = entry.get("args"), entry.get("env"), entry.get("timeout")
        self.args = [str(word) for word in args] if isinstance(args, list) else []
        self.env = [str(word) for word in env] if isinstance(env, list) else None
        self.timeout = timeout if isinstance(timeout, int) else None


def integer(data: "dict[str, object]", key: str) -> int:
    """A number, 0 if there is none."""
    value = data.get(key)
    return value if isinstance(value, int) else 0
