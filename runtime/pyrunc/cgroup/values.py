"""From `linux.resources` to the files of a cgroup v2 directory (config-linux.md, "Control groups"; the kernel's
Documentation/admin-guide/cgroup-v2.rst). Pure: each conversion stands here once and serves both managers and `update`.

`settings()` gives a list of Setting in the order in which the kernel must see them. A resource is any object with the
attributes of `pyrunc.spec.resources`; None is "leave alone", and so is 0 where callers cannot say None (memory limits,
cpu shares, quota, period and I/O weights, as in runc).
"""

from pyrunc.errors import ConfigError, token, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Current = Callable[[str], "str | None"]
    Warn = Callable[[str], None]

MAX = "max"
DEFAULT_PERIOD = 100_000  # microseconds; cgroup-v2.rst, cpu.max
_MIN_SHARES, _MAX_SHARES = 2, 262_144  # of cgroup v1
_MAX_WEIGHT = 10_000  # cpu.weight and io.weight: 1 to 10000, 100 is the default
_THROTTLES = (
    ("throttle_read_bps_device", "throttleReadBpsDevice", "rbps"),
    ("throttle_write_bps_device", "throttleWriteBpsDevice", "wbps"),
    ("throttle_read_iops_device", "throttleReadIOPSDevice", "riops"),
    ("throttle_write_iops_device", "throttleWriteIOPSDevice", "wiops"),
)


class Setting:
    """One text to write into one file of the cgroup.

    optional: the file may be missing (its limit is then no limit anyway). alternative: what to write if it is missing.
    """

    __slots__ = ("alternative", "file", "optional", "pointer", "value")

    def __init__(
        self, file: str, value: str, pointer: str, *, optional: bool = False, alternative: "Setting | None" = None
    ) -> None:
        self.file, self.value, self.pointer = file, value, pointer
        self.optional, self.alternative = optional, alternative

    @property
    def controller(self) -> str:
        """The controller whose file it is; "" for the core's own, cgroup.*."""
        name = self.file.partition(".")[0]
        return "" if name == "cgroup" else name


def settings(resources: "Any", warn: "Warn", current: "Current | None" = None) -> "list[Setting]":
    """What to write, in order; `current(file)` is a file's present text (`update`), None where there is no such file.

    `warn` hears of what cgroup v2 cannot do and the peers ignore. Raises ConfigError for what must not be ignored.
    """
    with within(resources.pointer):
        result = _settings(resources, lambda text: warn(resources.pointer + text), current or _nothing)
    for setting in result:
        setting.pointer = resources.pointer + setting.pointer
        if setting.alternative is not None:
            setting.alternative.pointer = setting.pointer
    return result


def _settings(resources: "Any", warn: "Warn", now: "Current") -> "list[Setting]":
    """With pointers into `resources`."""
    result: list[Setting] = []
    for section, convert in ((resources.memory, _memory), (resources.cpu, _cpu), (resources.block_io, _block_io)):
        if section is not None:
            result += convert(section, warn, now)
    if resources.pids is not None and resources.pids.limit is not None:
        result.append(Setting("pids.max", number(resources.pids.limit), "/pids/limit"))
    result += _hugepages(resources.hugepage_limits)
    result += _rdma(resources.rdma)
    _refuse_network(resources.network)
    result += _unified(resources.unified)
    return result


def controllers(wanted: "list[Setting]") -> "dict[str, str]":
    """The controllers that the settings need, each with the JSON pointer of the first setting that needs it."""
    result: dict[str, str] = {}
    for setting in wanted:
        if setting.controller and not setting.optional:
            result.setdefault(setting.controller, setting.pointer)
    return result


def _nothing(_: str) -> "str | None":
    return None


def number(value: int) -> str:
    """A limit as the kernel words it: below zero is no limit."""
    return MAX if value < 0 else str(value)


def members(text: str) -> "list[int]":
    """The numbers of a list of CPUs or memory nodes such as `0-2,5`, rising. Raises ValueError."""
    mask = member_mask(text)
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def member_mask(text: str) -> int:
    """The same as a number, CPU or node N being its bit N. Raises ValueError."""
    mask = 0
    if len(text) > _LONGEST_LIST:
        raise ValueError("too many CPUs or memory nodes")
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if part.strip():
            low, high = int(first), int(last if dash else first)
            if not 0 <= low <= high < _MOST_MEMBERS:
                raise ValueError(f"{part[:40]} is not a range of CPUs or memory nodes")
            mask |= (2 << high) - (1 << low)
    return mask


_LONGEST_LIST = _MOST_MEMBERS = 1 << 16  # no kernel has as many, and a file of a cgroup takes a page


