"""Parts of the host that a config asks for: devices, network interfaces, a resctrl group, parameters of the kernel.

From the spec's model to what `kernel` takes; few containers have any of it, so the kernel's modules are loaded here.
"""

from pyrunc.errors import ConfigError, token
from pyrunc.kernel.mount import devices as nodes

from .facts import HostFacts
from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrunc.kernel.sysctl import Parameter
    from pyrunc.spec.linux import IntelRdt, Linux
    from pyrunc.wings.netdevices import Device
    from pyrunc.wings.resctrl import Group


def devices(linux: "Linux") -> "tuple[nodes.Device, ...]":
    """`linux.devices`; whoever has not said how a device is to be gets one that all may use, of root's."""
    result = []
    for i, entry in enumerate(linux.devices):
        mode = 0o666 if entry.file_mode is None else entry.file_mode & 0o7777
        numbers, owner = (entry.major or 0, entry.minor or 0), (entry.uid or 0, entry.gid or 0)
        said = (("fileMode", entry.file_mode), ("uid", entry.uid), ("gid", entry.gid))
        asked = tuple(key for key, value in said if value is not None)
        device = nodes.Device(entry.path, entry.type, *numbers, mode, *owner, f"/linux/devices/{i}", asked)
        result.append(freeze(device))
    return tuple(result)


def net_devices(linux: "Linux", host: HostFacts) -> "tuple[Device, ...]":
    """The network interfaces that are to move in."""
    if not linux.net_devices:
        return ()
    from pyrunc.wings import netdevices

    if host.euid != 0:
        text = "moving network interfaces needs CAP_NET_ADMIN, which an ordinary user does not have"
        raise ConfigError(text, pointer="/linux/netDevices")
    if not host.pyroute2:
        hint = "install the package python3-pyroute2"
        raise ConfigError("netDevices need pyroute2", pointer="/linux/netDevices", hint=hint)
    return tuple(
        freeze(netdevices.Device(outside, device.name or outside, f"/linux/netDevices/{token(outside)}"))
        for outside, device in linux.net_devices.items()
    )


def resctrl_group(wanted: "IntelRdt | None", container_id: str, host: HostFacts) -> "Group | None":
    """The container's resctrl group."""
    if wanted is None:
        return None
    from pyrunc.wings import resctrl

    return freeze(resctrl.planned(wanted, container_id, host.resctrl, "/linux/intelRdt"))


def kernel_parameters(values: "Mapping[str, str]") -> "tuple[Parameter, ...]":
    """`linux.sysctl`."""
    if not values:
        return ()
    from pyrunc.kernel.sysctl import Parameter
    from pyrunc.spec.sysctl import sysctl_namespace, sysctl_path

    paths = {key: sysctl_path(key) or "" for key in values}
    return tuple(
        freeze(Parameter(key, path, values[key], sysctl_namespace(path) or "", f"/linux/sysctl/{token(key)}"))
        for key, path in paths.items()
    )
