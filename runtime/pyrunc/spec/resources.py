"""`linux.resources`: cgroup limits as the configuration words them (config-linux.md, "Control groups").

Nothing is converted here: the numbers are those of the specification, in its units. None is "leave alone".
"""

from .reader import INT64_MAX, INT64_MIN, UINT16_MAX, UINT32_MAX, UINT64_MAX, Reader

DEVICE_TYPES = frozenset(("a", "b", "c"))
SWAPPINESS_MAX = 100
UNLIMITED = -1  # memory limits, pids.limit; a device number: every number


class DeviceRule:
    """An entry of `devices`, applied in order. type None is `a`; major or minor None or -1 is every number; access
    None is `rwm`."""

    __slots__ = ("access", "allow", "major", "minor", "type")

    def __init__(self, reader: Reader) -> None:
        self.allow = reader.required_boolean("allow")
        self.type = reader.enum("type", DEVICE_TYPES)
        self.major = reader.integer("major", UNLIMITED, INT64_MAX)
        self.minor = reader.integer("minor", UNLIMITED, INT64_MAX)
        self.access = reader.text("access")


class Memory:
    """`memory`: bytes, or -1 for no limit; `swap` is memory and swap together. swappiness: 0 to 100."""

    __slots__ = (
        "check_before_update",
        "disable_oom_killer",
        "kernel",
        "kernel_tcp",
        "limit",
        "reservation",
        "swap",
        "swappiness",
        "use_hierarchy",
    )

    def __init__(self, reader: Reader) -> None:
        self.limit = reader.integer("limit", UNLIMITED, INT64_MAX)
        self.reservation = reader.integer("reservation", UNLIMITED, INT64_MAX)
        self.swap = reader.integer("swap", UNLIMITED, INT64_MAX)
        self.kernel = reader.integer("kernel", UNLIMITED, INT64_MAX)
        self.kernel_tcp = reader.integer("kernelTCP", UNLIMITED, INT64_MAX)
        self.swappiness = reader.integer("swappiness", 0, SWAPPINESS_MAX)
        self.disable_oom_killer = reader.boolean("disableOOMKiller")
        self.use_hierarchy = reader.boolean("useHierarchy")
        self.check_before_update = reader.boolean("checkBeforeUpdate")


class CPU:
    """`cpu`: times in microseconds, a quota below zero is no limit; cpus and mems are lists such as `0-3,7`."""

    __slots__ = (
        "burst",
        "cpus",
        "idle",
        "mems",
        "period",
        "quota",
        "realtime_period",
        "realtime_runtime",
        "shares",
    )

    def __init__(self, reader: Reader) -> None:
        self.shares = reader.integer("shares", 0, UINT64_MAX)
        self.quota = reader.integer("quota", INT64_MIN, INT64_MAX)
        self.burst = reader.integer("burst", 0, UINT64_MAX)
        self.period = reader.integer("period", 0, UINT64_MAX)
        self.realtime_runtime = reader.integer("realtimeRuntime", INT64_MIN, INT64_MAX)
        self.realtime_period = reader.integer("realtimePeriod", 0, UINT64_MAX)
        self.cpus = reader.text("cpus")
        self.mems = reader.text("mems")
        self.idle = reader.integer("idle", 0, 1)


class WeightDevice:
    """An entry of `blockIO.weightDevice`; at least one of the weights is set."""

    __slots__ = ("leaf_weight", "major", "minor", "weight")

    def __init__(self, reader: Reader) -> None:
        self.major = reader.required_integer("major", 0, INT64_MAX)
        self.minor = reader.required_integer("minor", 0, INT64_MAX)
        self.weight = reader.integer("weight", 0, UINT16_MAX)
        self.leaf_weight = reader.integer("leafWeight", 0, UINT16_MAX)


