"""From a config, the command's options and the host's facts to what will be done: a ContainerPlan. No system calls.

The only module that knows both the spec's model and the kernel's; nobody after it looks at config.json again.
A part of the config that cannot be honoured is refused here, before anything is touched.
"""

from pyrunc import lifecycle
from pyrunc.errors import ConfigError, UsageError, within
from pyrunc.kernel import descriptors, namespaces
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.process import credentials
from pyrunc.spec import annotations
from pyrunc.spec import config as spec
from pyrunc.spec.linux import Linux
from pyrunc.spec.process import Process

from . import cgroup, idmaps, mounts, optional, security
from .facts import HostFacts
from .frozen import freeze


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
    """What create will do. `new` is a mask of CLONE_NEW*; `joins` are namespaces to enter; paths are absolute.

    It does not change: what is opened and learnt while it is carried out is `stages.making`'s. process, hooks,
    profile, personality, memory_policy and annotations are the config's own.
    """

    __slots__ = (
        "_outer", "annotations", "attributes", "bundle", "can_mknod", "cgroup", "container_id", "denies_setgroups",
        "devices", "domainname", "env", "filter", "hook_paths", "hooks", "hostname", "joins", "keeps_groups",
        "kept_fds", "keyring", "listener", "makes_nodes", "maps", "masked_paths", "memory_policy", "mount_label",
        "mounts", "net_devices", "new", "new_keyring", "options", "personality", "pidfd_socket", "process", "profile",
        "propagation", "readonly_paths", "resctrl", "rootfs", "rootfs_readonly", "sysctl", "time_offsets", "warnings",
    )  # fmt: skip

    joins: "tuple[namespaces.Join, ...]"
    maps: idmaps.UserMaps  # of the new user namespace

    def __init__(self, config: spec.Config, options: CreateOptions, host: HostFacts) -> None:
        linux, warnings = config.linux, list(config.warnings)
        self.options, self.container_id, self.bundle = options, options.container_id, options.bundle
        self.pidfd_socket = options.pidfd_socket or config.annotations.get(annotations.PIDFD_RECEIVER, "")
        self.process, self.hooks, self.annotations = config.process, config.hooks, config.annotations
        self.hostname, self.domainname = config.hostname, config.domainname
        self.sysctl = optional.kernel_parameters(linux.sysctl)
        self.personality, self.memory_policy = linux.personality, linux.memory_policy
        self.new_keyring, self.keyring = options.new_keyring, options.keyring
        self.keeps_groups = config.keeps_groups
        self._namespaces(linux, host)
        if self.maps.warning:
            warnings.append(self.maps.warning)
        self.can_mknod = not (host.in_userns or self.enters_user_namespace)
        self._root(config)
        self.mount_label = security.mount_label(linux.mount_label, host)
        listed = mounts.planned(config, options.bundle, self.mount_label, host, warnings.append)
        self.mounts = mounts.with_earlier(listed, self.rootfs)
        self.resctrl = optional.resctrl_group(linux.intel_rdt, options.container_id, host)
        self.net_devices = optional.net_devices(linux, host)
        self.devices = optional.devices(linux)
        self.makes_nodes = host.privileged and self.enters_user_namespace and any(d.kind != "p" for d in self.devices)
        if self.creates("user"):  # what is bound from the host keeps its owner; a fifo is made by whoever it is
            idmaps.check_devices(tuple(d for d in self.devices if self.makes_nodes or d.kind == "p"), self.maps)
        own_cgroup = self.creates("user") and self.creates("cgroup") and host.euid == 0
        is_delegated = annotations.DELEGATED_CGROUP in config.annotations
        is_delegated = is_delegated or (own_cgroup and cgroup.is_mounted_writable(config))
        owner = idmaps.root_outside(self.maps, self.process) if is_delegated else None
        self.cgroup = cgroup.planned(config, options, host, owner, warnings.append)
        kept = descriptors.kept(options.preserve_fds, options.environment, host.inherited)
        self.kept_fds = kept.count
        self.hook_paths = annotations.hook_paths(config.annotations)
        self.profile, self.filter = security.profile(config), security.ready_filter(config)
        self.listener = security.listener(config)
        self.attributes = security.attributes(config.process, host)
        env = config.process.environment(kept.env) if config.process.exists else []
        if options.notify_source:
            self.mounts += (mounts.of_notify(options.notify_source),)
            from pyrunc.wings.systemd import notify

            env.append(notify.VARIABLE)
        self.env, self.warnings = tuple(env), tuple(warnings)
        freeze(self)

    def _root(self, config: spec.Config) -> None:
        root, linux = config.root, config.linux
        self.rootfs = root.path if root.path.startswith("/") else f"{self.bundle}/{root.path}"
        # `/` cannot be covered: rootfs_readonly is what it comes to.
        self.readonly_paths = tuple(path for path in linux.readonly_paths if path.strip("/"))
        self.rootfs_readonly = root.readonly or len(self.readonly_paths) < len(linux.readonly_paths)
        if self.rootfs_readonly and not self.has_mount_namespace:
            text = "a read-only root needs a mount namespace of the container's own"
            raise ConfigError(text, pointer="/root/readonly", hint="add one to linux.namespaces, or leave it out")
        self.propagation = linux.rootfs_propagation or ""
        self.masked_paths = tuple(linux.masked_paths)

    def _namespaces(self, linux: Linux, host: HostFacts) -> None:
        new, joins = 0, []
        for i, entry in enumerate(linux.namespaces):
            if entry.path:
                joins.append(freeze(namespaces.Join(entry.type, entry.path, f"/linux/namespaces/{i}/path")))
            else:
                new |= namespaces.FLAGS[entry.type]
        self.maps = idmaps.decide(linux, host, self.process)
        if self.maps.automatic:
            new |= namespaces.FLAGS["user"]
        self.new, self.joins = new, tuple(joins)
        # One id that an ordinary user maps himself: the kernel wants setgroups given up (user_namespaces(7)). In a user
        # namespace of others it is asked again.
        one_id = host.rights is not None and self.creates("user") and idmap.single(self.maps.gids, host.rights.gid)
        self.denies_setgroups = host.denies_setgroups or one_id
        self._outer = idmaps.UserMaps(host.uids, host.gids) if host.in_userns else None
        self.check_ids(self.maps)
        offsets = linux.time_offsets.items()
        self.time_offsets = tuple((clock, offset.secs, offset.nanosecs) for clock, offset in offsets)

    def check_ids(self, maps: idmaps.UserMaps) -> None:
        """Raise ConfigError if the process cannot have the ids it asks for. maps: of the new user namespace."""
        if not self.process.exists:
            return
        with within("/process/user/additionalGids"):
            credentials.check_groups(self.process.user.additional_gids, denied=self.denies_setgroups)
        if self.creates("user"):
            idmaps.check_process(self.process, maps)
        elif self._outer is not None and not self.joins_kind("user"):
            idmaps.check_process(self.process, self._outer)

    def joins_kind(self, kind: str) -> bool:
        """Whether a namespace of this type is joined."""
        return any(join.kind == kind for join in self.joins)

    def creates(self, kind: str) -> bool:
        """Whether a namespace of this type is new."""
        return bool(self.new & namespaces.FLAGS[kind])

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
        return self.joins_kind("pid") and self.process.exists and not early

    @property
    def joins_first(self) -> bool:
        """Whether namespaces are joined before new ones are made: by the process that the parent clones into none."""
        return self.needs_middle or self.splits


def build(config: spec.Config, options: CreateOptions, host: HostFacts) -> ContainerPlan:
    """The plan for creating a container. Raises ConfigError for what cannot be honoured, with its place."""
    _check_terminal(config.process, options)
    return ContainerPlan(config, options, host)


def _check_terminal(process: "Process", options: CreateOptions) -> None:
    terminal = process.terminal
    if terminal and options.detach and not options.console_socket:
        raise UsageError("cannot allocate a terminal for a detached container without --console-socket")
    if options.console_socket and not terminal:
        raise UsageError("--console-socket is given, but process.terminal is false in config.json")
