"""Mounts of the config, as `kernel.mount.mounts` takes them: their id maps."""

from pyrunc.errors import ConfigError

from .facts import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.ids.mount_userns import MountMap
    from pyrunc.spec.config import Mount
    from pyrunc.spec.linux import Linux


def mapping(mount: "Mount", linux: "Linux", pointer: str, host: HostFacts) -> "MountMap | None":
    """The id map of a mount, None if it asks for none."""
    if not mount.id_mapped:
        return None
    from pyrunc.spec.idmapped import asked_by, mapping_of

    if host.euid != 0:
        raise ConfigError("an id-mapped mount needs root's privilege", pointer=asked_by(mount, pointer)[1])
    from pyrunc.kernel.ids.mount_userns import MountMap

    wanted = mapping_of(mount, linux, pointer)
    return MountMap(wanted.uids, wanted.gids, recursive=wanted.recursive) if wanted else None
