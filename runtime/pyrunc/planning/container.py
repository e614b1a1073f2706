"""From a config, the command's options and the host's facts to what will be done: a ContainerPlan. No system calls.

The only module that knows both the spec's model and the kernel's; nobody after it looks at config.json again.
A part of the config that cannot be honoured is refused here, before anything is touched.
"""

from pyrunc import lifecycle
from pyrunc.cgroup import cgroupfs as cgroup_fs
from pyrunc.cgroup import manager, names
from pyrunc.errors import ConfigError, UsageError, token
from pyrunc.kernel import descriptors, namespaces
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.mount import mountoptions, mounts
from pyrunc.kernel.mount.mountoptions import Mount
from pyrunc.kernel.process import credentials
from pyrunc.kernel.syscalls import MS_RDONLY, MS_REC
from pyrunc.spec import annotations
from pyrunc.spec import config as spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Process

from . import idmaps, optional, security
from . import mounts as planned_mounts
from .facts import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrunc.cgroup.values import Setting
    from pyrunc.kernel.sysctl import Parameter


_PATH_MAX = 4096  # linux/limits.h


class CreateOptions:
    """What the command line of `create` and `run` says."""

    __slots__ = (
        "bundle", "cgroup_manager", "console_socket", "container_id", "detach", "environment", "keyring",
        "new_keyring", "notify_source", "pid_file", "pidfd_socket", "pivot", "preserve_fds",
    )  # fmt: skip

    def __init__(self, container_id: str, bundle: str) -> None:
        self.container_id, self.bundle = container_id, bundle
        self.console_socket = self.pid_file = self.pidfd_socket = ""
        self.keyring = ""  # name of the session keyring to make
        self.notify_source = ""  # the state directory, if somebody listens on NOTIFY_SOCKET
        self.cgroup_manager = "cgroupfs"
        self.environment: dict[bytes, bytes] = {}
        self.preserve_fds = 0
        self.detach = self.pivot = self.new_keyring = True


