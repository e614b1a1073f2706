"""Rules across the fields of `linux.resources` (config-linux.md, "Control groups")."""

from pyrunc.errors import ConfigError, token

from .reader import shown
from .resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def resources_problems(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """Every violation in the resources that stand at `pointer`."""
    for rule in RULES:
        yield from rule(resources, pointer)


def is_component(name: str) -> bool:
    """Whether `name` may become one component of a path: no `/`, not `.` or `..`, no leading `-`, no control
    character (a newline would end a line of a kernel file)."""
    return bool(name) and name not in (".", "..") and name[0] != "-" and "/" not in name and name.isprintable()


def _device_access_is_a_set_of_rwm(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    for i, rule in enumerate(resources.devices):
        access = rule.access
        if access is not None and (not set(access) <= set("rwm") or len(set(access)) != len(access)):
            yield ConfigError(
                f"access {shown(access)} must consist of `r`, `w` and `m`", pointer=f"{pointer}/devices/{i}/access"
            )


def _burst_fits_into_the_quota(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, `burst`: MUST be no larger than any positive quota."""
    cpu = resources.cpu
    if cpu is not None and cpu.burst is not None and cpu.quota is not None and 0 < cpu.quota < cpu.burst:
        yield ConfigError(f"burst {cpu.burst} is above the quota {cpu.quota}", pointer=f"{pointer}/cpu/burst")


def _weight_devices_have_a_weight(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, `weightDevice`: at least one of the two MUST be given."""
    for i, device in enumerate(resources.block_io.weight_device if resources.block_io is not None else ()):
        if device.weight is None and device.leaf_weight is None:
            yield ConfigError("neither weight nor leafWeight is set", pointer=f"{pointer}/blockIO/weightDevice/{i}")


def _rdma_entries_have_a_limit(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, "RDMA": at least one of the two MUST be given. The name stands before a space in rdma.max."""
    for name, limit in resources.rdma.items():
        at = f"{pointer}/rdma/{token(name)}"
        if not is_component(name) or " " in name:
            yield ConfigError(f"{shown(name)} is not a valid device name", pointer=at)
        if limit.hca_handles is None and limit.hca_objects is None:
            yield ConfigError("neither hcaHandles nor hcaObjects is set", pointer=at)


def _page_sizes_are_sizes(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """config-linux.md, `pageSize`: <size><unit-prefix>B; the text becomes part of a file's name."""
    seen = set()
    for i, limit in enumerate(resources.hugepage_limits):
        at = f"{pointer}/hugepageLimits/{i}/pageSize"
        number, unit = limit.page_size[:-2], limit.page_size[-2:]
        if not (number.isascii() and number.isdigit() and number[0] != "0" and unit in ("KB", "MB", "GB")):
            yield ConfigError(f"{shown(limit.page_size)} is not a page size such as `2MB` or `1GB`", pointer=at)
        if limit.page_size in seen:
            yield ConfigError(f"{shown(limit.page_size)} has more than one limit", pointer=at)
        seen.add(limit.page_size)


def _unified_keys_are_files(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    """A key is a file of the container's own cgroup: CONTROLLER.PARAMETER, without a directory."""
    for key in resources.unified:
        controller, _, parameter = key.partition(".")
        if not (is_component(key) and controller and parameter):
            yield ConfigError(
                f"{shown(key)} is not the name of a cgroup file such as `memory.high`",
                pointer=f"{pointer}/unified/{token(key)}",
            )


# What these files do is no limit: they move, stop or kill processes, in create those that make the container.
_ACTIONS = {
    "cgroup.freeze": "`pause` stops a container, and a frozen container could not be started",
    "cgroup.kill": "`kill --all` kills what is in a cgroup",
    "cgroup.procs": "it moves processes",
    "cgroup.threads": "it moves threads",
}


def _unified_keys_are_settings(resources: Resources, pointer: str) -> "Iterator[ConfigError]":
    for key in resources.unified:
        if key in _ACTIONS:
            text = f"`{key}` is not a setting: {_ACTIONS[key]}"
            yield ConfigError(text, pointer=f"{pointer}/unified/{token(key)}")


RULES = (
    _device_access_is_a_set_of_rwm,
    _burst_fits_into_the_quota,
    _weight_devices_have_a_weight,
    _rdma_entries_have_a_limit,
    _page_sizes_are_sizes,
    _unified_keys_are_files,
    _unified_keys_are_settings,
)
