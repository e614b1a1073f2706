"""What is opened, learnt and made while a plan is carried out, which itself does not change; and the opening."""

from pyrunc.kernel.mount import mountoptions, mounts
from pyrunc.kernel.namespaces import FLAGS
from pyrunc.kernel.syscalls import MS_REC
from pyrunc.resources import Cgroup, Resources

from .children import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.container import Container
    from pyrunc.kernel.mount.devices import Device
    from pyrunc.kernel.namespaces import OpenNamespace
    from pyrunc.planning.container import ContainerPlan
    from pyrunc.planning.facts import HostFacts


class Making(Child):
    """Of a create or a restore.

    The init process that waits for `start`, seen_from: `processes.vantage` of its pid and start_time; resources: what
    the container has of the host's.

    joins: the namespaces to enter, open; apart: the types of those in which the container is and the runtime is not;
    maps: those of the new user namespace, as written; denies_setgroups: of the user namespace that init is in; filter:
    seccomp's, compiled; hook_streams: as of `hooks.open_streams`; sources: index of a mount -> descriptor of what it
    binds, and the flags of that which stay; mount_maps: index -> a user namespace with the maps of the mount; nodes: of
    devices that init may not make. Descriptors are -1 for none.
    """

    __slots__ = (
        "apart", "denies_setgroups", "filter", "hook_streams", "joins", "maps", "mount_maps", "nodes", "resources",
        "seen_from", "sources", "start_time",
    )  # fmt: skip

    def __init__(self, container: "Container", plan: "ContainerPlan") -> None:
        super().__init__()
        self.resources = Resources(container, Cgroup(plan.cgroup))
        self.start_time = 0
        self.seen_from: list[int] = []
        self.maps, self.filter, self.denies_setgroups = plan.maps, plan.filter, plan.denies_setgroups
        self.joins: tuple[OpenNamespace, ...] = ()
        self.apart: frozenset[str] = frozenset()
        self.hook_streams = (-1, -1)
        self.sources: dict[int, tuple[int, int]] = {}
        self.mount_maps: dict[int, int] = {}
        self.nodes: dict[Device, int] = {}

    @property
    def cgroup(self) -> str:
        """The path of its cgroup, "" if it has none."""
        return self.resources.cgroup.path

    def joined(self, kind: str) -> int:
        """The descriptor of the namespace of this type that is joined; -1 if none is."""
        return next((join.fd for join in self.joins if join.kind == kind), -1)

    def undo(self, error: BaseException, hooks: "Callable[[], None]" = lambda: None) -> None:
        """What was made, since `error` has ended the making; `error` tells what of it fails. hooks: the last of all,
        but for the state directory."""
        self.resources.undo(self.end, hooks, error)


def open_joins(plan: "ContainerPlan", made: Making) -> None:
    """Open the namespaces to join, and find out those in which the container is apart from the runtime."""
    made.joins = tuple(join.open() for join in plan.joins)
    new = {kind for kind in FLAGS if plan.creates(kind)}
    made.apart = frozenset(new.union(join.kind for join in made.joins if not join.is_ours()))


def open_hook_streams(plan: "ContainerPlan", made: Making) -> None:
    """Open the files that annotations name for the output of hooks, before anything is made."""
    if any(plan.hook_paths):
        from pyrunc import hooks

        made.hook_streams = hooks.open_streams(plan.hook_paths)


def open_sources(plan: "ContainerPlan", made: Making, host: "HostFacts") -> None:
    """Open what bind mounts bind where init may not: a user namespace's root has no privilege over the source; and
    where init binds in the runtime's own mount namespace. The copies are to the host what init's would be."""
    foreign = (plan.enters_user_namespace and host.euid == 0) or not plan.has_mount_namespace
    for i, mount in enumerate(plan.mounts):
        if mount.mapping is not None:
            made.mount_maps[i] = mount.mapping.open(made.joined("user"), mount.pointer)
        if mount.options.bind and (foreign or mount.mapping is not None) and not mount.earlier:
            made.warnings += open_source(plan, made, i)


def open_source(plan: "ContainerPlan", made: Making, index: int, root: int = -1) -> "list[str]":
    """Open what one of them binds; root: the container's, for what is in an earlier mount. Warnings."""
    mount, kind = plan.mounts[index], mountoptions.propagation_of_copies(plan.propagation)
    tree = mounts.detach(mount, kind if kind & MS_REC else 0, root, made.mount_maps.get(index, -1))
    locked, words = mounts.keep_locked(mount, tree) if plan.enters_user_namespace else (0, "")
    made.sources[index] = tree, locked
    if not words:
        return []
    who = "an earlier mount" if mount.earlier else "the host"
    text = f"the source of the mount to `{mount.destination}` stays {words}, as {who} has it"
    return [f"{text} ({mount.pointer}/options)"]