class ContainerPlan:
    """What create will do. `new` is a mask of CLONE_NEW*; `joins` are namespaces to enter; paths are absolute."""

    __slots__ = (
        "_outer", "annotations", "apart", "attributes", "bundle", "can_mknod", "cgroup", "container_id",
        "denies_setgroups", "devices", "domainname", "env", "filter", "hook_paths", "hook_streams", "hooks", "hostname",
        "joins", "keeps_groups", "kept_fds", "keyring", "listener", "makes_nodes", "maps", "masked_paths",
        "memory_policy", "mount_label", "mount_sources", "mounts", "net_devices", "new", "new_keyring", "options",
        "personality", "process", "profile", "propagation", "readonly_paths", "resctrl", "rootfs", "rootfs_readonly",
        "sysctl", "time_offsets",
    )  # fmt: skip

    joins: "tuple[namespaces.Join, ...]"
    maps: idmaps.UserMaps  # of the new user namespace

    def __init__(self, config: spec.Config, options: CreateOptions, host: HostFacts) -> None:
        linux = config.linux
        self.options, self.container_id, self.bundle = options, options.container_id, options.bundle
        options.pidfd_socket = options.pidfd_socket or config.annotations.get(annotations.PIDFD_RECEIVER, "")
        self.process, self.hooks, self.annotations = config.process, config.hooks, config.annotations
        self.hostname, self.domainname = config.hostname, config.domainname
        self.sysctl = _kernel_parameters(linux.sysctl)
        self.personality, self.memory_policy = linux.personality, linux.memory_policy
        self.new_keyring, self.keyring = options.new_keyring, options.keyring
        self.keeps_groups = config.keeps_groups
        self._namespaces(linux, host)
        if self.maps.warning:
            config.warnings.append(self.maps.warning)
        self.can_mknod = not (host.in_userns or self.new & namespaces.FLAGS["user"] or self.joins_kind("user"))
        self.rootfs = config.root.path if config.root.path.startswith("/") else f"{options.bundle}/{config.root.path}"
        self.rootfs_readonly = config.root.readonly or not all(path.strip("/") for path in linux.readonly_paths)
        if self.rootfs_readonly and not self.has_mount_namespace:
            text = "a read-only root needs a mount namespace of the container's own"
            raise ConfigError(text, pointer="/root/readonly", hint="add one to linux.namespaces, or leave it out")
        self.propagation = linux.rootfs_propagation or ""
        self.mount_label = security.mount_label(linux.mount_label)
        self.mounts = tuple(self._mount(i, mount, config, host) for i, mount in enumerate(config.mounts))
        find_earlier(self.mounts, self.rootfs)
        self.mount_sources: dict[int, int] = {}  # index in mounts -> descriptor of what is bound
        self.resctrl = optional.resctrl_group(linux.intel_rdt, options.container_id)
        self.net_devices = optional.net_devices(linux, host)
        self.devices = optional.devices(linux)
        self.makes_nodes = host.privileged and self.enters_user_namespace and any(d.kind != "p" for d in self.devices)
        if self.creates("user"):  # what is bound from the host keeps its owner; a fifo is made by whoever it is
            idmaps.check_devices(tuple(d for d in self.devices if self.makes_nodes or d.kind == "p"), self.maps)
        self.masked_paths = tuple(linux.masked_paths)
        # `/` cannot be covered: rootfs_readonly is what it comes to.
        self.readonly_paths = tuple(path for path in linux.readonly_paths if path.strip("/"))
        self.cgroup = _cgroup(config, options, host)
        self.cgroup.leaf = _leaf(config.annotations, options.cgroup_manager)
        own_cgroup = self.creates("user") and self.creates("cgroup") and host.euid == 0
        if annotations.DELEGATED_CGROUP in config.annotations or (own_cgroup and _mounts_cgroup_writable(config)):
            self.cgroup.owner = idmaps.root_outside(self.maps, self.process)
        kept = descriptors.kept(options.preserve_fds, options.environment)
        self.kept_fds = kept.count
        self.hook_paths, self.hook_streams = annotations.hook_paths(config.annotations), (-1, -1)
        self.profile = security.profile(config)
        # The profile as the kernel takes it; if it is not there yet, who carries the plan out compiles it.
        self.filter = security.ready_filter(config)
        self.listener = security.listener(config)
        self.attributes = security.attributes(config.process)
        self.env = config.process.environment(kept.env) if config.process else []
        if options.notify_source:
            self.mounts += (_notify_mount(options),)
            from pyrunc.kernel import notify

            self.env.append(notify.VARIABLE)

    def _namespaces(self, linux: Linux, host: HostFacts) -> None:
        new, joins = 0, []
        for i, entry in enumerate(linux.namespaces):
            if entry.path:
                joins.append(namespaces.Join(entry.type, entry.path, f"/linux/namespaces/{i}/path"))
            else:
                new |= namespaces.FLAGS[entry.type]
        self.maps = idmaps.decide(linux, host, self.process)
        if self.maps.automatic:
            new |= namespaces.FLAGS["user"]
        self.new, self.joins = new, tuple(joins)
        self.apart: frozenset[str] = frozenset()  # known by `open_joins`
        self.denies_setgroups = host.denies_setgroups  # asked again inside of another user namespace
        if host.rights is not None and self.creates("user"):
            # One id that an ordinary user maps himself: the kernel wants setgroups given up (user_namespaces(7)).
            self.denies_setgroups = self.denies_setgroups or idmap.single(self.maps.gids, host.rights.gid)
        self._outer = idmaps.UserMaps(host.uids, host.gids) if host.in_userns else None
        self.check_ids()
        self.time_offsets = {clock: (offset.secs, offset.nanosecs) for clock, offset in linux.time_offsets.items()}

    def check_ids(self) -> None:
        """Raise ConfigError if the process cannot have the ids it asks for."""
        if self.process is not None:
            credentials.check_groups(self.process.user.additional_gids, denied=self.denies_setgroups)
        if self.creates("user"):
            idmaps.check_process(self.process, self.maps)
        elif self._outer is not None and not self.joins_kind("user"):
            idmaps.check_process(self.process, self._outer)

    def open_joins(self) -> None:
        """Open the namespaces to join, and find out those in which the container is apart from the runtime."""
        for join in self.joins:
            join.open()
        new = {kind for kind in namespaces.FLAGS if self.creates(kind)}
        self.apart = frozenset(new.union(join.kind for join in self.joins if not join.is_ours()))

    def joins_kind(self, kind: str) -> bool:
        """Whether a namespace of this type is joined."""
        return any(join.kind == kind for join in self.joins)

    def joined(self, kind: str) -> int:
        """The descriptor of the namespace of this type that is joined, once it is open; -1 if none is."""
        return next((join.fd for join in self.joins if join.kind == kind), -1)

    def creates(self, kind: str) -> bool:
        """Whether a namespace of this type is new."""
        return bool(self.new & namespaces.FLAGS[kind])

    def open_mount_sources(self, host: HostFacts) -> "list[str]":
        """Open what bind mounts bind where init may not: a user namespace's root has no privilege over the source; and
        where init binds in the runtime's own mount namespace. The copies are to the host what init's would be.
        Warnings."""
        warnings = []
        foreign = (self.enters_user_namespace and host.euid == 0) or not self.has_mount_namespace
        for i, mount in enumerate(self.mounts):
            if mount.mapping is not None:
                mount.mapping.open(self.joined("user"), mount.pointer)
            if mount.options.bind and (foreign or mount.mapping is not None) and not mount.earlier:
                warnings += self.open_mount_source(i)
        return warnings

    def open_mount_source(self, index: int, root: int = -1) -> "list[str]":
        """Open what one of them binds; root: the container's, for what is in an earlier mount. Warnings."""
        mount, kind = self.mounts[index], mountoptions.propagation_of_copies(self.propagation)
        tree = self.mount_sources[index] = mounts.detach(mount, kind if kind & MS_REC else 0, root)
        if self.enters_user_namespace and (words := mounts.keep_locked(mount, tree)):
            who = "an earlier mount" if mount.earlier else "the host"
            text = f"the source of the mount to `{mount.destination}` stays {words}, as {who} has it"
            return [f"{text} ({mount.pointer}/options)"]
        return []

    @property
    def new_at_once(self) -> int:
        """The new namespaces that clone3(2) makes, or unshare(2) at once: init makes the others, see there."""
        return self.new & ~(namespaces.FLAGS["cgroup"] | namespaces.FLAGS["time"])

    @property
    def has_mount_namespace(self) -> bool:
        """Whether the container's mounts are kept from the runtime's."""
        return self.creates("mount") or self.joins_kind("mount")

    @property
    def enters_user_namespace(self) -> bool:
        """Whether init has to become root of a user namespace."""
        return self.creates("user") or self.joins_kind("user")

    @property
    def asks_parent_for_hooks(self) -> bool:
        """Whether init waits while the parent runs hooks in the runtime's namespaces."""
        return bool(self.hooks.prestart or self.hooks.create_runtime)

    def state(self, status: str, pid: int) -> "dict[str, object]":
        """The state as the spec has it (runtime.md, "State")."""
        return lifecycle.spec_state(self.container_id, status, pid, self.bundle, self.annotations)

    @property
    def needs_middle(self) -> bool:
        """Whether init must be made by a process that has joined namespaces before.

        A pid namespace takes only children; a joined user namespace has to own the new ones; and a new user namespace
        takes the privilege to join those of the host.
        """
        if self.splits:
            return False
        return self.joins_kind("user") or self.joins_kind("pid") or (self.creates("user") and bool(self.joins))

    @property
    def splits(self) -> bool:
        """Whether only pyrunc-init's child, at the end, is in the pid namespace that is joined: what others there could
        look into, with CAP_SYS_PTRACE, has no more privilege then than the program. Hooks must know the pid before."""
        hooks = self.hooks
        early = hooks.prestart or hooks.create_runtime or hooks.create_container or hooks.start_container
        return self.joins_kind("pid") and self.process is not None and not early

    @property
    def joins_first(self) -> bool:
        """Whether namespaces are joined before new ones are made: by the process that the parent clones into none."""
        return self.needs_middle or self.splits

    def _mount(self, index: int, mount: spec.Mount, config: spec.Config, host: HostFacts) -> Mount:
        pointer = f"/mounts/{index}"
        options = mountoptions.parse(tuple(mount.options))
        if options.bind and options.data:  # the kernel looks at none of them; crun and runc 1.1 say nothing
            words = ",".join(options.data)
            config.warnings.append(f"a bind mount has no file system options: `{words}` is ignored ({pointer}/options)")
            options.data = []
        source = mount.source or ""
        if options.bind and not source.startswith("/"):
            if not source:
                raise ConfigError("a bind mount needs a source", pointer=f"{pointer}/source")
            source = f"{self.bundle}/{source}"
        # What lies in it, such as the devices of /dev, is made first; runc and crun do the same.
        sealed = mount.type == "tmpfs" and bool(options.flags & MS_RDONLY) and not options.bind
        if sealed:
            options.flags &= ~MS_RDONLY
        if not options.bind and not options.remount and not options.propagation and not mount.type:
            raise ConfigError(f"the mount on `{mount.destination}` has no type", pointer=f"{pointer}/type")
        result = Mount(source, mount.destination, mount.type or "", options, self.mount_label, pointer)
        result.sealed = sealed
        result.label_option = config.annotations.get(annotations.MOUNT_CONTEXT_TYPE, "context")
        result.mapping = planned_mounts.mapping(mount, config.linux, pointer, host)
        return result


