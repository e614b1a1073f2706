"""What the container's cgroup shall be, with either manager."""

from pyrunc.cgroup import manager, names
from pyrunc.errors import ConfigError, within
from pyrunc.spec import annotations
from pyrunc.spec import config as spec

from .facts import HostFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyrunc.cgroup.values import Setting

    from .container import CreateOptions

    Warn = Callable[[str], None]


def planned(
    config: spec.Config, options: "CreateOptions", host: HostFacts, owner: "tuple[int, int] | None", warn: "Warn"
) -> manager.Want:
    """The cgroup; owner: uid and gid that it is delegated to. Limits without the means to set them are an error."""
    resources = config.linux.resources
    settings: list[Setting] = []
    if resources is not None:
        from pyrunc.cgroup import values

        settings = values.settings(resources, warn)
    want = manager.Want(options.cgroup_manager, settings, None)
    if host.privileged:  # whoever is not may attach no device filter, and cannot mknod
        from pyrunc.cgroup import devices

        listed = resources.devices if resources is not None else ()
        want.asks_for_devices = bool(listed)
        want.devices_pointer = "/linux/resources/devices"
        want.devices = devices.rules(listed, want.devices_pointer) if listed else devices.rules_without_any(
            config.linux.devices
        )
    configured = config.linux.cgroups_path or ""
    want.pointer = "/linux/cgroupsPath" if configured else ""
    if want.manager == manager.CGROUPFS:
        with within("/linux/cgroupsPath"):
            want.path = names.fs_path(configured, options.container_id, None if host.privileged else host.cgroup)
    elif want.manager == manager.SYSTEMD:
        _scope(want, config, options, configured, user=not host.privileged)
    elif settings:
        raise ConfigError(
            "limits cannot be set with --cgroup-manager disabled", pointer=settings[0].pointer
        )
    want.leaf = _leaf(config.annotations, options.cgroup_manager)
    want.owner = owner
    return want


def _leaf(words: "Mapping[str, str]", cgroup_manager: str) -> str:
    """Where below its cgroup the container's processes are; limits stay above, out of a delegated cgroup's reach."""
    names = [annotations.SYSTEMD_SUBGROUP] if cgroup_manager == manager.SYSTEMD else []
    parts = [words[name] for name in (*names, annotations.DELEGATED_CGROUP) if words.get(name)]
    if parts and cgroup_manager == manager.DISABLED:
        text = "no cgroup can be delegated with --cgroup-manager disabled"
        raise ConfigError(text, pointer=f"/annotations/{annotations.DELEGATED_CGROUP}")
    return "".join(f"/{part}" for part in parts)


def _scope(want: manager.Want, config: spec.Config, options: "CreateOptions", configured: str, *, user: bool) -> None:
    from pyrunc.wings.systemd import properties, scopes

    address = scopes.address(options.environment, user=user)
    with within("/linux/cgroupsPath"):
        want.unit = names.unit(configured, options.container_id, address, user=user)
    want.settings = properties.held(want.settings)
    want.at_creation = properties.of_creation(want.settings)
    want.properties = properties.of_settings(want.settings)
    with within("/annotations"):
        want.properties += properties.of_annotations(config.annotations)


def is_mounted_writable(config: spec.Config) -> bool:
    """Whether the container has the files of its cgroup to write to."""
    return any(mount.type in ("cgroup", "cgroup2") and "ro" not in mount.options for mount in config.mounts)
