"""Parts of the host that a config asks for: the host's ids in a mount, network interfaces, a group of resctrl.

From the spec's model to what `kernel` takes; few containers have any of it, so the kernel's modules are loaded here.
"""

from .errors import ConfigError, token
from .host import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernel.mountmap import MountMap
    from .kernel.netdev import Device
    from .kernel.resctrl import Group
    from .spec.config import Mount
    from .spec.linux import IntelRdt, Linux


def mapping(mount: "Mount", linux: "Linux", pointer: str, host: HostFacts) -> "MountMap | None":
    """The id map of a mount, None if it asks for none."""
    if not mount.id_mapped:
        return None
    from .spec.idmapped import asked_by, mapping_of

    if host.euid != 0:
        raise ConfigError("an id-mapped mount takes root's privilege", pointer=asked_by(mount, pointer)[1])
    from .kernel.mountmap import MountMap

    wanted = mapping_of(mount, linux, pointer)
    return MountMap(wanted.uids, wanted.gids, recursive=wanted.recursive) if wanted else None


def net_devices(linux: "Linux", host: HostFacts) -> "list[Device]":
    """The network interfaces that are to move in."""
    if not linux.net_devices:
        return []
    from .kernel import netdev

    if host.euid != 0:
        text = "moving network interfaces takes CAP_NET_ADMIN, which an ordinary user does not have"
        raise ConfigError(text, pointer="/linux/netDevices")
    netdev.require()
    return [
        netdev.Device(outside, device.name or outside, f"/linux/netDevices/{token(outside)}")
        for outside, device in linux.net_devices.items()
    ]


def resctrl_group(wanted: "IntelRdt | None", container_id: str) -> "Group | None":
    """The container's resctrl group, checked but not made.

    The order of the lines is the specification's: of two for the same resource the later one counts.
    """
    if wanted is None:
        return None
    from .kernel import resctrl

    schemas = (wanted.l3_cache_schema, wanted.mem_bw_schema)
    lines = [line for text in schemas for line in (text or "").split("\n") if line]
    lines += wanted.schemata or []
    root = resctrl.mount_point()
    group = resctrl.Group(root, container_id, wanted.clos_id, lines, monitor=wanted.enable_monitoring)
    group.check()
    return group
