"""What `state.json` (or, before it is there, the journal) says of a container, as commands ask for it."""

from pyrunc.kernel.process import processes

from . import lifecycle
from .cgroup import events
from .errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroup.names import Unit
    from .hooks import Hook


# The keys of state.json, and of the lines of the journal ([key, value]) -> the fields of State.
FIELDS = {
    "id": "id", "bundle": "bundle", "rootfs": "rootfs", "created": "created", "annotations": "annotations",
    "hooks": "saved_hooks", "pid": "pid", "startTime": "start_time", "seenFrom": "seen_from",
    "namespaces": "namespaces", "privatePids": "private_pids", "process": "has_process", "newKeyring": "new_keyring",
    "keyring": "keyring", "streams": "streams", "seccompListener": "listener",
    "cgroupIntent": "cgroup_intent", "cgroupFound": "cgroup_found", "cgroup": "cgroup", "cgroupLeaf": "cgroup_leaf",
    "unitIntent": "unit_intent", "unit": "saved_unit", "mountsBefore": "mounts_before", "mounted": "mounted",
    "resctrl": "resctrl", "resctrlGroupIntent": "resctrl_group_intent", "resctrlGroup": "resctrl_group",
    "resctrlMonitorIntent": "resctrl_monitor_intent", "resctrlMonitor": "resctrl_monitor",
}  # fmt: skip
_NUMBERS = ("seenFrom", "mountsBefore")  # these lists have numbers, the others texts
_NEEDED = frozenset(("pid", "startTime", "bundle"))
# What no boot outlives. Who has its pid, its cgroup or its unit by now is another.
_OF_ONE_BOOT = (
    "pid", "start_time", "cgroup", "cgroup_intent", "saved_unit", "unit_intent", "mounted", "mounts_before", "resctrl",
    "resctrl_group", "resctrl_group_intent", "resctrl_monitor", "resctrl_monitor_intent",
)  # fmt: skip


