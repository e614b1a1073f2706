"""What a container has of the host's beside its processes: create makes it, and whatever ends the container undoes it.

    Container       the state directory, with the journal (`container`: claim, open and load, remove)
    ResctrlGroups   directories of the resctrl file system
    Mounts          what is mounted at its root, where no mount namespace keeps that apart
    Cgroup          a directory of ours, or a scope of systemd's
    Interfaces      network interfaces on their way into the container

Each has `make`, which notes in the journal what it is about to make and then what is ours; `from_journal`, of what the
journal (or state.json, which follows it) says that another command has made; and `undo`. A failed create or restore,
`delete`, and `delete --force` after a create that was killed, all walk this list backwards.
"""

import posix

from pyrunc.cgroup import cgroupfs, events, manager, names

from .errors import PyruncError, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.wings.netdevices import Device, Move
    from pyrunc.wings.resctrl import Group

    from .container import Container
    from .savedstate import State

    Note = Callable[[str, str | int | list[str] | list[int]], None]


class Resources:
    """Those of one container, in the order in which they are made."""

    __slots__ = ("cgroup", "container", "groups", "interfaces", "mounts")

    def __init__(self, container: "Container", cgroup: "Cgroup") -> None:
        self.container, self.groups, self.mounts = container, ResctrlGroups(), Mounts()
        self.cgroup, self.interfaces = cgroup, Interfaces()

    @classmethod
    def from_journal(
        cls, container: "Container", state: "State", warn: "Callable[[str], None]", *, was_alive: bool
    ) -> "Resources":
        """Of a container of another command, which may have been killed while it created it. Interfaces are none of
        them: from their move on they go with the network namespace.

        was_alive: whether its first process ran. warn: of what stays, since it is another's.
        """
        made = cls(container, Cgroup.from_journal(state, warn, was_alive=was_alive))
        made.groups, made.mounts = ResctrlGroups.from_journal(state), Mounts.from_journal(state)
        return made

    def save(self, state: "State") -> None:
        """What `from_journal` of a later command reads."""
        for resource in (self.groups, self.mounts, self.cgroup):
            resource.save(state)

    def undo(
        self, end: "Callable[[], None]", hooks: "Callable[[], None]", error: "BaseException | None" = None
    ) -> None:
        """The way back. end: ends the processes, which were made when there was a cgroup to make them in. hooks: runs
        those of poststop, for which the container is gone, and its id not yet free.

        Without `error` a failure is raised, and the rest stays: the caller keeps the state, for another try. After a
        create or restore that failed by `error` all is tried; `error` tells what fails, unless it has a better hint.
        Nothing is loaded then that was not loaded to make it, and no more descriptors are taken than
        `descriptors.reserve` has kept: who has come here may have none, and no memory.
        """
        made = (self.mounts.undo, self.groups.undo, hooks, self.container.remove)
        for undo in (self.interfaces.undo, end, self.cgroup.undo, *made):
            try:
                undo()
            except PyruncError as failure:
                if error is None:
                    raise
                if isinstance(error, PyruncError):
                    error.hint = error.hint or f"the cleanup failed, too: {failure.message}"


class ResctrlGroups:
    """Its groups: path -> whether it is known that they are ours. One that the config names goes only with a failed
    create that has made it: others may have joined it since."""

    __slots__ = ("_group", "_paths")

    def __init__(self) -> None:
        self._group: Group | None = None
        self._paths: dict[str, bool] = {}

    def make(self, group: "Group", note: "Note") -> None:
        """Make what is missing."""
        self._group = group
        group.make(note, self._paths)

    def save(self, state: "State") -> None:
        """Where its processes belong, and what of that goes with the container."""
        if (group := self._group) is not None:
            state.resctrl, state.resctrl_group, state.resctrl_monitor = group.directory, group.own_group, group.monitor

    @classmethod
    def from_journal(cls, state: "State") -> "ResctrlGroups":
        """The control group and the monitoring group in it."""
        groups = cls()
        for intent, ours in (
            (state.resctrl_group_intent, state.resctrl_group),
            (state.resctrl_monitor_intent, state.resctrl_monitor),
        ):
            if ours or intent:
                groups._paths[ours or intent] = bool(ours)
        return groups

    def undo(self) -> None:
        """Remove them; of what may be another's only what has no processes."""
        for path, ours in reversed(self._paths.items()):
            from pyrunc.wings import resctrl

            remove = resctrl.remove if ours else resctrl.remove_unused
            remove(path)


class Mounts:
    """path: the root file system as the mount table names it, "" with a mount namespace; before: ids of the mounts that
    were there already, which are the engine's."""

    __slots__ = ("before", "path")

    def __init__(self) -> None:
        self.path, self.before = "", list[int]()

    def make(self, rootfs_path: str, note: "Note") -> None:
        """Look what is there; init will mount more."""
        from pyrunc.kernel.mount import rootfs

        with within("/root/path"):
            self.path, self.before = rootfs.without_namespace(rootfs_path)
        note("mountsBefore", self.before)
        note("mounted", self.path)

    def save(self, state: "State") -> None:
        """The same."""
        state.mounted, state.mounts_before = self.path, self.before

    @classmethod
    def from_journal(cls, state: "State") -> "Mounts":
        """Where it was noted."""
        mounts = cls()
        mounts.path, mounts.before = state.mounted, state.mounts_before
        return mounts

    def undo(self) -> None:
        """Detach what has come since."""
        if self.path:
            from pyrunc.kernel.mount import rootfs

            rootfs.detach(self.path, self.before)


