"""The systemd cgroup manager: a container's cgroup is a transient scope (systemd.scope, org.freedesktop.systemd1(5)).

A scope is made around a process that exists: the init process is created first, waits, and moves on when it is in its
cgroup. systemd gets all limits that a unit can express, since at every change of a unit it writes the unit's own values
again; `limits` then writes all settings into the cgroup, those that no property says too. The device filter is ours
alone: systemd leaves programs of others on a delegated cgroup in place.
"""

import time

from pyrunc.cgroup import cgroupfs
from pyrunc.cgroup.names import Unit
from pyrunc.errors import PyruncError

from .bus import Bus, CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .properties import Property

JOB_DEADLINE = 30.0  # seconds
_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_INTERFACE = f"{_NAME}.Manager"
_MANAGER = (_NAME, _PATH, _INTERFACE)
_DAEMON = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PEER = (_NAME, _PATH, "org.freedesktop.DBus.Peer")
_MATCH = f"type='signal',sender='{_NAME}',interface='{_INTERFACE}',member='JobRemoved',path='{_PATH}'"
_UNIT_EXISTS, _NO_SUCH_UNIT = f"{_NAME}.UnitExists", f"{_NAME}.NoSuchUnit"


def address(environment: "dict[bytes, bytes]", *, user: bool) -> str:
    """Where the bus of the manager is: the user's own (`user`), or the system's."""

    def value(name: bytes) -> str:
        return environment.get(name, b"").decode("utf-8", "surrogateescape")

    if not user:
        return value(b"DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
    if set_ := value(b"DBUS_SESSION_BUS_ADDRESS"):
        return set_
    runtime_dir = value(b"XDG_RUNTIME_DIR")
    if not runtime_dir:
        raise PyruncError(
            "the systemd user manager cannot be found: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set",
            hint="log in with a session of your own, or use --cgroup-manager cgroupfs",
            check="systemd",
        )
    return f"unix:path={runtime_dir}/bus"


class Manager:
    """A connection to a systemd manager."""

    __slots__ = ("_bus",)

    def __init__(self, bus_address: str) -> None:
        self._bus = Bus(bus_address)
        if not self._bus.direct:  # the manager itself sends all that it has to say
            self._bus.free(self._bus.call(_DAEMON, "AddMatch", ["s"], [_MATCH]))

    @property
    def direct(self) -> bool:
        """Whether the manager itself was asked, because there is no bus."""
        return self._bus.direct

    def close(self) -> None:
        """Disconnect."""
        self._bus.close()

    def start_scope(
        self, unit: Unit, pid: int, description: str, extra: "list[Property]", newer: "Sequence[Property]" = ()
    ) -> str:
        """Put the process into a new scope; returns the path of its cgroup below the mount. Raises PyruncError.

        extra: properties beside those that every container gets; they win. newer: such as only a systemd gets that is
        new enough (`properties.SINCE`).
        """
        known = self._known(newer) if newer else []
        properties = {each[0]: each for each in [*_usual(unit, pid, description), *known, *extra]}
        arguments: list[object] = [unit.name, "fail", [(n, (s, v)) for n, s, v in properties.values()], []]
        signatures = ["s", "s", "a(sv)", "a(sa(sv))"]
        try:
            self._job("StartTransientUnit", signatures, arguments)
        except CallError as error:
            if error.name != _UNIT_EXISTS:
                raise
            self.reset_failed(unit)  # a container of that name failed; systemd remembers it until told otherwise
            self._job("StartTransientUnit", signatures, arguments)
        try:
            path = _cgroup_of(pid)
            if path.rpartition("/")[2] != unit.name:
                raise PyruncError(f"process {pid} is in cgroup `{path}`, not in that of unit `{unit.name}`")
        except PyruncError:
            self.stop(unit)  # systemd may not have seen that nobody is in it
            raise
        return path

    def _known(self, newer: "Sequence[Property]") -> "list[Property]":
        from .properties import SINCE

        text = self._text(_PATH, _INTERFACE, "Version").removeprefix("v")  # "257.13-1~deb13u1", "258~rc1"
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        version = int(digits or 0)
        return [each for each in newer if version >= SINCE[each[0]]]

    def cgroup_of(self, unit: Unit) -> str:
        """The cgroup of a scope; "" if there is none."""
        try:
            answer = self._bus.call(_MANAGER, "GetUnit", ["s"], [unit.name])
        except CallError as error:
            if error.name != _NO_SUCH_UNIT:
                raise
            return ""
        path = self._bus.read(answer, "o")[0]
        self._bus.free(answer)
        return self._control_group(path, "org.freedesktop.systemd1.Scope")

    def stop(self, unit: Unit) -> None:
        """Stop the unit, and forget it; nothing if there is none."""
        try:
            self._job("StopUnit", ["s", "s"], [unit.name, "replace"])
        except CallError as error:
            if error.name != _NO_SUCH_UNIT:
                raise
            return
        self.reset_failed(unit)

    def reset_failed(self, unit: Unit) -> None:
        """Forget that the unit failed."""
        try:
            self._bus.free(self._bus.call(_MANAGER, "ResetFailedUnit", ["s"], [unit.name]))
        except CallError as error:
            if error.name != _NO_SUCH_UNIT:
                raise

    def set_properties(self, unit: Unit, properties: "list[Property]") -> None:
        """Change properties of the unit while it exists; returns when they are in force."""
        arguments: list[object] = [unit.name, True, [(n, (s, v)) for n, s, v in properties]]
        self._bus.free(self._bus.call(_MANAGER, "SetUnitProperties", ["s", "b", "a(sv)"], arguments))
        # It answers first, and writes into the cgroup before it looks at its next message.
        self._bus.free(self._bus.call(_PEER, "Ping", [], []))

    def cgroup(self) -> str:
        """The cgroup of the manager itself: "" for the system's."""
        return self._control_group(_PATH, _INTERFACE)

    def _control_group(self, thing: str, interface: str) -> str:
        return self._text(thing, interface, "ControlGroup").rstrip("/")

    def _text(self, thing: str, interface: str, name: str) -> str:
        """A property that is a string."""
        target = (_NAME, thing, "org.freedesktop.DBus.Properties")
        answer = self._bus.call(target, "Get", ["s", "s"], [interface, name])
        try:
            self._bus.enter_variant(answer, "s")
            text: str = self._bus.read(answer, "s")[0]
        finally:
            self._bus.free(answer)
        return text

    def _job(self, member: str, signatures: "list[str]", arguments: "list[object]") -> None:
        """Call a method that starts a job, and wait until the job is done."""
        answer = self._bus.call(_MANAGER, member, signatures, arguments)
        job = self._bus.read(answer, "o")[0]
        self._bus.free(answer)
        deadline = time.monotonic() + JOB_DEADLINE
        while True:
            signal = self._bus.wait_signal(_INTERFACE, "JobRemoved", deadline)
            if signal is None:
                raise PyruncError(f"systemd did not finish `{member}` of `{arguments[0]}` within {JOB_DEADLINE:.0f} s")
            _, path, unit, result = self._bus.read(signal, "uoss")
            self._bus.free(signal)
            if path == job:
                break
        if result != "done":
            hint = f"see `systemctl status {unit}`"
            raise PyruncError(f"systemd did not do `{member}` of `{unit}`: the job ended as `{result}`", hint=hint)


def _usual(unit: Unit, pid: int, description: str) -> "list[tuple[str, str, Any]]":
    """The properties of every container's scope."""
    accounting = [(f"{what}Accounting", "b", True) for what in ("CPU", "IO", "Memory", "Tasks")]
    return [
        ("Description", "s", description),
        ("Slice", "s", unit.slice),
        ("PIDs", "au", [pid]),
        ("Delegate", "b", True),  # what is below the scope is the container's, and ours
        ("DefaultDependencies", "b", False),  # not to be stopped at shutdown before who manages the container
        ("CollectMode", "s", "inactive-or-failed"),
        *accounting,
    ]


def _cgroup_of(pid: int) -> str:
    from pyrunc.cgroup.interface_files import read

    for line in (read(f"/proc/{pid}/cgroup") or "").split("\n"):
        if line.startswith("0::"):
            return line[3:].removesuffix(" (deleted)")
    if cgroupfs.mount_point() is None:
        raise PyruncError("no cgroup v2 hierarchy is mounted", check="cgroups")
    raise PyruncError(f"process {pid} exited before it was in its cgroup")
