"""The three cgroup managers behind one face: `cgroupfs` makes directories, `systemd` asks for a scope, `disabled` does
nothing.

For create, in this order, since each step needs what the one before it made:

    place(want, before)     before init exists: the directory with its controllers, for clone3 to create init in
    adopt(want, pid)        init exists and waits: now it is in its cgroup, with either manager
    restrict(want, path)    the device filter, the settings, the owner; memory as late as init can be small
    remove(path, ...)       after the end, or to undo the above; a directory that was there before us stays

A limit below what the interpreter uses would kill init: `restrict` belongs after init has become `pyrunc-init`. That
goes for what systemd is told about memory as well.
"""

import posix
from errno import EACCES, ENODEV, ENOENT, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import descriptors
from pyrunc.kernel.descriptors import opened

from . import cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrunc.wings.systemd.properties import Property

    from .devices import Rule
    from .names import Unit
    from .values import Setting

_NOT_PERMITTED = (EPERM, EACCES)
VANISHED, TRIES = (ENOENT, ENODEV), 10  # of a cgroup that was removed; and how often it is made again
ROOM_FOR_INIT = 64 << 20  # bytes: an interpreter, what it copies after the fork, page tables
_UNFILTERED = "the container can use any device whose node it has or makes: "
CGROUPFS, SYSTEMD, DISABLED = "cgroupfs", "systemd", "disabled"
PATIENCE = 1.0  # seconds for a process that has been killed to be gone


class Want:
    """What a container's cgroup shall be. path: of cgroupfs; unit, properties, at_creation (older ones do not know
    these): of systemd; owner: uid and gid that it (or the leaf) is delegated to; leaf: the path below it where the
    processes are, "/a" or "" for it itself; devices: None for no filter (only root of the host may attach one);
    asks_for_devices: the config has rules, so that they cannot be done without; devices_pointer: where; pointer: where
    the config names the cgroup, so that it cannot be done without either, or ""."""

    __slots__ = (
        "asks_for_devices", "at_creation", "devices", "devices_pointer", "leaf", "manager", "owner", "path", "pointer",
        "properties", "settings", "unit",
    )  # fmt: skip

    def __init__(
        self, manager: str, settings: "Sequence[Setting]" = (), devices: "Sequence[Rule] | None" = None, *,
        asks_for_devices: bool = True, devices_pointer: str = "", path: str = "", pointer: str = "",
        unit: "Unit | None" = None, properties: "Sequence[Property]" = (), at_creation: "Sequence[Property]" = (),
        leaf: str = "", owner: "tuple[int, int] | None" = None,
    ) -> None:  # fmt: skip
        self.manager, self.settings, self.devices = manager, settings, devices
        self.asks_for_devices = asks_for_devices and devices is not None
        self.devices_pointer, self.pointer = devices_pointer, pointer
        self.path, self.leaf, self.owner = path, leaf, owner
        self.unit, self.properties, self.at_creation = unit, properties, at_creation


class Before:
    """What `place` found. there: whether the cgroup was there, empty; kills: so many processes were killed in it for
    want of memory."""

    __slots__ = ("kills", "there")

    def __init__(self, *, there: bool = False) -> None:
        self.there, self.kills = there, 0


def place(want: Want, before: Before, note: "Callable[[str, str | int], None]") -> int:
    """Make the cgroup; a descriptor of it for clone3, -1 if there is none yet. Raises PyruncError.

    note: writes into the journal. Before we know that the cgroup is ours to kill and remove, there is only the intent.

    An empty cgroup can be removed by anybody who tidies up: then it is made again, and so is what was above it. Called
    anew by who finds it gone later.
    """
    if want.manager != CGROUPFS:
        return -1
    for _ in range(TRIES):
        try:
            return _place(want, before, note)
        except PyruncError as error:
            if error.errno not in VANISHED:
                raise
            descriptors.reserve()
    return _place(want, before, note)


def _place(want: Want, before: Before, note: "Callable[[str, str | int], None]") -> int:
    from . import limits

    needed: dict[str, str] = {}
    if want.settings:
        from . import values

        needed = values.controllers(list(want.settings))
    ours, there_before = False, before.there
    try:
        if not cgroupfs.exists(want.path):
            note("cgroupIntent", want.path)
            ours = True
        fd, before.there = cgroupfs.make(want.path)
    except BaseException as error:
        descriptors.free_reserve()
        if ours:  # a signal, or too few descriptors: it may be there
            _remove_if_there(want.path)
        if not isinstance(error, PyruncError):
            raise
        if needed and error.errno in _NOT_PERMITTED:
            raise limits.not_ours(want.path, needed, error.errno) from None
        raise error.about(want.pointer) from None
    try:
        if before.there or there_before:
            note("cgroupFound", before.there)
        before.kills = limits.oom_kills(want.path) if before.there else 0
        note("cgroup", want.path)
        limits.enable(want.path, needed)
        if want.leaf:
            above = fd
            fd, _ = cgroupfs.make(want.path + want.leaf)
            posix.close(above)
    except BaseException:
        descriptors.free_reserve()
        posix.close(fd)
        cgroupfs.remove(want.path, keep=before.there)
        raise
    return fd


def _remove_if_there(path: str) -> None:
    """Remove what may have been made. Why it was not to be says more than why that fails (EROFS, say)."""
    try:
        cgroupfs.remove_unused(path)
    except PyruncError:
        return


