"""pyrunc update: change the limits of a container while it runs."""

from pyrunc import jsontext
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.bundle import read_given
from pyrunc.cgroup import devices, limits, manager, values
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError, UsageError, within
from pyrunc.spec.config import parse_resources
from pyrunc.spec.resources import Resources

# option -> (section and key of linux.resources, help)
_NUMBERS = {
    "blkio-weight": ("blockIO", "weight", "block I/O weight, 10 to 1000"),
    "cpu-period": ("cpu", "period", "CPU period in microseconds"),
    "cpu-quota": ("cpu", "quota", "CPU time per period in microseconds, -1 for no limit"),
    "cpu-burst": ("cpu", "burst", "unused CPU time that may accumulate, in microseconds"),
    "cpu-rt-period": ("cpu", "realtimePeriod", "cgroup v1 only"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", "cgroup v1 only"),
    "cpu-share": ("cpu", "shares", "CPU shares, 2 to 262144"),
    "cpu-idle": ("cpu", "idle", "1: run only when the CPU is idle"),
    "memory": ("memory", "limit", "memory limit in bytes (or 512m, 2g), -1 for no limit"),
    "memory-reservation": ("memory", "reservation", "memory reservation (soft limit) in bytes"),
    "memory-swap": ("memory", "swap", "limit of memory plus swap in bytes, -1 for no limit"),
    "kernel-memory": ("memory", "kernel", "cgroup v1 only"),
    "kernel-memory-tcp": ("memory", "kernelTCP", "cgroup v1 only"),
    "pids-limit": ("pids", "limit", "number of processes and threads, -1 for no limit"),
}
_TEXTS = {
    "cpuset-cpus": ("cpu", "cpus", "CPUs, such as 0-3,7"),
    "cpuset-mems": ("cpu", "mems", "memory nodes"),
}
_SCHEMAS = {
    "l3-cache-schema": "Intel RDT: the schema of the L3 cache, such as L3:0=7f0;1=1f",
    "mem-bw-schema": "Intel RDT: the schema of memory bandwidth, such as MB:0=20;1=70",
}
_POINTER = "/linux/resources"
_SUFFIXES = {"k": 10, "m": 20, "g": 30, "t": 40}
_MOST_DIGITS = 25  # 64 bits have 20

VERB = Verb(
    "update the resource limits of a container",
    ("ID",),
    (
        Option("resources", "read linux.resources from FILE as JSON, - for standard input", "FILE", "r"),
        *(Option(name, text, "NUMBER") for name, (_, _, text) in _NUMBERS.items()),
        *(Option(name, text, "LIST") for name, (_, _, text) in _TEXTS.items()),
        *(Option(name, text, "SCHEMA") for name, text in _SCHEMAS.items()),
    ),
)


def run(context: Context, arguments: Arguments) -> int:
    """Write them; all or none."""
    try:
        return _update(context, arguments)
    except PyruncError as error:
        _say_where(error, arguments)
        raise


def _say_where(error: PyruncError, arguments: Arguments) -> None:
    """Where the value stands that an error is about: in the file, or in an option."""
    if not error.pointer:
        return
    file, pointer = arguments.text("resources"), error.pointer.removeprefix(_POINTER)
    names = [name for name, (section, key, *_) in (_NUMBERS | _TEXTS).items() if pointer == f"/{section}/{key}"]
    names += [name for name in _SCHEMAS if name in arguments.options and pointer == "/linux/intelRdt"]
    if file and pointer != error.pointer:
        error.about(pointer, "standard input" if file == "-" else file)
    else:
        error.about(", ".join(f"--{name}" for name in names), document="")


def _update(context: Context, arguments: Arguments) -> int:
    resources = _resources(arguments)
    container, state = Container.open_for("update", context.root, arguments.operands[0])
    cgroup = state.own_cgroup("update")
    lines = [arguments.text(name) for name in _SCHEMAS if name in arguments.options]
    if lines and not state.resctrl:
        raise UsageError("the container has no resctrl group: its configuration has no linux.intelRdt")
    settings = values.settings(resources, context.log.warning, limits.current(cgroup))
    manager.update(cgroup, settings, state.unit)
    if resources.devices:
        import posix

        from pyrunc.cgroup import cgroupfs

        directory = cgroupfs.enter(cgroup)
        pointer = f"{resources.pointer}/devices"
        rules = devices.rules(resources.devices, pointer)
        with within(pointer):
            devices.attach(directory, rules)
        posix.close(directory)
    if lines:
        from pyrunc.wings import resctrl

        with within("/linux/intelRdt"):
            resctrl.write_schemata(state.resctrl, lines)  # also of a group that others are in: the caller named it
    container.unlock()
    return 0


def _resources(arguments: Arguments) -> Resources:
    """From the file, or from the options; of both, the file counts, as in runc."""
    source = arguments.text("resources")
    if source:
        path = "/dev/stdin" if source == "-" else source
        return parse_resources(jsontext.loads(read_given(source), path), _POINTER)
    value: dict[str, dict[str, object]] = {}
    for name, (section, key, _) in _NUMBERS.items():
        if name in arguments.options:
            value.setdefault(section, {})[key] = _number(name, arguments.text(name))
    for name, (section, key, _) in _TEXTS.items():
        if name in arguments.options:
            value.setdefault(section, {})[key] = arguments.text(name)
    return parse_resources(value, _POINTER)


def _number(name: str, text: str) -> int:
    digits, shift = text, 0
    if text[-1:].lower() in _SUFFIXES and name.startswith(("memory", "kernel")):
        digits, shift = text[:-1], _SUFFIXES[text[-1].lower()]
    if not (digits.isascii() and digits.removeprefix("-").isdecimal() and len(digits) < _MOST_DIGITS):
        size = ", or one with a suffix k, m, g or t" if name.startswith(("memory", "kernel")) else ""
        raise UsageError(f"invalid value `{text}` for flag -{name}: expected an integer{size}")
    return int(digits) << shift
