"""Which ids of the host a container's new user namespace maps, and whether its process can have the ids it asks for.

The config's mappings; or, for an ordinary user whose config has no user namespace, or anybody whose config has one
without mappings, his own id as 0 and behind it all that /etc/subuid and /etc/subgid give him (so does crun, runc
refuses). If they give an ordinary user nothing, his own id is the one that the config's process asks for. The facts
come from `facts`.
"""

from pyrunc.errors import ConfigError
from pyrunc.kernel.ids.idmap import Range, outside, single
from pyrunc.kernel.ids.subordinate import Grant, IdRights
from pyrunc.spec.linux import IDMapping, Linux
from pyrunc.spec.process import Process

from .facts import HostFacts
from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.mount.devices import Device

_NO_ID = 2**32 - 1  # (uid_t)-1
_ROOTS = "in file permissions, root in the container is the root user who calls pyrunc"
_SINGLE = "only your own uid and gid can be mapped"
_FILES = {"uid": "/etc/subuid", "gid": "/etc/subgid"}
_PACKAGES = "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)"


class UserMaps:
    """uids, gids: the ranges; automatic: nobody has said which; warning: what of an automatic map its user would not
    expect, or ""; alone: uids and gids where an ordinary user has one id only, that the process asks for.
    """

    __slots__ = ("alone", "automatic", "gids", "uids", "warning")

    def __init__(
        self, uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", *, automatic: bool = False, warning: str = "",
        alone: "tuple[tuple[Range, ...], tuple[Range, ...]]" = ((), ()),
    ) -> None:  # fmt: skip
        self.uids, self.gids, self.automatic, self.warning, self.alone = uids, gids, automatic, warning, alone
        freeze(self)

    def narrowed(self, uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", warning: str) -> "UserMaps":
        """What came of these automatic ones, and why."""
        return UserMaps(uids, gids, automatic=True, warning=warning)


def decide(linux: Linux, host: HostFacts, process: Process) -> UserMaps:
    """The maps of the container's new user namespace; empty if there is none. Raises ConfigError for ids that the
    caller may not map."""
    rights = host.rights
    maps = UserMaps(_ranges(linux.uid_mappings), _ranges(linux.gid_mappings))
    namespace = linux.namespace("user")
    if namespace is not None and namespace.path is not None:
        return maps
    _check_inside("uid", maps.uids, host.uids)
    _check_inside("gid", maps.gids, host.gids)
    if namespace is None and rights is None:
        return maps
    if maps.uids:
        if rights is not None:
            _check_permitted("uid", maps.uids, rights)
            _check_permitted("gid", maps.gids, rights)
        return maps
    if rights is None:
        warning = f"{_ROOTS}: the new user namespace has no uidMappings and gidMappings (/linux/namespaces)"
        uids, gids = (automatic(0, host.granted_to_root[kind]) for kind in ("uid", "gid"))
        return UserMaps(uids, gids, automatic=True, warning=warning)
    uid, gid = _ids(process)
    alone: tuple[tuple[Range, ...], tuple[Range, ...]] = ((uid, rights.uid, 1),), ((gid, rights.gid, 1),)
    uids, gids = alone
    if not (warning := _why_single(rights)):
        uids, gids = automatic(rights.uid, rights.uids), automatic(rights.gid, rights.gids)
    return UserMaps(uids, gids, automatic=True, warning=warning, alone=alone)


def _ids(process: Process) -> "tuple[int, int]":
    return process.user.uid, process.user.gid


def root_outside(maps: UserMaps, process: Process) -> "tuple[int, int]":
    """The uid and the gid outside of the namespace that are 0 inside, or those of the process where 0 is not mapped."""
    uid, gid = _ids(process)
    return _outside(maps.uids, (0, uid)), _outside(maps.gids, (0, gid))


def _outside(ranges: "tuple[Range, ...]", wanted: "tuple[int, ...]") -> int:
    """The id outside of the first wanted one that is mapped; 0 if none is."""
    return next((found for one in wanted if (found := outside(ranges, one)) is not None), 0)


def _ranges(mappings: "list[IDMapping]") -> "tuple[Range, ...]":
    return tuple((mapping.container_id, mapping.host_id, mapping.size) for mapping in mappings)


def automatic(own: int, grants: "tuple[Grant, ...]") -> "tuple[Range, ...]":
    """One's own id as 0, then the granted ones without a gap. The kernel wants no id twice."""
    result: list[Range] = [(0, own, 1)]
    inside, taken = 1, [(own, own + 1)]
    for grant in grants:
        for first, end in _free(grant.first, grant.first + grant.count, taken):
            count = min(end - first, _NO_ID - inside)
            if count > 0:
                result.append((inside, first, count))
                inside += count
        taken.append((grant.first, grant.first + grant.count))
    return tuple(result)


def _free(first: int, end: int, taken: "list[tuple[int, int]]") -> "list[tuple[int, int]]":
    """The pieces of first..end-1 that no range of `taken` has."""
    pieces = []
    for start, stop in sorted(taken):
        if first < min(start, end):
            pieces.append((first, min(start, end)))
        first = max(first, stop)
    return [*pieces, (first, end)] if first < end else pieces


def _why_single(rights: IdRights) -> str:
    """Why only one's own id can be mapped, and what would change that; "" if there is more."""
    for kind in ("uid", "gid"):
        if not rights.grants(kind):
            add = f"usermod --add-sub{kind}s FIRST-LAST {rights.user}"
            return f"{_SINGLE}: {_FILES[kind]} has no line for you; add one as root: `{add}`"
        if not rights.helpers[f"new{kind}map"]:
            return f"{_SINGLE}: new{kind}map is not installed; {_PACKAGES}"
    return ""


def _check_inside(kind: str, ranges: "tuple[Range, ...]", outer: "tuple[Range, ...]") -> None:
    """Inside another user namespace the kernel takes only ranges that lie in one of its ranges (map_id_range_down)."""
    for i, (_, first, count) in enumerate(ranges if outer else ()):
        if not any(start <= first and first + count <= start + size for start, _, size in outer):
            raise ConfigError(
                f"{kind}s {_shown(first, count)} do not lie in one range of the user namespace that pyrunc runs in, "
                f"which has {_listed(outer)}",
                pointer=f"/linux/{kind}Mappings/{i}", hint="divide the mapping where these ranges meet",
            )  # fmt: skip


def _check_permitted(kind: str, ranges: "tuple[Range, ...]", rights: IdRights) -> None:
    if single(ranges, rights.own(kind)):
        return
    pointer = f"/linux/{kind}Mappings"
    if not rights.helpers[f"new{kind}map"]:
        raise ConfigError(
            f"new{kind}map is needed to map more than your own id", pointer=pointer, hint=_PACKAGES,
            check="id-map-programs subordinate-ids",
        )  # fmt: skip
    if rights.elsewhere:
        return
    for i, (_, first, count) in enumerate(ranges):
        if not rights.may_map(kind, first, count):
            have = ", ".join(f"`{grant}`" for grant in rights.grants(kind)) or "no line"
            asked = f"{first}-{first + count - 1}"  # as usermod(8) wants it
            raise ConfigError(
                f"{kind}s {asked} of the host are not yours to map: {_FILES[kind]} has {have} for `{rights.user}`",
                pointer=f"{pointer}/{i}",
                hint=f"root can add them: `usermod --add-sub{kind}s {asked} {rights.user}`",
                check="subordinate-ids",
            )


def check_process(process: Process, maps: UserMaps) -> None:
    """Raise ConfigError if an id of the process is not mapped in its user namespace, whose ranges `maps` has."""
    user = process.user
    _check_mapped("uid", user.uid, maps, "/process/user/uid")
    _check_mapped("gid", user.gid, maps, "/process/user/gid")
    for i, gid in enumerate(user.additional_gids):
        _check_mapped("gid", gid, maps, f"/process/user/additionalGids/{i}")


def check_devices(devices: "tuple[Device, ...]", maps: UserMaps) -> None:
    """The same for the owners of devices."""
    for device in devices:
        for kind, wanted in (("uid", device.uid), ("gid", device.gid)):
            if kind in device.asked:
                _check_mapped(kind, wanted, maps, f"{device.pointer}/{kind}")


def _check_mapped(kind: str, wanted: int, maps: UserMaps, pointer: str) -> None:
    ranges = maps.uids if kind == "uid" else maps.gids
    if any(inside <= wanted < inside + count for inside, _, count in ranges):
        return
    where = f"{_FILES[kind]} must give you more ids" if maps.automatic else "map it, or choose another"
    raise ConfigError(
        f"{kind} {wanted} is not mapped in the container's user namespace, which has {_listed(ranges)}",
        pointer=pointer, hint=maps.warning or where,
    )  # fmt: skip


def _listed(ranges: "tuple[Range, ...]") -> str:
    return ", ".join(_shown(inside, count) for inside, _, count in ranges)


def _shown(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)
