"""What the container's cgroup shall be, with either manager."""

from pyrunc.cgroup import manager, names
from pyrunc.errors import ConfigError, within
from pyrunc.spec import annotations
from pyrunc.spec import config as spec

from .facts import HostFacts
from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pyrunc.cgroup.devices import Rule
    from pyrunc.cgroup.values import Setting
    from pyrunc.wings.systemd.properties import Property

    from .container import CreateOptions

    Warn = Callable[[str], None]

_DEVICES, _PATH = "/linux/resources/devices", "/linux/cgroupsPath"


def planned(
    config: spec.Config, options: "CreateOptions", host: HostFacts, owner: "tuple[int, int] | None", warn: "Warn"
) -> manager.Want:
    """The cgroup; owner: uid and gid that it is delegated to. Limits without the means to set them are an error."""
    resources, configured = config.linux.resources, config.linux.cgroups_path or ""
    settings: list[Setting] = []
    if resources is not None:
        from pyrunc.cgroup import values

        settings = values.settings(resources, warn)
    rules, asks_for_devices = _devices(config) if host.privileged else (None, False)
    path, unit = "", None
    of_systemd: Sequence[Property] = ()
    at_creation: Sequence[Property] = ()
    if options.cgroup_manager == manager.CGROUPFS:
        with within(_PATH):
            path = names.fs_path(configured, options.container_id, None if host.privileged else host.cgroup)
    elif options.cgroup_manager == manager.SYSTEMD:
        from pyrunc.wings.systemd import properties, scopes

        user = not host.privileged
        address = scopes.address(options.environment, user=user)
        with within(_PATH):
            unit = names.unit(configured, options.container_id, address, user=user)
        settings = properties.held(settings)
        at_creation = _tuples(properties.of_creation(settings))
        with within("/annotations"):
            of_systemd = _tuples([*properties.of_settings(settings), *properties.of_annotations(config.annotations)])
    elif settings:
        raise ConfigError("limits cannot be set with --cgroup-manager disabled", pointer=settings[0].pointer)
    return freeze(manager.Want(
        options.cgroup_manager, tuple(map(_frozen, settings)), rules, asks_for_devices=asks_for_devices,
        devices_pointer=_DEVICES, path=path, pointer=_PATH if configured else "", unit=unit and freeze(unit),
        properties=of_systemd, at_creation=at_creation, leaf=_leaf(config.annotations, options.cgroup_manager),
        owner=owner,
    ))  # fmt: skip


def _devices(config: spec.Config) -> "tuple[tuple[Rule, ...], bool]":
    """The rules, and whether the config asks for them. Only for root of the host: whoever is not may attach no device
    filter, and cannot mknod."""
    from pyrunc.cgroup import devices

    listed = config.linux.resources.devices if config.linux.resources is not None else ()
    rules = devices.rules(listed, _DEVICES) if listed else devices.rules_without_any(config.linux.devices)
    return tuple(map(freeze, rules)), bool(listed)


def _frozen(setting: "Setting") -> "Setting":
    if setting.alternative is not None:
        freeze(setting.alternative)
    return freeze(setting)


def _tuples(value: "Any") -> "Any":
    """The same without lists, at any depth."""
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _leaf(words: "Mapping[str, str]", cgroup_manager: str) -> str:
    """Where below its cgroup the container's processes are; limits stay above, out of a delegated cgroup's reach."""
    names = [annotations.SYSTEMD_SUBGROUP] if cgroup_manager == manager.SYSTEMD else []
    parts = [words[name] for name in (*names, annotations.DELEGATED_CGROUP) if words.get(name)]
    if parts and cgroup_manager == manager.DISABLED:
        text = "no cgroup can be delegated with --cgroup-manager disabled"
        raise ConfigError(text, pointer=f"/annotations/{annotations.DELEGATED_CGROUP}")
    return "".join(f"/{part}" for part in parts)


def is_mounted_writable(config: spec.Config) -> bool:
    """Whether the container has the files of its cgroup to write to."""
    return any(mount.type in ("cgroup", "cgroup2") and "ro" not in mount.options for mount in config.mounts)
