"""Usage of a cgroup as `events --stats` prints it: the form of runc's types/events.go, which containerd reads.

It was made for cgroup v1, so that v2's numbers are translated: times from microseconds to nanoseconds, swap counts
memory and swap together, and "max" is the largest number of 64 bits. Zeros are left out where runc leaves them out.
"""

from pyrunc.cgroup.interface_files import directory, read
from pyrunc.cgroup.values import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    Data = dict[str, object]

NO_LIMIT = 2**64 - 1


def stats(path: str) -> "Data":
    """The `data` of an event of type "stats" for a cgroup. A file that is missing counts as zero."""
    where = directory(path)
    return {
        "cpu": _cpu(where),
        "cpuset": _cpuset(where),
        "memory": _memory(where),
        "pids": _filled({"current": _number(f"{where}/pids.current"), "limit": _limit(f"{where}/pids.max")}),
        "blkio": _block_io(where),
        "hugetlb": _hugepages(where),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def counters(text: "str | None") -> "dict[str, int]":
    """The numbers of a flat keyed file ("KEY VALUE" lines); empty for None."""
    pairs = [line.split() for line in (text or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _number(file: str) -> int:
    text = read(file)
    return _amount(text) if text else 0


def _amount(text: str) -> int:
    return NO_LIMIT if text.strip() == "max" else int(text)


def _limit(file: str) -> int:
    """A limit, 0 for none: what runc prints for pids."""
    value = _number(file)
    return 0 if value == NO_LIMIT else value


def _filled(values: "dict[str, int]", always: "tuple[str, ...]" = ()) -> "Data":
    return {key: value for key, value in values.items() if value or key in always}


def _cpu(where: str) -> "Data":
    found = counters(read(f"{where}/cpu.stat"))
    usage = {
        "total": found.get("usage_usec", 0) * 1000,
        "kernel": found.get("system_usec", 0) * 1000,
        "user": found.get("user_usec", 0) * 1000,
    }
    throttling = {
        "periods": found.get("nr_periods", 0),
        "throttledPeriods": found.get("nr_throttled", 0),
        "throttledTime": found.get("throttled_usec", 0) * 1000,
    }
    result: Data = {"usage": _filled(usage, ("kernel", "user")), "throttling": _filled(throttling)}
    return result | _pressure(f"{where}/cpu.pressure")


def _cpuset(where: str) -> "Data":
    flags = (
        "cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page", "memory_spread_slab",
        "memory_pressure", "sched_load_balance", "sched_relax_domain_level",
    )  # fmt: skip
    lists = {key: members(read(f"{where}/cpuset.{key}") or "") for key in ("cpus", "mems")}
    result: Data = {key: value for key, value in lists.items() if value}
    return result | dict.fromkeys(flags, 0)  # they are of cgroup v1


def _memory(where: str) -> "Data":
    raw = counters(read(f"{where}/memory.stat"))
    failures = counters(read(f"{where}/memory.events")).get("max", 0)
    memory = {
        "limit": _number(f"{where}/memory.max"),
        "usage": _number(f"{where}/memory.current"),
        "max": _number(f"{where}/memory.peak"),  # Linux 5.19
        "failcnt": failures,
    }
    limit, usage = _number(f"{where}/memory.swap.max"), _number(f"{where}/memory.swap.current")
    both = {
        "limit": limit if limit == NO_LIMIT else min(limit + memory["limit"], NO_LIMIT),
        "usage": usage + memory["usage"],
        "failcnt": counters(read(f"{where}/memory.swap.events")).get("fail", 0),
    }
    always = ("limit", "failcnt")
    nothing = {"limit": 0, "failcnt": 0}
    result: Data = _filled({"cache": raw.get("file", 0)})
    result |= {"usage": _filled(memory, always), "swap": _filled(both, always), "kernel": nothing, "kernelTCP": nothing}
    if raw:
        result["raw"] = raw
    return result | _pressure(f"{where}/memory.pressure")


_IO_WORDS = (
    ("ioServiceBytesRecursive", (("rbytes", "Read"), ("wbytes", "Write"))),
    ("ioServicedRecursive", (("rios", "Read"), ("wios", "Write"))),
)


def _block_io(where: str) -> "Data":
    devices = [_device(line) for line in (read(f"{where}/io.stat") or "").splitlines()]
    result: Data = {}
    for key, words in _IO_WORDS:
        entries = [
            {**numbered, "op": operation, **_filled({"value": values[word]})}
            for numbered, values in devices
            for word, operation in words
            if word in values
        ]
        if entries:
            result[key] = entries
    return result | _pressure(f"{where}/io.pressure")


def _device(line: str) -> "tuple[Data, dict[str, int]]":
    """(numbers of the device, counters) of "8:0 rbytes=1 wbytes=2 ..."."""
    device, *words = line.split()
    major, _, minor = device.partition(":")
    pairs = [word.partition("=") for word in words]
    values = {key: int(value) for key, _, value in pairs if value.isdecimal()}
    return _filled({"major": int(major), "minor": int(minor)}), values


def _hugepages(where: str) -> "Data":
    import posix

    result: Data = {}
    for name in sorted(posix.listdir(where)):
        if name.startswith("hugetlb.") and name.endswith(".current") and ".rsvd." not in name:
            size = name.split(".")[1]
            prefix = f"{where}/hugetlb.{size}"
            failures = counters(read(f"{prefix}.events")).get("max", 0)
            result[size] = _filled({"usage": _number(f"{prefix}.current"), "failcnt": failures}, ("failcnt",))
    return result


def _pressure(file: str) -> "Data":
    """{"psi": {"some": ..., "full": ...}} of a pressure file; empty where the kernel keeps none (CONFIG_PSI)."""
    try:
        text = read(file)
    except OSError:  # EOPNOTSUPP at open(2) with psi=0 on the kernel's command line
        return {}
    result: Data = {}
    for line in (text or "").splitlines():
        kind, *words = line.split()
        pairs = [word.partition("=") for word in words]
        result[kind] = {key: int(value) if key == "total" else float(value) for key, _, value in pairs}
    return {"psi": result} if result else {}
