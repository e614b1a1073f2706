"""Rules across the fields of `linux` (config-linux.md): one function per rule, each yields its violations."""

from pyrunc.errors import ConfigError, token

from .linux import RANGES_MAX, IDMapping, Linux
from .reader import UINT32_MAX, shown
from .rules_process import is_number_list
from .rules_resources import is_component, resources_problems
from .rules_seccomp import seccomp_problems
from .sysctl import sysctl_namespace, sysctl_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCKS = frozenset(("monotonic", "boottime"))  # time_namespaces(7)
NANOSECONDS = 10**9
MAJOR_MAX, MINOR_MAX = 2**12 - 1, 2**20 - 1  # include/linux/kdev_t.h, MINORBITS
INTERFACE_NAME_MAX = 15  # IFNAMSIZ with its NUL is 16 (netdevice(7))


def linux_problems(linux: Linux) -> "Iterator[ConfigError]":
    """Every violation in `linux`."""
    for rule in RULES:
        yield from rule(linux)
    if linux.resources is not None:
        yield from resources_problems(linux.resources, "/linux/resources")
    if linux.seccomp is not None:
        yield from seccomp_problems(linux.seccomp, "/linux/seccomp")


def _namespace_types_are_unique(linux: Linux) -> "Iterator[ConfigError]":
    """config-linux.md, "Namespaces": a duplicated type MUST be an error."""
    seen = set()
    for i, namespace in enumerate(linux.namespaces):
        if namespace.type in seen:
            yield ConfigError(f"duplicate `{namespace.type}` namespace", pointer=f"/linux/namespaces/{i}/type")
        seen.add(namespace.type)


def _namespace_paths_are_absolute(linux: Linux) -> "Iterator[ConfigError]":
    for i, namespace in enumerate(linux.namespaces):
        if namespace.path is not None and not namespace.path.startswith("/"):
            yield ConfigError(f"{shown(namespace.path)} is not an absolute path", pointer=f"/linux/namespaces/{i}/path")


def _mappings_need_a_user_namespace(linux: Linux) -> "Iterator[ConfigError]":
    """With the path of a user namespace mappings may stand beside it (containerd does so): whether they are those of
    that namespace is seen when it is opened."""
    if linux.namespace("user") is not None:
        return
    for key, mappings in _mappings(linux):
        if mappings:
            yield ConfigError(f"{key} need a namespace of type `user`", pointer=f"/linux/{key}")


def _new_user_namespaces_need_both_mappings(linux: Linux) -> "Iterator[ConfigError]":
    """Both or none of them: without any `planning.idmaps` chooses, as crun does."""
    user = linux.namespace("user")
    if user is None or user.path is not None or not (linux.uid_mappings or linux.gid_mappings):
        return
    for key, mappings in _mappings(linux):
        if not mappings:
            yield ConfigError(f"a new user namespace needs {key}, too", pointer=f"/linux/{key}")


def _mappings(linux: Linux) -> tuple[tuple[str, list[IDMapping]], tuple[str, list[IDMapping]]]:
    return (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings))


def _mapping_ranges_are_ids(linux: Linux) -> "Iterator[ConfigError]":
    for key, mappings in _mappings(linux):
        yield from mapping_problems(mappings, f"/linux/{key}")


def mapping_problems(mappings: list[IDMapping], pointer: str) -> "Iterator[ConfigError]":
    """user_namespaces(7): of at most 340 ranges, none is empty, runs past the last id, or overlaps another."""
    if len(mappings) > RANGES_MAX:
        yield ConfigError(f"{len(mappings)} ranges, where the kernel takes {RANGES_MAX} at most", pointer=pointer)
        return
    for i, mapping in enumerate(mappings):
        at = f"{pointer}/{i}"
        if mapping.size == 0:
            yield ConfigError("the size of a mapping must not be 0", pointer=f"{at}/size")
        for key, first in (("containerID", mapping.container_id), ("hostID", mapping.host_id)):
            if first + mapping.size > UINT32_MAX:  # the last value is "no id"
                yield ConfigError(f"{mapping.size} ids from {first} go past the last id", pointer=f"{at}/{key}")
    for key, firsts in (("containerID", [m.container_id for m in mappings]), ("hostID", [m.host_id for m in mappings])):
        order = sorted(range(len(mappings)), key=firsts.__getitem__)
        for position in range(1, len(order)):
            before, after = order[position - 1 : position + 1]
            if firsts[before] + mappings[before].size > firsts[after]:
                yield ConfigError(
                    f"the range from {firsts[after]} overlaps the one from {firsts[before]}",
                    pointer=f"{pointer}/{after}/{key}",
                )


