"""Properties of a transient systemd unit: from the settings of `values`, and from annotations. Pure.

A property is (name, D-Bus signature, value). What a unit cannot say is written into the cgroup afterwards by `limits`;
what it can say has to be told to systemd too, which would otherwise write its own idea at the next daemon-reload.
"""

from pyrunc.cgroup.values import MAX, Setting, member_mask
from pyrunc.errors import ConfigError, token

from . import gvariant

TYPE_CHECKING = False
if TYPE_CHECKING:
    Property = tuple[str, str, object]

INFINITY = 2**64 - 1  # systemd's CGROUP_LIMIT_MAX and USEC_INFINITY
ANNOTATION = "org.systemd.property."
# What keeps memory from being had, in bytes or as a share: an interpreter may need more than a container's program.
OF_MEMORY = frozenset(f"Memory{which}{form}" for which in ("Max", "High", "SwapMax", "Limit") for form in ("", "Scale"))
_PERCENT = 10_000  # CPUQuotaPerSecUSec is kept in steps of 1 %, in microseconds each second
_LIMITS = {
    "memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight", "io.weight": "IOWeight",
}  # fmt: skip
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}  # systemd 244
_AT_LEAST_ONE = ("MemoryMax", "TasksMax")  # systemd refuses 0 there
SINCE = {"OOMPolicy": 253}  # of a scope: the version of systemd that knows it; set when a unit is made, or never


def held(settings: "list[Setting]") -> "list[Setting]":
    """The settings as a unit can hold them, so that systemd's next writing changes nothing. No process can be forked
    with a limit of 0 or of 1: the one that would fork is the first. (1 byte of memory is 0, in pages.)"""
    return [
        Setting(one.file, "1", one.pointer) if (one.file, one.value) == ("pids.max", "0") else one
        for one in settings
    ]


def of_creation(settings: "list[Setting]") -> "list[Property]":
    """The properties that a unit takes only while it is made. systemd writes memory.oom.group as its policy says."""
    word = {setting.file: setting.value for setting in settings}.get("memory.oom.group", "").strip()
    return [("OOMPolicy", "s", "kill" if word == "1" else "continue")] if word in ("0", "1") else []


def of_settings(settings: "list[Setting]") -> "list[Property]":
    """The properties that say what the settings say; a later setting wins. Raises ConfigError."""
    result: dict[str, Property] = {}
    for setting in settings:
        try:
            found = _of_setting(setting)
            if any(kind == "t" and not 0 <= int(str(amount)) <= INFINITY for _, kind, amount in found):
                raise ValueError("more than D-Bus's number of 64 bits")
        except ValueError:
            raise ConfigError(f"invalid value `{setting.value}` for {setting.file}", pointer=setting.pointer) from None
        result |= {each[0]: each for each in found}
    return list(result.values())


def _of_setting(setting: Setting) -> "list[Property]":
    if setting.file == "io.bfq.weight" and setting.alternative is not None:
        setting = setting.alternative
    if setting.file in _LIMITS:
        name, value = _LIMITS[setting.file], setting.value.removeprefix("default ")
        if " " in value:  # for one device
            return []
        amount = INFINITY if value == MAX else int(value)
        return [(name, "t", max(amount, 1) if name in _AT_LEAST_ONE else amount)]
    if setting.file in _SETS:
        return [(_SETS[setting.file], "ay", bits(setting.value))]
    if setting.file == "cpu.idle" and setting.value == "1":
        return [("CPUWeight", "t", 0)]  # systemd 252
    if setting.file == "cpu.max":
        return quota(setting.value)
    return []


def bits(text: str) -> "list[int]":
    """A list of CPUs or memory nodes as bytes, the lowest number in the lowest bit of the first. Raises ValueError."""
    mask = member_mask(text)
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))


def quota(cpu_max: str) -> "list[Property]":
    """CPUQuotaPerSecUSec and CPUQuotaPeriodUSec (systemd 242) for "QUOTA PERIOD". Raises ValueError."""
    word, *rest = cpu_max.split()
    period = int(rest[0]) if rest else 100_000
    if period <= 0:
        raise ValueError("a period of 0")
    per_second = INFINITY
    if word != MAX:
        # Rounded up to what systemd can store, so that the cgroup below may have the quota that was asked for.
        per_second = -(-int(word) * 1_000_000 // period // _PERCENT) * _PERCENT
    return [("CPUQuotaPeriodUSec", "t", period), ("CPUQuotaPerSecUSec", "t", per_second)]


def of_annotations(annotations: "dict[str, str]") -> "list[Property]":
    """The properties of `org.systemd.property.NAME` annotations, in GVariant text; `NAMESec` becomes `NAMEUSec`."""
    result = []
    for key, text in annotations.items():
        if not key.startswith(ANNOTATION):
            continue
        name = key.removeprefix(ANNOTATION)
        pointer = f"/{token(key)}"
        if len(name) < 3 or not (name.isascii() and name.isalpha()):
            raise ConfigError(f"`{name}` is not a valid name of a systemd property", pointer=pointer)
        try:
            signature, value = gvariant.parse(text)
            if name.endswith("Sec") and name[-4:-3].islower():
                name, signature, value = f"{name[:-3]}USec", "t", _microseconds(value)
        except ValueError as error:
            raise ConfigError(f"`{text}` is not valid GVariant text: {error}", pointer=pointer) from None
        result.append((name, signature, value))
    return result


def _microseconds(seconds: object) -> int:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds < 0:
        raise ValueError("seconds are a number")
    return int(min(seconds * 1_000_000, INFINITY))
