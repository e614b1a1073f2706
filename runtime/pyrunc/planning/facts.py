"""What this host and this user allow: what planning has to know of them, asked of the kernel before."""

import posix

from pyrunc.kernel.ids import idmap
from pyrunc.kernel.process import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.ids.idmap import Range
    from pyrunc.kernel.ids.subordinate import Grant, IdRights


class HostFacts:
    """euid; in_userns: whether this process is in another user namespace than the host's; denies_setgroups: whether
    that one forbids setgroups(2); uids, gids: its maps, empty for the host's; rights: which ids an ordinary user may
    map, None for uid 0."""

    __slots__ = ("denies_setgroups", "euid", "gids", "in_userns", "rights", "uids")

    def __init__(
        self, euid: int, *, in_userns: bool, denies_setgroups: bool = False, rights: "IdRights | None" = None
    ) -> None:
        self.euid, self.in_userns, self.denies_setgroups, self.rights = euid, in_userns, denies_setgroups, rights
        self.uids: tuple[Range, ...] = ()
        self.gids: tuple[Range, ...] = ()

    @property
    def privileged(self) -> bool:
        """Whether uid 0 here is uid 0 of the host."""
        return self.euid == 0 and not self.in_userns

    @property
    def uid_outside(self) -> int:
        """Whom systemd and the files of the host know: the euid as the user namespace around this one has it."""
        for inside, outside, count in self.uids:
            if inside <= self.euid < inside + count:
                return outside + self.euid - inside
        return self.euid

    def granted_to_root(self, kind: str) -> "tuple[Grant, ...]":
        """The subordinate ids of root, "uid" or "gid"; in another user namespace the lines are not for its root."""
        if self.in_userns:
            return ()
        from pyrunc.kernel.ids import subordinate  # few configs ask

        return subordinate.granted(f"/etc/sub{kind}", "root", 0)


def gather(environment: "dict[bytes, bytes]") -> HostFacts:
    """The facts of this process."""
    euid, rights = posix.geteuid(), None
    if euid != 0:
        from pyrunc.kernel.ids import subordinate

        rights = subordinate.rights(environment.get(b"PATH", b"").decode("utf-8", "surrogateescape"))
    if idmap.is_initial():
        return HostFacts(euid, in_userns=False, rights=rights)
    facts = HostFacts(euid, in_userns=True, denies_setgroups=credentials.setgroups_denied(), rights=rights)
    facts.uids, facts.gids = idmap.read("uid"), idmap.read("gid")
    return facts
