"""`linux` of config.json but its resources and seccomp sections (config-linux.md)."""

from pyrunc.words import (
    EXECUTION_DOMAINS,
    MEMORY_POLICY_FLAGS,
    MEMORY_POLICY_MODES,
    NAMESPACES,
    PROPAGATIONS,
)

from .reader import ID_MAX, INT64_MAX, INT64_MIN, UINT32_MAX, Reader
from .resources import Resources
from .seccomp import Seccomp

DEVICE_TYPES = frozenset(("b", "c", "u", "p"))


class Namespace:
    """An entry of `namespaces`: a new one of `type`, or the one at `path` to join."""

    __slots__ = ("path", "type")

    def __init__(self, reader: Reader) -> None:
        self.type = reader.required_enum("type", NAMESPACES)
        self.path = reader.text("path")


RANGES_MAX = 340  # UID_GID_MAP_MAX_EXTENTS (user_namespaces(7)): more would cost much before the kernel refuses them


class IDMapping:
    """A range of ids: `size` of them from `container_id` inside, `host_id` outside."""

    __slots__ = ("container_id", "host_id", "size")

    def __init__(self, reader: Reader) -> None:
        self.container_id = reader.required_integer("containerID", 0, ID_MAX)
        self.host_id = reader.required_integer("hostID", 0, ID_MAX)
        self.size = reader.required_integer("size", 0, UINT32_MAX)


class TimeOffset:
    """A value of `timeOffsets`: seconds and nanoseconds that the clock is moved; unset is 0."""

    __slots__ = ("nanosecs", "secs")

    def __init__(self, reader: Reader) -> None:
        self.secs = reader.integer("secs", INT64_MIN, INT64_MAX) or 0
        self.nanosecs = reader.integer("nanosecs", 0, UINT32_MAX) or 0


class Device:
    """An entry of `devices`: a device node that the container must have. major and minor are set unless type is `p`.
    path: without the slashes that may stand at its end."""

    __slots__ = ("file_mode", "gid", "major", "minor", "path", "type", "uid")

    def __init__(self, reader: Reader) -> None:
        self.type = reader.required_enum("type", DEVICE_TYPES)
        self.path = reader.required_text("path").rstrip("/") or "/"
        self.major = reader.integer("major", INT64_MIN, INT64_MAX)
        self.minor = reader.integer("minor", INT64_MIN, INT64_MAX)
        self.file_mode = reader.integer("fileMode", 0, UINT32_MAX)
        self.uid = reader.integer("uid", 0, ID_MAX)
        self.gid = reader.integer("gid", 0, ID_MAX)


class NetDevice:
    """A value of `netDevices`: `name` inside the container, None to keep the one outside."""

    __slots__ = ("name",)

    def __init__(self, reader: Reader) -> None:
        self.name = reader.text("name")


class Personality:
    """`personality`; flags are ignored (none is supported by the specification)."""

    __slots__ = ("domain", "flags")

    def __init__(self, reader: Reader) -> None:
        self.domain = reader.required_enum("domain", EXECUTION_DOMAINS)
        self.flags = reader.texts("flags")


class IntelRdt:
    """`intelRdt`: the resctrl group; schemata None: the key is absent, which differs from an empty list (see the
    rules on `closID` in config-linux.md)."""

    __slots__ = ("clos_id", "enable_monitoring", "l3_cache_schema", "mem_bw_schema", "schemata")

    def __init__(self, reader: Reader) -> None:
        self.clos_id = reader.text("closID")
        self.l3_cache_schema = reader.text("l3CacheSchema")
        self.mem_bw_schema = reader.text("memBwSchema")
        self.schemata = reader.texts("schemata") if reader.has("schemata") else None
        self.enable_monitoring = reader.flag("enableMonitoring")


class MemoryPolicy:
    """`memoryPolicy`: the arguments of set_mempolicy(2); nodes is a list such as `0-1,3`."""

    __slots__ = ("flags", "mode", "nodes")

    def __init__(self, reader: Reader) -> None:
        self.mode = reader.required_enum("mode", MEMORY_POLICY_MODES)
        self.nodes = reader.text("nodes")
        self.flags = reader.enums("flags", MEMORY_POLICY_FLAGS)


class Linux:
    """`linux`. Absent lists and maps are empty ones, absent sections and strings None.

    time_offsets: clock name -> TimeOffset. net_devices: name outside -> NetDevice. sysctl: key as written -> value.
    """

    __slots__ = (
        "cgroups_path",
        "devices",
        "gid_mappings",
        "intel_rdt",
        "masked_paths",
        "memory_policy",
        "mount_label",
        "namespaces",
        "net_devices",
        "personality",
        "readonly_paths",
        "resources",
        "rootfs_propagation",
        "seccomp",
        "sysctl",
        "time_offsets",
        "uid_mappings",
    )

    def __init__(self, reader: Reader) -> None:
        self.namespaces = reader.sections("namespaces", Namespace)
        self.uid_mappings = reader.sections("uidMappings", IDMapping)
        self.gid_mappings = reader.sections("gidMappings", IDMapping)
        self.time_offsets = reader.section_map("timeOffsets", TimeOffset)
        self.devices = reader.sections("devices", Device)
        self.net_devices = reader.section_map("netDevices", NetDevice)
        self.cgroups_path = reader.text("cgroupsPath")
        self.resources = reader.section("resources", Resources)
        self.intel_rdt = reader.section("intelRdt", IntelRdt)
        self.memory_policy = reader.section("memoryPolicy", MemoryPolicy)
        self.sysctl = reader.text_map("sysctl")
        self.seccomp = reader.section("seccomp", Seccomp)
        self.rootfs_propagation = reader.enum("rootfsPropagation", PROPAGATIONS)
        self.masked_paths = reader.texts("maskedPaths")
        self.readonly_paths = reader.texts("readonlyPaths")
        self.mount_label = reader.text("mountLabel")
        self.personality = reader.section("personality", Personality)

    def namespace(self, kind: str) -> Namespace | None:
        """The entry of type `kind`, None if the runtime's namespace of that type is kept."""
        return next((entry for entry in self.namespaces if entry.type == kind), None)
