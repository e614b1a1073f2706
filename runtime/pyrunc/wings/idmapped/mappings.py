"""The id mapping of a mount: its own keys, the container's mapping, or crun's words in the option (config.md, "idmap").

    idmap                                   the mount's uidMappings and gidMappings, else those of the container
    ridmap                                  the same for all mounts below it
    idmap=uids=0-1-10#10-11-10;gids=0-1-20  FROM-TO-SIZE: ids of the file system, ids on the host, how many
    idmap=uids=@0-5-10                      TO is an id in the container instead
"""

from pyrunc.errors import ConfigError
from pyrunc.spec.linux import RANGES_MAX, IDMapping, Linux
from pyrunc.spec.reader import UINT32_MAX, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.config import Mount

Ranges = tuple[tuple[int, int, int], ...]  # first id of the file system, first id on the host, how many


class MountMapping:
    """What an id-mapped mount maps. uids, gids: empty for the namespace that the container joins.

    recursive: the mounts below are mapped as well.
    """

    __slots__ = ("gids", "recursive", "uids")

    def __init__(self, uids: Ranges, gids: Ranges, *, recursive: bool) -> None:
        self.uids, self.gids, self.recursive = uids, gids, recursive


def asked_by(mount: "Mount", pointer: str) -> tuple[str, str]:
    """The option that asks for a mapping, "" if none does, and where in the mount at `pointer` it is asked for, "" if
    nowhere. The last option counts."""
    for i in reversed(range(len(mount.options))):
        if mount.options[i].partition("=")[0] in ("idmap", "ridmap"):
            return mount.options[i], f"{pointer}/options/{i}"
    return "", f"{pointer}/uidMappings" if mount.uid_mappings else ""


def mapping_of(mount: "Mount", linux: Linux, pointer: str) -> MountMapping | None:
    """The mapping that the mount at `pointer` asks for, None if none. Raises ConfigError."""
    word, at = asked_by(mount, pointer)
    if not at:
        return None
    name, _, more = word.partition("=")
    uids, gids = _ranges(mount.uid_mappings), _ranges(mount.gid_mappings)
    if "remount" in mount.options or ("iversion" in mount.options and not mount.bind):
        raise ConfigError("an id mapping cannot be combined with `remount` or `iversion`", pointer=at)
    if uids and more:
        raise ConfigError(f"`{word}` and uidMappings are mutually exclusive", pointer=at)
    if not uids:
        user = linux.namespace("user")
        uids, gids = _written(more, linux, at)
        if user is None and not (uids and gids):
            raise ConfigError(
                f"`{word}` needs uidMappings and gidMappings, or a container with a user namespace", pointer=at
            )
        uids, gids = uids or _ranges(linux.uid_mappings), gids or _ranges(linux.gid_mappings)
    return MountMapping(uids, gids, recursive=name == "ridmap")


def _ranges(mappings: "list[IDMapping]") -> Ranges:
    return tuple((mapping.container_id, mapping.host_id, mapping.size) for mapping in mappings)


def _written(text: str, linux: Linux, pointer: str) -> tuple[Ranges, Ranges]:
    """(uids, gids) of `uids=...;gids=...`; what is not named is empty."""
    found: dict[str, Ranges] = {}
    for part in filter(None, text.split(";")):
        kind, _, ranges = part.partition("=")
        if kind not in ("uids", "gids") or kind in found:
            raise ConfigError(f"{shown(part)} in `idmap={text}` is not `uids=` or `gids=` with ranges", pointer=pointer)
        inside, entries = linux.uid_mappings if kind == "uids" else linux.gid_mappings, ranges.split("#")
        if len(entries) > RANGES_MAX:
            text = f"{len(entries)} ranges of {kind}, where the kernel takes {RANGES_MAX} at most"
            raise ConfigError(text, pointer=pointer)
        found[kind] = tuple(_range(entry, inside, pointer) for entry in entries)
    return found.get("uids", ()), found.get("gids", ())


def _range(entry: str, container: "list[IDMapping]", pointer: str) -> tuple[int, int, int]:
    """One of `FROM-TO-SIZE`, `@FROM-TO-SIZE`."""
    parts = entry.removeprefix("@").split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise ConfigError(f"{shown(entry)} is not a range such as `0-1000-10`", pointer=pointer)
    source, target, size = (int(part) for part in parts)
    if entry.startswith("@"):
        for one in container:
            if one.container_id <= target and target + size <= one.container_id + one.size:
                target += one.host_id - one.container_id
                break
        else:
            raise ConfigError(f"the range {shown(entry)} is not in the container's user namespace", pointer=pointer)
    if size == 0 or max(source, target) + size > UINT32_MAX:
        raise ConfigError(f"{shown(entry)} is not a range of ids", pointer=pointer)
    return source, target, size