def _time_offsets_need_a_new_time_namespace(linux: Linux) -> "Iterator[ConfigError]":
    """time_namespaces(7): offsets can only be written before the first process enters the namespace."""
    if not linux.time_offsets:
        return
    namespace = linux.namespace("time")
    if namespace is None:
        yield ConfigError("timeOffsets need a namespace of type `time`", pointer="/linux/timeOffsets")
    elif namespace.path is not None:
        yield ConfigError("timeOffsets cannot be set in a joined time namespace", pointer="/linux/timeOffsets")
    for clock, offset in linux.time_offsets.items():
        at = f"/linux/timeOffsets/{token(clock)}"
        if clock not in CLOCKS:
            yield ConfigError(f"unknown clock {shown(clock)}, expected `boottime` or `monotonic`", pointer=at)
        if offset.nanosecs >= NANOSECONDS:
            yield ConfigError(
                f"nanosecs {offset.nanosecs} is not below {NANOSECONDS} (one second)", pointer=f"{at}/nanosecs"
            )


def _devices_are_complete(linux: Linux) -> "Iterator[ConfigError]":
    """config-linux.md, "Devices": the full path; major and minor REQUIRED unless the type is `p`."""
    for i, device in enumerate(linux.devices):
        at = f"/linux/devices/{i}"
        if not device.path.startswith("/"):
            yield ConfigError(f"{shown(device.path)} is not an absolute path", pointer=f"{at}/path")
        if device.type == "p":
            continue
        for key, value, high in (("major", device.major, MAJOR_MAX), ("minor", device.minor, MINOR_MAX)):
            if value is None:
                yield ConfigError(f"a device of type `{device.type}` needs `{key}`", pointer=f"{at}/{key}")
            elif not 0 <= value <= high:
                yield ConfigError(f"{key} {value} is not from 0 to {high}", pointer=f"{at}/{key}")


def _devices_of_one_path_are_the_same(linux: Linux) -> "Iterator[ConfigError]":
    """config-linux.md, "Devices": a file at the path that is not the requested device MUST be an error."""
    seen: dict[str, tuple[str, int | None, int | None]] = {}
    for i, device in enumerate(linux.devices):
        numbers = ("c" if device.type == "u" else device.type, device.major, device.minor)
        if seen.setdefault(device.path, numbers) != numbers:
            yield ConfigError(f"{shown(device.path)} is already a different device", pointer=f"/linux/devices/{i}")


def _net_devices_need_a_network_namespace(linux: Linux) -> "Iterator[ConfigError]":
    if linux.net_devices and linux.namespace("network") is None:
        yield ConfigError("netDevices need a namespace of type `network`", pointer="/linux/netDevices")


def _net_devices_have_interface_names(linux: Linux) -> "Iterator[ConfigError]":
    """The kernel's dev_valid_name(); `%d` in the new name is for the kernel to fill."""
    names: set[str] = set()
    for outside, device in linux.net_devices.items():
        at = f"/linux/netDevices/{token(outside)}"
        if not is_interface_name(outside):
            yield ConfigError(f"{shown(outside)} is not a valid network interface name", pointer=at)
        inside = device.name or outside
        if not is_interface_name(inside):
            yield ConfigError(f"{shown(inside)} is not a valid network interface name", pointer=f"{at}/name")
        elif "%d" not in inside and inside in names:
            yield ConfigError(f"duplicate interface name {shown(inside)}", pointer=f"{at}/name")
        names.add(inside)


def is_interface_name(name: str) -> bool:
    """Whether the kernel takes `name` for a network interface (net/core/dev.c, dev_valid_name)."""
    size = len(name.encode("utf-8", "replace"))
    if not 1 <= size <= INTERFACE_NAME_MAX or name in (".", ".."):
        return False
    return not any(c in "/:" or c.isspace() for c in name)


def _paths_are_absolute(linux: Linux) -> "Iterator[ConfigError]":
    """config-linux.md, "Masked Paths" and "Readonly Paths"."""
    for key, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        for i, path in enumerate(paths):
            if not path.startswith("/"):
                yield ConfigError(f"{shown(path)} is not an absolute path", pointer=f"/linux/{key}/{i}")
            elif key == "maskedPaths" and not path.strip("/"):
                yield ConfigError("the root itself cannot be masked", pointer=f"/linux/{key}/{i}")


def _what_changes_mounts_needs_a_mount_namespace(linux: Linux) -> "Iterator[ConfigError]":
    """Masking would otherwise hide the host's own files; and the propagation would be that of a mount of the host's."""
    if linux.namespace("mount") is not None:
        return
    for key, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        if paths:
            yield ConfigError(f"{key} need a namespace of type `mount`", pointer=f"/linux/{key}")
    if linux.rootfs_propagation is not None:
        text = "rootfsPropagation needs a namespace of type `mount`"
        yield ConfigError(text, pointer="/linux/rootfsPropagation")