# -- memory -----------------------------------------------------------------------------------------------------------


def swap_max(limit: "int | None", swap: "int | None") -> "int | None":
    """memory.swap.max in bytes: the spec's `swap` counts memory and swap together. None: leave alone.

    No limit of memory alone also lifts that of swap, as in cgroup v1 where the second may not be below the first.
    Raises ValueError without a usable limit.
    """
    if not swap:
        return -1 if limit is not None and limit < 0 else None
    if swap < 0 or (limit is not None and limit < 0):
        return swap
    if not limit:
        raise ValueError("`swap` is the limit of memory plus swap, so it needs `limit`")
    if swap < limit:
        raise ValueError(f"`swap` ({swap}) is the limit of memory plus swap, so it must not be below `limit` ({limit})")
    return swap - limit


def _memory(memory: "Any", warn: "Warn", now: "Current") -> "list[Setting]":
    _memory_of_v1(memory, warn)
    known = memory.limit or _amount(now("memory.max"))
    try:
        # Without a swap to compute, an update of one limit leaves the other alone.
        swap = swap_max(known if memory.swap else memory.limit, memory.swap)
    except ValueError as error:
        raise ConfigError(str(error), pointer="/memory/swap") from None
    if memory.check_before_update:
        _check_usage(memory, now)
    limits = [Setting("memory.max", number(memory.limit), "/memory/limit")] if memory.limit else []
    if swap is not None:
        # A kernel without swap accounting has no such file, and no swap either that could be forbidden or allowed.
        limits.append(Setting("memory.swap.max", number(swap), "/memory/swap", optional=swap <= 0))
    if not _raises(memory.limit, now("memory.max")):
        limits.reverse()  # lower swap first: reclaim for a lower limit must not fill what is about to be forbidden
    if memory.reservation:
        limits.append(Setting("memory.low", number(memory.reservation), "/memory/reservation"))
    return limits