def find_earlier(listed: "tuple[Mount, ...]", rootfs: str) -> None:
    """Set `earlier` of bind mounts whose source is, or lies in, or has below it what a mount before them makes.

    By the names as they are written: a source below the root that no mount covers is the caller's, as any other.
    """
    top = _plain(rootfs) + "/"
    if not any(mount.options.bind and _plain(mount.source).startswith(top) for mount in listed):
        return
    made: set[str] = set()
    above: set[str] = set()  # the directories on the way to those
    for mount in listed:
        source = _plain(mount.source)
        if mount.options.bind and source.startswith(top):
            inside = source.removeprefix(top)
            if not made.isdisjoint(_ways(inside)) or (mount.options.recursive and inside in above):
                mount.earlier = inside
        if not mount.options.remount:
            *on_the_way, last = _ways(mount.name)
            above.update(on_the_way)
            made.add(last)


def _ways(path: str) -> "list[str]":
    """a, a/b, a/b/c of a/b/c; of what is no path for the kernel, only all."""
    ends = [i for i, character in enumerate(path) if character == "/"] if len(path) < _PATH_MAX else []
    return [path[:end] for end in [*ends, len(path)]]


def _plain(path: str) -> str:
    """A path without what means nothing in it, and relative; "" with `..`, which means what symlinks before it say."""
    parts = path.split("/")
    return "" if ".." in parts else "/".join(part for part in parts if part not in ("", "."))