class Cgroup:
    """What `want` asks for (`manager`). path: of the cgroup when it is ours and known, or ""; before: what was there.
    """

    __slots__ = ("_intended", "_ours", "_placed", "_tell", "before", "path", "want")

    def __init__(self, want: manager.Want) -> None:
        self.want, self.path, self.before = want, "", manager.Before()
        self._placed = False  # clone3 puts the first process into it
        self._ours = False  # be the path known or not
        self._intended = False  # create was killed before it knew whether it or another has made it
        self._tell: Callable[[str], None] | None = None  # its processes have ended: another's are told of, not killed

    def make(self, note: "Note") -> int:
        """Make the directory, if it is us who make it: its descriptor, or -1."""
        fd = manager.place(self.want, self.before, note)
        self.path, self._placed = self.want.path, fd >= 0
        self._ours = bool(self.path)
        return fd

    def give_up(self) -> None:
        """The container is to have none, since none can be made and nothing depends on it."""
        self.want = manager.Want(manager.DISABLED, (), self.want.devices, asks_for_devices=False)

    def adopt(self, pid: int, note: "Note", container_id: str) -> None:
        """Bring the first process in. A scope is ours when systemd has made it: before, there is the intent."""
        want = self.want
        unit = want.unit
        if unit is not None:
            note("unitIntent", unit.words)
        self.path = manager.adopt(want, pid, placed=self._placed, description=f"container {container_id}")
        self._ours = bool(self.path)
        if unit is not None:
            note("unit", unit.words)
            note("cgroup", self.path)

    def save(self, state: "State") -> None:
        """Where it is."""
        unit, state.cgroup, state.cgroup_found = self.want.unit, self.path, self.before.there
        state.cgroup_leaf = self.want.leaf if self.path else ""
        state.saved_unit = [] if unit is None else unit.words

    @classmethod
    def from_journal(cls, state: "State", warn: "Callable[[str], None]", *, was_alive: bool) -> "Cgroup":
        """Ours, or that of an intent. Those of a pid namespace have all ended with the first process: if that one has
        ended before, another container may have been put there since."""
        cgroup = cls(manager.Want(manager.DISABLED, unit=state.unit))
        cgroup.path, cgroup.before.there = state.cgroup, state.cgroup_found
        cgroup._ours = bool(cgroup.path or state.unit)
        if cgroup._ours:
            if not was_alive and state.private_pids and state.unit is None:
                cgroup._tell = warn
        elif state.cgroup_intent and not state.cgroup_found:
            cgroup.want, cgroup._intended = manager.Want(manager.DISABLED, path=state.cgroup_intent), True
        elif len(state.unit_intent) == 3:
            unit = names.Unit(*state.unit_intent)
            cgroup.want, cgroup._intended = manager.Want(manager.DISABLED, unit=unit), True
        return cgroup

    def undo(self) -> None:
        """Kill what is in it, and remove it; one that may be another's only if nobody uses it."""
        if self._ours:
            self._remove()
        elif self._intended and self.want.unit is not None:
            manager.stop_unused(self.want.unit)
        elif self._intended:
            cgroupfs.remove_unused(self.want.path)

    def _remove(self) -> None:
        want = self.want
        tell = self._tell if self._tell is not None and not events.frozen(self.path) else None
        try:
            manager.remove(self.path, want.unit, found=self.before.there, kill=tell is None)
        except PyruncError:
            if tell is None or not (pids := cgroupfs.members(self.path)):
                raise
            tell(f"cgroup `{self.path}` is not removed: process {pids[0]} in it is not this container's")


class Interfaces:
    """Those that move in. From then on they go with the network namespace, even when create is killed: the journal says
    nothing of them."""

    __slots__ = ("_move",)

    def __init__(self) -> None:
        self._move: Move | None = None

    def make(self, devices: "tuple[Device, ...]", namespace: str, *, may_be_there: bool = False) -> None:
        """Move them into the network namespace at this path; may_be_there: which may have outlived the container, and
        have them still."""
        from pyrunc.wings import netdevices

        with within(devices[0].pointer.rpartition("/")[0]):
            self._move = netdevices.Move(posix.open(namespace, posix.O_RDONLY | posix.O_CLOEXEC))
        self._move.all(self._move.missing(devices) if may_be_there else devices)

    def let_go(self) -> None:
        """The container is made."""
        if self._move is not None:
            self._move.close()
            self._move = None

    def undo(self) -> None:
        """Give them back."""
        if self._move is not None:
            self._move.give_back()