def _memory_of_v1(memory: "Any", warn: "Warn") -> None:
    if memory.disable_oom_killer:
        raise ConfigError("cgroup v2 cannot disable the OOM killer", pointer="/memory/disableOOMKiller")
    for key, value in (
        ("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp), ("swappiness", memory.swappiness),
    ):  # fmt: skip
        if value is not None:
            warn(f"/memory/{key} is ignored: it exists in cgroup v1 only")
    if memory.use_hierarchy is False:
        warn("/memory/useHierarchy is ignored: cgroup v2 is always hierarchical")


def _check_usage(memory: "Any", now: "Current") -> None:
    usage = int(now("memory.current") or 0)
    for key, limit in (("limit", memory.limit), ("swap", memory.swap)):
        if limit is not None and 0 < limit <= usage:
            raise ConfigError(
                f"the memory limit {limit} is not above the usage, {usage}", pointer=f"/memory/{key}",
                hint="raise it, or set checkBeforeUpdate to false",
            )  # fmt: skip


def _amount(text: "str | None") -> "int | None":
    if text is None or not text.strip():
        return None
    return -1 if text.strip() == MAX else int(text)


def _raises(limit: "int | None", present: "str | None") -> bool:
    """Whether `limit` is above the present one; a fresh cgroup has no limit, so nothing is."""
    old = _amount(present)
    return limit is not None and old is not None and old >= 0 and (limit < 0 or limit > old)


# -- cpu --------------------------------------------------------------------------------------------------------------


def shares_to_weight(shares: int) -> int:
    """cpu.weight for the `shares` of cgroup v1: 2 is 1, 1024 is 100, 262144 is 10000, a parabola of the logarithms
    between them (the formula that runc 1.3.2 and crun 1.23 share). 0 is "leave alone"."""
    if shares == 0:
        return 0
    if shares <= _MIN_SHARES:
        return 1
    if shares >= _MAX_SHARES:
        return _MAX_WEIGHT
    import math

    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def cpu_max(quota: "int | None", period: "int | None", present: "str | None" = None) -> "str | None":
    """cpu.max, "QUOTA PERIOD" in microseconds; what is not given (None or 0) stays as it is in `present`."""
    if not quota and not period:
        return None
    old_quota, old_period = (present.split() if present else None) or (MAX, str(DEFAULT_PERIOD))
    return f"{number(quota) if quota else old_quota} {period or old_period}"


def _cpu(cpu: "Any", warn: "Warn", now: "Current") -> "list[Setting]":
    for key, value in (("realtimeRuntime", cpu.realtime_runtime), ("realtimePeriod", cpu.realtime_period)):
        if value:
            raise ConfigError("cgroup v2 does not support realtime limits", pointer=f"/cpu/{key}")
    result = []
    if cpu.idle is not None:
        result.append(Setting("cpu.idle", str(cpu.idle), "/cpu/idle"))
    if cpu.shares and cpu.idle:
        warn("/cpu/shares is ignored: an idle cgroup has no weight")
    elif cpu.shares:  # after cpu.idle: the kernel refuses to weigh an idle cgroup
        result.append(Setting("cpu.weight", str(shares_to_weight(cpu.shares)), "/cpu/shares"))
    result += _bandwidth(cpu, now)
    for file, text, key in (("cpuset.cpus", cpu.cpus, "cpus"), ("cpuset.mems", cpu.mems, "mems")):
        if text:
            result.append(Setting(file, text, f"/cpu/{key}"))
    return result


def _bandwidth(cpu: "Any", now: "Current") -> "Iterator[Setting]":
    """cpu.max and cpu.max.burst; the kernel wants burst <= quota at every moment."""
    text = cpu_max(cpu.quota, cpu.period, now("cpu.max"))
    key = "quota" if cpu.quota else "period"
    quota = [] if text is None else [Setting("cpu.max", text, f"/cpu/{key}")]
    burst = [] if cpu.burst is None else [Setting("cpu.max.burst", str(cpu.burst), "/cpu/burst")]
    lowers = cpu.burst is not None and cpu.burst <= int(now("cpu.max.burst") or 0)
    yield from burst + quota if lowers else quota + burst


# -- the rest ---------------------------------------------------------------------------------------------------------


def blkio_to_io_weight(weight: int) -> int:
    """io.weight (1 to 10000) for blkio.weight (10 to 1000), linear."""
    return 1 + (weight - 10) * 9999 // 990 if weight else 0


def _block_io(block_io: "Any", warn: "Warn", _: "Current") -> "list[Setting]":
    result = []
    if block_io.leaf_weight:
        warn("/blockIO/leafWeight is ignored: it exists in cgroup v1 only")
    if block_io.weight:
        result.append(_weight("", block_io.weight, "/blockIO/weight"))
    for i, device in enumerate(block_io.weight_device):
        pointer = f"/blockIO/weightDevice/{i}"
        if device.leaf_weight:
            warn(f"{pointer}/leafWeight is ignored: it exists in cgroup v1 only")
        if device.weight:
            result.append(_weight(f"{device.major}:{device.minor} ", device.weight, pointer))
    for attribute, key, word in _THROTTLES:
        for i, device in enumerate(getattr(block_io, attribute)):
            # 0 was "no limit" in cgroup v1; io.max refuses it.
            text = f"{device.major}:{device.minor} {word}={device.rate or MAX}"
            result.append(Setting("io.max", text, f"/blockIO/{key}/{i}"))
    return result


def _weight(device: str, weight: int, pointer: str) -> Setting:
    """BFQ's own file takes the number as it is; where that scheduler is not in use, io.weight is of another scale."""
    alternative = Setting("io.weight", f"{device or 'default '}{blkio_to_io_weight(weight)}", pointer)
    return Setting("io.bfq.weight", f"{device}{weight}", pointer, alternative=alternative)


def _hugepages(limits: "Any") -> "Iterator[Setting]":
    for i, entry in enumerate(limits):
        prefix, pointer = f"hugetlb.{entry.page_size}", f"/hugepageLimits/{i}"
        # config-linux.md: reservations first; Linux 5.7.
        yield Setting(f"{prefix}.rsvd.max", str(entry.limit), pointer, optional=True)
        yield Setting(f"{prefix}.max", str(entry.limit), pointer)


def _rdma(devices: "Any") -> "Iterator[Setting]":
    for name, limit in devices.items():
        words = [name]
        for word, value in (("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)):
            if value is not None:
                words.append(f"{word}={value}")
        yield Setting("rdma.max", " ".join(words), f"/rdma/{token(name)}")


def _refuse_network(network: "Any") -> None:
    if network is not None and (network.class_id or network.priorities):
        key = "classID" if network.class_id else "priorities"
        raise ConfigError("cgroup v2 does not support network classes and priorities", pointer=f"/network/{key}")


def _unified(files: "dict[str, str]") -> "Iterator[Setting]":
    """Last, so that they win over what was converted; one write a line, as files with a line a device need it."""
    for name, text in files.items():
        if "/" in name or name.startswith("."):
            raise ConfigError(f"`{name}` is not the name of a cgroup file", pointer=f"/unified/{token(name)}")
        for line in text.strip().splitlines() or [""]:
            yield Setting(name, line.strip(), f"/unified/{name}")
