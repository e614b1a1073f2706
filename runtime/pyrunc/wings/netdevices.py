"""Network interfaces that change over into the container's network namespace (config-linux.md, "Network Devices").

Done by the command, which has privilege in both namespaces. What the kernel drops on the way (the addresses, the state)
is read before and set again. A killed create brings nothing back, and neither does `delete`: from the move on the
interface's life is the namespace's (section "Namespace Lifecycle and Container Termination").

pyroute2 is imported here, in functions: it costs ten times what a `create` does.
"""

import posix
from errno import EEXIST, EINVAL, EPERM

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IFA_F_PERMANENT, _RT_SCOPE_UNIVERSE, _IFF_UP = 0x80, 0, 1
_HINTS = {
    EPERM: "this needs CAP_NET_ADMIN in both network namespaces",
    EINVAL: "an interface of this kind cannot leave its namespace",
}


class Device:
    """An interface to move. inside: its name in the container, where `%d` is for the kernel to fill in."""

    __slots__ = ("inside", "outside", "pointer")

    def __init__(self, outside: str, inside: str, pointer: str) -> None:
        self.outside, self.inside, self.pointer = outside, inside, pointer


class _Moved:
    """An interface as it was, and its index in the container's namespace (0: it has not got there)."""

    __slots__ = ("addresses", "index", "name", "up")

    def __init__(self, name: str, addresses: "list[dict[str, object]]", *, up: bool) -> None:
        self.name, self.addresses, self.up, self.index = name, addresses, up, 0


def pyroute2_is_installed() -> bool:
    """Whether it is; then it is loaded."""
    try:
        import pyroute2  # noqa: F401  (asked for)
    except ModuleNotFoundError as error:
        if error.name != "pyroute2":  # one of its own, which is there: no room, say
            raise
        return False
    return True


class Move:
    """The interfaces of one container on their way; a failed `create` gives back what has arrived."""

    __slots__ = ("_here", "_inside", "_moved", "_outside", "_target")

    def __init__(self, target: int) -> None:
        """target: a descriptor of the container's network namespace; closed by `close`."""
        from pyroute2 import IPRoute

        self._target, self._moved = target, list[_Moved]()
        self._here = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        if posix.fstat(self._here).st_ino == posix.fstat(target).st_ino:
            text = "netDevices need a network namespace that is not the runtime's own"
            raise ConfigError(text)
        self._outside: Any = IPRoute()
        syscalls.setns(target, syscalls.CLONE_NEWNET)
        try:
            self._inside: Any = IPRoute()  # the socket stays in the namespace that it was made in
        finally:
            syscalls.setns(self._here, syscalls.CLONE_NEWNET)

    def all(self, devices: "tuple[Device, ...]") -> None:
        """Move them, one after the other. PyruncError for the first that cannot be."""
        for device in devices:
            try:
                self._one(device)
            except Exception as error:  # noqa: BLE001  (pyroute2's own; they have no common ancestor)
                raise _explained(error, f"move the network interface `{device.outside}`", device.pointer) from None

    def missing(self, devices: "tuple[Device, ...]") -> "tuple[Device, ...]":
        """Those of them whose name nothing in the namespace has; a `%d` has any number."""
        there = {link.get_attr("IFLA_IFNAME") for link in self._inside.get_links()}
        return tuple(device for device in devices if not any(_is_called(name, device.inside) for name in there))

    def _one(self, device: Device) -> None:
        index = _index(self._outside, device.outside)
        before = {link["index"]: link.get_attr("IFLA_IFNAME") for link in self._inside.get_links()}
        if device.inside in before.values():  # the kernel would move it first and fail to name it then
            text = f"the container's network namespace already has an interface `{device.inside}`"
            raise ConfigError(text, pointer=device.pointer)
        (link,) = self._outside.get_links(index)
        moved = _Moved(device.outside, self._addresses(index), up=bool(link["flags"] & _IFF_UP))
        self._moved.append(moved)
        self._outside.link("set", index=index, state="down")
        self._outside.link("set", index=index, net_ns_fd=self._target, ifname=device.inside)
        (moved.index,) = {link["index"] for link in self._inside.get_links()} - set(before)
        _set_up(self._inside, moved, moved.index)

    def _addresses(self, index: int) -> "list[dict[str, object]]":
        """The addresses that the specification has kept, as arguments of pyroute2's `addr`. Before the interface is
        set down: IPv6 addresses go then."""
        found = []
        for entry in self._outside.get_addr(index=index):
            if entry.get_attr("IFA_FLAGS") & _IFA_F_PERMANENT and entry["scope"] == _RT_SCOPE_UNIVERSE:
                keys = (("local", "IFA_LOCAL"), ("address", "IFA_ADDRESS"), ("broadcast", "IFA_BROADCAST"))
                values = {key: entry.get_attr(name) for key, name in keys if entry.get_attr(name)}
                found.append({**values, "prefixlen": entry["prefixlen"], "family": entry["family"]})
        return found

    def give_back(self) -> None:
        """Undo: every interface has its old place, name, addresses and state again. PyruncError if one has not."""
        for moved in reversed(self._moved):
            try:
                if moved.index:
                    self._inside.link("set", index=moved.index, net_ns_fd=self._here, ifname=moved.name)
                index = _index(self._outside, moved.name)
                _set_up(self._outside, moved, index, up=moved.up)
            except Exception as error:  # noqa: BLE001  (pyroute2's own)
                what = f"give the network interface `{moved.name}` back"
                raise _explained(error, what) from None

    def close(self) -> None:
        """Close the sockets and the descriptors."""
        self._inside.close()
        self._outside.close()
        posix.close(self._here)
        posix.close(self._target)


def _is_called(name: str, pattern: str) -> bool:
    """Whether the kernel may have made the name from one with `%d`, or they are the same."""
    before, template, after = pattern.partition("%d")
    if not template:
        return name == pattern
    number = name.removeprefix(before).removesuffix(after)
    return f"{before}{number}{after}" == name and number.isdecimal()


def _index(route: "Any", name: str) -> int:
    found = route.link_lookup(ifname=name)
    if not found:
        raise ConfigError(f"network interface `{name}` does not exist")
    return int(found[0])


def _set_up(route: "Any", moved: _Moved, index: int, *, up: bool = True) -> None:
    """Its addresses and its state. One that is there already, as on an interface that has not been moved, is kept."""
    for address in moved.addresses:
        try:
            route.addr("add", index=index, **address)
        except Exception as error:
            if getattr(error, "code", 0) != EEXIST:
                raise
    if up:
        route.link("set", index=index, state="up")


def _explained(error: Exception, what: str, pointer: str = "") -> PyruncError:
    """pyroute2's NetlinkError (whose `code` is an errno) and anything else that comes out of it, as our error."""
    if isinstance(error, PyruncError):
        return error.about(error.pointer or pointer)
    number = getattr(error, "code", 0) or getattr(error, "errno", 0) or 0
    message = what if number else f"{what}: {error}"
    return PyruncError(message, errno=number, pointer=pointer, hint=_HINTS.get(number, ""))
