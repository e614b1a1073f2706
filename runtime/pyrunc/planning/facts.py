"""What planning has to know of this host and this user, asked of the kernel before: planning makes no system calls.

Who calls is always asked; all else only if the config, which is read by then, has something that depends on it.
"""

import posix

from pyrunc.kernel import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrunc.kernel.ids.idmap import Range
    from pyrunc.kernel.ids.subordinate import Grant, IdRights
    from pyrunc.spec.config import Config
    from pyrunc.spec.linux import Linux
    from pyrunc.spec.process import Process

    from .container import CreateOptions


class ProcessFacts:
    """What create and exec have to know for a process. inherited: the descriptors that our caller has left open;
    selinux: whether it is enabled; apparmor: the profiles that are loaded (empty if the list is not ours to read), None
    without AppArmor."""

    __slots__ = ("apparmor", "inherited", "selinux")

    def __init__(self) -> None:
        self.inherited: frozenset[int] = frozenset()
        self.selinux = False
        self.apparmor: frozenset[str] | None = None

    def look(
        self, process: "Process", preserve_fds: int, environment: "Mapping[bytes, bytes]", mount_label: str = ""
    ) -> None:
        """Ask for what this process, and the label of the container's mounts, depend on."""
        if preserve_fds or descriptors.listen_fds(environment):
            self.inherited = descriptors.inherited()
        selinux_label = mount_label or process.selinux_label
        if not (selinux_label or process.apparmor_profile):
            return
        from pyrunc.kernel.process import lsm

        if selinux_label:
            self.selinux = lsm.selinux_enabled()
        if process.apparmor_profile and lsm.apparmor_enabled():
            self.apparmor = lsm.apparmor_profiles()


class HostFacts(ProcessFacts):
    """euid; in_userns: whether this process is in another user namespace than the host's; denies_setgroups: whether
    that one forbids setgroups(2); uids, gids: its maps, empty for the host's; rights: which ids an ordinary user may
    map, None for uid 0.

    cgroup: where this process is in the unified hierarchy; granted_to_root: "uid" and "gid" -> root's subordinate ids;
    pyroute2: whether it is installed; resctrl: where that file system is mounted, "" if it is not.
    """

    __slots__ = (
        "cgroup", "denies_setgroups", "euid", "gids", "granted_to_root", "in_userns", "pyroute2", "resctrl", "rights",
        "uids",
    )  # fmt: skip

    def __init__(
        self, euid: int, *, in_userns: bool, denies_setgroups: bool = False, rights: "IdRights | None" = None
    ) -> None:
        super().__init__()
        self.euid, self.in_userns, self.denies_setgroups, self.rights = euid, in_userns, denies_setgroups, rights
        self.uids: tuple[Range, ...] = ()
        self.gids: tuple[Range, ...] = ()
        self.cgroup, self.resctrl, self.pyroute2 = "/", "", False
        self.granted_to_root: dict[str, tuple[Grant, ...]] = {"uid": (), "gid": ()}

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


def gather(environment: "dict[bytes, bytes]") -> HostFacts:
    """The caller."""
    from pyrunc.kernel.ids import idmap  # not for exec
    from pyrunc.kernel.process import credentials

    euid, rights = posix.geteuid(), None
    if euid != 0:
        from pyrunc.kernel.ids import subordinate

        rights = subordinate.rights(environment.get(b"PATH", b"").decode("utf-8", "surrogateescape"))
    if idmap.is_initial():
        return HostFacts(euid, in_userns=False, rights=rights)
    facts = HostFacts(euid, in_userns=True, denies_setgroups=credentials.setgroups_denied(), rights=rights)
    facts.uids, facts.gids = idmap.read("uid"), idmap.read("gid")
    return facts


def gather_for(config: "Config", options: "CreateOptions") -> HostFacts:
    """Who calls, and what the plan of this config depends on."""
    from pyrunc.cgroup import cgroupfs, manager

    facts, linux = gather(options.environment), config.linux
    facts.look(config.process, options.preserve_fds, options.environment, linux.mount_label or "")
    if options.cgroup_manager == manager.CGROUPFS and not facts.privileged:
        facts.cgroup = cgroupfs.own_path()
    if facts.privileged and _leaves_ids_open(linux):  # in another user namespace the lines are not for its root
        from pyrunc.kernel.ids import subordinate

        facts.granted_to_root = {kind: subordinate.granted(f"/etc/sub{kind}", "root", 0) for kind in ("uid", "gid")}
    if linux.net_devices and facts.euid == 0:
        from pyrunc.wings import netdevices

        facts.pyroute2 = netdevices.pyroute2_is_installed()
    if linux.intel_rdt is not None:
        from pyrunc.wings import resctrl

        facts.resctrl = resctrl.mount_point()
    return facts


def _leaves_ids_open(linux: "Linux") -> bool:
    """Whether there is a new user namespace without mappings."""
    namespace = linux.namespace("user")
    return namespace is not None and namespace.path is None and not linux.uid_mappings