def _mounts_cgroup_writable(config: spec.Config) -> bool:
    return any(mount.type in ("cgroup", "cgroup2") and "ro" not in mount.options for mount in config.mounts)


def _kernel_parameters(values: "Mapping[str, str]") -> "list[Parameter]":
    if not values:
        return []
    from pyrunc.kernel.sysctl import Parameter
    from pyrunc.spec.sysctl import sysctl_namespace, sysctl_path

    paths = {key: sysctl_path(key) or "" for key in values}
    return [
        Parameter(key, path, values[key], sysctl_namespace(path) or "", f"/linux/sysctl/{token(key)}")
        for key, path in paths.items()
    ]


def _notify_mount(options: CreateOptions) -> Mount:
    from pyrunc.kernel import notify

    source, destination, words = notify.mount(options.notify_source)
    return Mount(source, destination, "bind", mountoptions.parse(words))


def _cgroup(config: spec.Config, options: CreateOptions, host: HostFacts) -> manager.Want:
    """What the container's cgroup shall be. Limits without the means to set them are an error."""
    resources = config.linux.resources
    settings: list[Setting] = []
    if resources is not None:
        from pyrunc.cgroup import values

        settings = values.settings(resources, config.warnings.append)
    want = manager.Want(options.cgroup_manager, settings, None)
    if host.privileged:  # whoever is not may attach no device filter, and cannot mknod
        from pyrunc.cgroup import devices

        listed = resources.devices if resources is not None else ()
        want.asks_for_devices = bool(listed)
        want.devices = devices.rules(listed) if listed else devices.rules_without_any(config.linux.devices)
    configured = config.linux.cgroups_path or ""
    want.named = bool(configured)
    if want.manager == manager.CGROUPFS:
        own = None if host.privileged else cgroup_fs.own_path()
        want.path = names.fs_path(configured, options.container_id, own)
    elif want.manager == manager.SYSTEMD:
        _scope(want, config, options, configured, user=not host.privileged)
    elif settings:
        raise ConfigError(
            "limits cannot be set with --cgroup-manager disabled", pointer=settings[0].pointer
        )
    return want


def _leaf(words: "Mapping[str, str]", cgroup_manager: str) -> str:
    """Where below its cgroup the container's processes are; limits stay above, out of a delegated cgroup's reach."""
    names = [annotations.SYSTEMD_SUBGROUP] if cgroup_manager == manager.SYSTEMD else []
    parts = [words[name] for name in (*names, annotations.DELEGATED_CGROUP) if words.get(name)]
    if parts and cgroup_manager == manager.DISABLED:
        text = "no cgroup can be delegated with --cgroup-manager disabled"
        raise ConfigError(text, pointer=f"/annotations/{annotations.DELEGATED_CGROUP}")
    return "".join(f"/{part}" for part in parts)


def _scope(want: manager.Want, config: spec.Config, options: CreateOptions, configured: str, *, user: bool) -> None:
    from pyrunc.cgroup import properties, systemd

    want.unit = names.unit(configured, options.container_id, systemd.address(options.environment, user=user), user=user)
    want.settings = properties.held(want.settings)
    want.at_creation = properties.of_creation(want.settings)
    want.properties = [*properties.of_settings(want.settings), *properties.of_annotations(config.annotations)]


def build(config: spec.Config, options: CreateOptions, host: HostFacts) -> ContainerPlan:
    """The plan for creating a container. Raises ConfigError for what cannot be honoured, with its place."""
    _check_terminal(config.process, options)
    return ContainerPlan(config, options, host)


def _check_terminal(process: "Process | None", options: CreateOptions) -> None:
    terminal = process is not None and process.terminal
    if terminal and options.detach and not options.console_socket:
        raise UsageError("cannot allocate a terminal for a detached container without --console-socket")
    if options.console_socket and not terminal:
        raise UsageError("--console-socket is given, but process.terminal is false in config.json")