class State:
    """What is known of a container.

    saved: create came to its end; past: it was made in an earlier boot of the machine. An intent is noted before the
    thing is made, the thing itself when it is known to be ours: another may have made it, or use it.
    """

    __slots__ = (*FIELDS.values(), "past", "saved")

    def __init__(self, *, saved: bool = False) -> None:
        """What each field is, and its type, as long as nothing is said of it."""
        self.saved, self.past = saved, False
        self.id = self.bundle = self.rootfs = self.created = self.keyring = ""
        self.annotations: dict[str, str] = {}
        self.saved_hooks: dict[str, object] = {}
        self.pid = self.start_time = 0
        self.seen_from: list[int] = []  # `processes.vantage` of these two; [] if an older pyrunc made it
        self.namespaces: dict[str, list[int]] = {}  # type -> [device, inode] of those that it was created with
        self.private_pids: bool | None = None  # the only one that is not said where it matters: create was killed
        self.has_process = self.new_keyring = True
        self.streams: list[str] = []  # what its first descriptors were open on
        self.listener: list[str | None] = []  # path and metadata of the seccomp agent
        self.cgroup_found = False
        self.cgroup = self.cgroup_intent = self.cgroup_leaf = ""
        self.saved_unit: list[str] = []
        self.unit_intent: list[str] = []
        self.mounted, self.mounts_before = "", list[int]()
        self.resctrl = self.resctrl_group = self.resctrl_monitor = ""
        self.resctrl_group_intent = self.resctrl_monitor_intent = ""

    def take(self, key: str, value: object) -> bool:
        """Set a field, by its key; whether the value is of its type. null, and an unknown key, say nothing."""
        if value is None or key not in FIELDS:
            return True
        now = getattr(self, FIELDS[key])
        if type(value) is not (bool if now is None else type(now)):
            return False
        if isinstance(value, list):
            kind = int if key in _NUMBERS else str
            if not all(type(one) is kind or (one is None and key == "seccompListener") for one in value):
                return False
        setattr(self, FIELDS[key], value)
        return True

    def read(self, data: "dict[str, object]") -> bool:
        """Take all that state.json says; whether it is whole."""
        return data.keys() >= _NEEDED and all(self.take(key, value) for key, value in data.items())

    def to_json(self) -> "dict[str, object]":
        """What `read` reads again: all that is said."""
        unsaid, values = State(), ((key, field, getattr(self, field)) for key, field in FIELDS.items())
        return {key: value for key, field, value in values if value != getattr(unsaid, field)}

    def forget_last_boot(self) -> None:
        """The machine has been booted since."""
        unsaid, self.past = State(), True
        for field in _OF_ONE_BOOT:
            setattr(self, field, getattr(unsaid, field))

    @property
    def unit(self) -> "Unit | None":
        """Its scope."""
        from .cgroup.names import Unit

        return Unit(*self.saved_unit) if len(self.saved_unit) == 3 else None

    def alive(self) -> bool:
        """Whether the init process runs: that one, in this boot."""
        return self.pid > 1 and processes.alive(self.pid, self.start_time)

    def why_unsure(self) -> str:
        """Why the init process may run although it is not seen to be alive; "" if it has surely ended."""
        if self.past:
            return ""
        try:
            vantage = processes.vantage()
            if self.pid <= 1 or self.start_time <= 0:  # let go by nobody, unless the state is damaged
                why = "its state does not name its first process" if self.saved else ""
            elif not self.seen_from:
                inside = self.private_pids and self.cgroup and events.populated(self.cgroup)
                why = "its first process cannot be found, but its cgroup is not empty" if inside else ""
            else:
                why = "it was created in another pid or time namespace, where pids and start times are different"
                why = why if self.seen_from != vantage else ""
        except OSError:
            why = "/proc of this pid namespace is not mounted, so its processes cannot be found"
        return "" if why and self.cgroup and events.empty(self.cgroup) else why

    def own_cgroup(self, doing: str) -> str:
        """The container's cgroup, for `doing`, which cannot be done without."""
        if not self.cgroup:
            why = "it was created without one on request, or because none could be made: see `pyrunc doctor cgroups`"
            why = "the machine has been rebooted since it was created" if self.past else why
            raise PyruncError(f"cannot {doing} container `{self.id}`: it has no cgroup of its own", hint=why)
        return self.cgroup

    def only_first_reached(self) -> str:
        """A warning, if nothing holds the other processes together, neither a cgroup nor a pid namespace; or ""."""
        if self.cgroup or self.private_pids is not False:
            return ""
        text = "has neither a cgroup nor a pid namespace of its own: other processes that it has started keep running"
        return f"container `{self.id}` {text}"

    def hooks(self, name: str) -> "list[SavedHook]":
        """The hooks that were saved under this name."""
        entries = self.saved_hooks.get(name)
        return [SavedHook(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def spec_state(self, status: str) -> "dict[str, object]":
        """The state as the spec has it; the pid is given unless it has stopped."""
        return lifecycle.spec_state(self.id, status, self.pid, self.bundle, self.annotations)


class SavedHook:
    """A hook out of state.json, with the attributes of the spec's."""

    __slots__ = ("args", "env", "path", "timeout")

    def __init__(self, entry: "dict[str, object]") -> None:
        self.path = str(entry.get("path"))
        args, env, timeout = entry.get("args"), entry.get("env"), entry.get("timeout")
        self.args = [str(word) for word in args] if isinstance(args, list) else []
        self.env = [str(word) for word in env] if isinstance(env, list) else None
        self.timeout = timeout if isinstance(timeout, int) else None

    @staticmethod
    def entry(hook: "Hook") -> "dict[str, object]":
        """What is read so again."""
        return {"path": hook.path, "args": list(hook.args), "env": hook.env, "timeout": hook.timeout}