def _sysctls_belong_to_the_container(linux: Linux) -> "Iterator[ConfigError]":
    """Only files of a namespace that the container does not share with the runtime may be written."""
    for key in linux.sysctl:
        at = f"/linux/sysctl/{token(key)}"
        path = sysctl_path(key)
        if path is None:
            yield ConfigError(f"{shown(key)} does not name a file below /proc/sys", pointer=at)
            continue
        if path == "kernel/hostname":
            yield ConfigError(f"{shown(key)} is set by `hostname`", pointer=at)
            continue
        namespace = sysctl_namespace(path)
        if namespace is None:
            yield ConfigError(f"{shown(key)} is not namespaced and cannot be set for one container", pointer=at)
        elif linux.namespace(namespace) is None:
            yield ConfigError(f"{shown(key)} needs a namespace of type `{namespace}`", pointer=at)


def _cgroups_path_stays_below_the_cgroup_root(linux: Linux) -> "Iterator[ConfigError]":
    path = linux.cgroups_path
    if path is not None and ".." in path.split("/"):
        yield ConfigError(f"cgroupsPath {shown(path)} must not contain `..`", pointer="/linux/cgroupsPath")


def _resctrl_values_are_safe(linux: Linux) -> "Iterator[ConfigError]":
    """closID becomes a directory's name (`/` is the root group); memBwSchema MUST start with `MB:`, without newline;
    a line of schemata has none either."""
    rdt = linux.intel_rdt
    if rdt is None:
        return
    if rdt.clos_id is not None and rdt.clos_id != "/" and not is_component(rdt.clos_id):
        yield ConfigError(f"closID {shown(rdt.clos_id)} is not a name", pointer="/linux/intelRdt/closID")
    for i, line in enumerate(rdt.schemata or ()):
        if "\n" in line or ":" not in line:
            text = f"{shown(line)} is not one line such as `L3:0=7f0;1=1f`"
            yield ConfigError(text, pointer=f"/linux/intelRdt/schemata/{i}")
    schema = rdt.mem_bw_schema
    if schema is not None and (not schema.startswith("MB:") or "\n" in schema):
        yield ConfigError(
            f"memBwSchema {shown(schema)} is not one line that starts with `MB:`", pointer="/linux/intelRdt/memBwSchema"
        )


def _memory_policy_nodes_fit_the_mode(linux: Linux) -> "Iterator[ConfigError]":
    """set_mempolicy(2): MPOL_DEFAULT and MPOL_LOCAL take no nodes; MPOL_PREFERRED may, the others must have some.
    config-linux.md words the nodes as a list of numbers and ranges."""
    policy = linux.memory_policy
    if policy is None:
        return
    at = "/linux/memoryPolicy"
    if policy.nodes is None:
        if policy.mode not in ("MPOL_DEFAULT", "MPOL_LOCAL", "MPOL_PREFERRED"):
            yield ConfigError(f"{policy.mode} needs `nodes`", pointer=f"{at}/nodes")
    elif policy.mode in ("MPOL_DEFAULT", "MPOL_LOCAL"):
        yield ConfigError(f"{policy.mode} does not take nodes, got {shown(policy.nodes)}", pointer=f"{at}/nodes")
    elif not is_number_list(policy.nodes):
        yield ConfigError(f"{shown(policy.nodes)} is not a list of nodes such as `0-1,3`", pointer=f"{at}/nodes")
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= set(policy.flags):
        yield ConfigError("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES are mutually exclusive", pointer=f"{at}/flags")


def linux_warnings(linux: Linux) -> "Iterator[str]":
    """What is accepted and has no effect."""
    if linux.personality is not None and linux.personality.flags:
        yield "personality flags have no effect (/linux/personality/flags)"


RULES = (
    _namespace_types_are_unique,
    _namespace_paths_are_absolute,
    _mappings_need_a_user_namespace,
    _new_user_namespaces_need_both_mappings,
    _mapping_ranges_are_ids,
    _time_offsets_need_a_new_time_namespace,
    _devices_are_complete,
    _devices_of_one_path_are_the_same,
    _net_devices_need_a_network_namespace,
    _net_devices_have_interface_names,
    _paths_are_absolute,
    _what_changes_mounts_needs_a_mount_namespace,
    _sysctls_belong_to_the_container,
    _cgroups_path_stays_below_the_cgroup_root,
    _resctrl_values_are_safe,
    _memory_policy_nodes_fit_the_mode,
)