class ThrottleDevice:
    """An entry of the four `blockIO.throttle...Device` lists: rate in bytes or operations per second."""

    __slots__ = ("major", "minor", "rate")

    def __init__(self, reader: Reader) -> None:
        self.major = reader.required_integer("major", 0, INT64_MAX)
        self.minor = reader.required_integer("minor", 0, INT64_MAX)
        self.rate = reader.required_integer("rate", 0, UINT64_MAX)


class BlockIO:
    """`blockIO`; absent lists are empty ones."""

    __slots__ = (
        "leaf_weight",
        "throttle_read_bps_device",
        "throttle_read_iops_device",
        "throttle_write_bps_device",
        "throttle_write_iops_device",
        "weight",
        "weight_device",
    )

    def __init__(self, reader: Reader) -> None:
        self.weight = reader.integer("weight", 0, UINT16_MAX)
        self.leaf_weight = reader.integer("leafWeight", 0, UINT16_MAX)
        self.weight_device = reader.sections("weightDevice", WeightDevice)
        self.throttle_read_bps_device = reader.sections("throttleReadBpsDevice", ThrottleDevice)
        self.throttle_write_bps_device = reader.sections("throttleWriteBpsDevice", ThrottleDevice)
        self.throttle_read_iops_device = reader.sections("throttleReadIOPSDevice", ThrottleDevice)
        self.throttle_write_iops_device = reader.sections("throttleWriteIOPSDevice", ThrottleDevice)


class HugepageLimit:
    """An entry of `hugepageLimits`: page_size as `2MB`, limit in bytes."""

    __slots__ = ("limit", "page_size")

    def __init__(self, reader: Reader) -> None:
        self.page_size = reader.required_text("pageSize")
        self.limit = reader.required_integer("limit", 0, UINT64_MAX)


class InterfacePriority:
    """An entry of `network.priorities`."""

    __slots__ = ("name", "priority")

    def __init__(self, reader: Reader) -> None:
        self.name = reader.required_text("name")
        self.priority = reader.required_integer("priority", 0, UINT32_MAX)


class Network:
    """`network` (cgroup v1 only); an absent list of priorities is an empty one."""

    __slots__ = ("class_id", "priorities")

    def __init__(self, reader: Reader) -> None:
        self.class_id = reader.integer("classID", 0, UINT32_MAX)
        self.priorities = reader.sections("priorities", InterfacePriority)


class Pids:
    """`pids`: limit below zero is no limit, 0 is a real limit (since 1.3.0; `Config` knows the version)."""

    __slots__ = ("limit",)

    def __init__(self, reader: Reader) -> None:
        self.limit = reader.integer("limit", INT64_MIN, INT64_MAX)


class Rdma:
    """A value of `rdma`; at least one of the two is set."""

    __slots__ = ("hca_handles", "hca_objects")

    def __init__(self, reader: Reader) -> None:
        self.hca_handles = reader.integer("hcaHandles", 0, UINT32_MAX)
        self.hca_objects = reader.integer("hcaObjects", 0, UINT32_MAX)


class Resources:
    """`linux.resources`. An absent section is None; absent lists and maps are empty ones.

    rdma: device name -> Rdma. unified: file name in the cgroup v2 directory -> text to write. pointer: of itself.
    """

    __slots__ = (
        "block_io", "cpu", "devices", "hugepage_limits", "memory", "network", "pids", "pointer", "rdma",
        "unified",
    )  # fmt: skip

    def __init__(self, reader: Reader) -> None:
        self.pointer = reader.pointer
        self.devices = reader.sections("devices", DeviceRule)
        self.memory = reader.section("memory", Memory)
        self.cpu = reader.section("cpu", CPU)
        self.block_io = reader.section("blockIO", BlockIO)
        self.hugepage_limits = reader.sections("hugepageLimits", HugepageLimit)
        self.network = reader.section("network", Network)
        self.pids = reader.section("pids", Pids)
        self.rdma = reader.section_map("rdma", Rdma)
        self.unified = reader.text_map("unified")