def adopt(want: Want, pid: int, *, placed: bool, description: str) -> str:
    """Bring init into its cgroup; the cgroup's path, "" if disabled. placed: clone3 has done it."""
    if want.manager == SYSTEMD:
        from pyrunc.wings.systemd.properties import OF_MEMORY
        from pyrunc.wings.systemd.scopes import Manager

        assert want.unit is not None
        at_once = [each for each in want.properties if each[0] not in OF_MEMORY]
        manager = Manager(want.unit.address)
        try:
            path = manager.start_scope(want.unit, pid, description, at_once, want.at_creation)
        finally:
            manager.close()
        if want.leaf:
            posix.close(cgroupfs.make(path + want.leaf)[0])
            cgroupfs.join(path + want.leaf, pid)
        return path
    if want.manager == CGROUPFS and not placed:
        cgroupfs.join(want.path + want.leaf, pid)
    return want.path


def limit_copies(want: Want, path: str) -> None:
    """The limit of memory, with room for an interpreter, and that of swap, into which a tmpfs would grow else, while
    init copies what an image holds: `restrict` comes later (docs/adr/0003). Raises PyruncError."""
    limit = next((setting for setting in want.settings if setting.file == "memory.max"), None)
    if limit is None or want.manager == DISABLED or not limit.value.isdigit():
        return
    from . import limits
    from .values import Setting

    swap = [setting for setting in want.settings if setting.file == "memory.swap.max"]
    roomy = [*swap, Setting(limit.file, str(int(limit.value) + ROOM_FOR_INIT), "/memory/limit")]
    if want.unit is not None:
        from pyrunc.wings.systemd.properties import of_settings

        _tell_systemd(want.unit, of_settings(roomy))
    limits.apply(path, roomy)


def restrict(want: Want, path: str) -> str:
    """Put filter, settings and ownership in force; a warning, or "". Raises PyruncError."""
    if want.manager == DISABLED:
        return "" if want.devices is None else _UNFILTERED + "it has no cgroup"
    from . import limits

    warning = _filter_devices(want, path) if want.devices is not None else ""
    if want.unit is not None:
        from pyrunc.wings.systemd.properties import OF_MEMORY

        _tell_systemd(want.unit, [each for each in want.properties if each[0] in OF_MEMORY])
    limits.apply(path, list(want.settings))
    if want.owner is not None:
        limits.delegate(path + want.leaf, *want.owner)
    return warning


def _tell_systemd(unit: "Unit", properties: "list[Property]") -> None:
    if not properties:
        return
    from pyrunc.wings.systemd.scopes import Manager

    manager = Manager(unit.address)
    try:
        manager.set_properties(unit, properties)
    finally:
        manager.close()


def _filter_devices(want: Want, path: str) -> str:
    """Put the filter in force; why there is none, where the config did not ask for one."""
    from . import devices

    assert want.devices is not None
    with opened(cgroupfs.enter(path)) as fd:
        try:
            devices.attach(fd, list(want.devices))
        except PyruncError as error:
            if want.asks_for_devices:
                raise error.about(want.devices_pointer) from None
            return _UNFILTERED + str(error)
    return ""


def check_survivors(want: Want, before: Before, path: str) -> None:
    """Raise PyruncError if init was OOM-killed."""
    from . import limits

    if not path or limits.oom_kills(path) <= before.kills:
        return
    from . import oom

    limit = next((setting for setting in want.settings if setting.file == "memory.max"), None)
    raise oom.error(path, "container init", limit.pointer if limit is not None else "")


def update(path: str, settings: "list[Setting]", unit: "Unit | None" = None) -> None:
    """Change the settings of a cgroup, all or none; with a unit, systemd hears of them. Raises PyruncError."""
    from . import limits

    if unit is not None:
        from pyrunc.wings.systemd.properties import held, of_settings

        settings = held(settings)
    undo = limits.update(path, settings)
    if unit is None:
        return
    try:
        _tell_systemd(unit, of_settings(settings))
    except BaseException:
        limits.take_back(path, undo)
        raise
    limits.apply(path, settings)  # systemd rounds, and has written what it rounded


def remove(path: str, unit: "Unit | None" = None, *, found: bool = False, kill: bool = True) -> None:
    """Kill what is in the cgroup (if `kill`), and remove it (unless it was `found`) and its unit; nothing if they are
    gone."""
    if path and kill:  # "": create was killed before systemd told where
        cgroupfs.kill(path)  # first: systemd would ask the processes politely, and wait
    if unit is not None:
        from pyrunc.wings.systemd.scopes import Manager

        manager = Manager(unit.address)
        try:
            manager.stop(unit)
        finally:
            manager.close()
    if path:
        cgroupfs.remove(path, keep=found)


def stop_unused(unit: "Unit") -> None:
    """Stop a scope that a killed create may have asked for. systemd does not always see that its process has died, and
    keeps it for ever; if somebody else is in it (for more than a moment, in which ours dies), it stays."""
    import time

    from pyrunc.wings.systemd.scopes import Manager

    manager = Manager(unit.address)
    try:
        deadline = time.monotonic() + PATIENCE
        while used := cgroupfs.members(manager.cgroup_of(unit)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        if not used:
            manager.stop(unit)
    finally:
        manager.close()
