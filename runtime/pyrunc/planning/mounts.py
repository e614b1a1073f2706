"""Mounts of the config, as `kernel.mount.mounts` takes them."""

from pyrunc.errors import ConfigError
from pyrunc.kernel import paths
from pyrunc.kernel.mount import mountoptions
from pyrunc.kernel.mount.mountoptions import Mount
from pyrunc.kernel.syscalls import MS_RDONLY
from pyrunc.spec import annotations

from .facts import HostFacts
from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.spec import config as spec
    from pyrunc.spec.linux import Linux
    from pyrunc.wings.idmapped.mount_userns import MountMap

    Warn = Callable[[str], None]

_PATH_MAX = 4096  # linux/limits.h


def planned(config: "spec.Config", bundle: str, label: str, host: HostFacts, warn: "Warn") -> "list[Mount]":
    """`mounts`, in their order; label: their SELinux context. Raises ConfigError for what cannot be mounted."""
    label_option = config.annotations.get(annotations.MOUNT_CONTEXT_TYPE, "context")
    result = []
    for i, mount in enumerate(config.mounts):
        pointer = f"/mounts/{i}"
        options = mountoptions.parse(mount.options)
        if options.bind and options.data:  # the kernel looks at none of them; crun and runc 1.1 say nothing
            words = ",".join(options.data)
            warn(f"a bind mount has no file system options: `{words}` is ignored ({pointer}/options)")
            options = mountoptions.parse([word for word in mount.options if word not in options.data])
        # What lies in it, such as the devices of /dev, is made first; runc and crun do the same.
        sealed = mount.type == "tmpfs" and bool(options.flags & MS_RDONLY) and not options.bind
        if sealed:
            options = mountoptions.parse(mount.options, writable=True)
        source = mount.source or ""
        if options.bind and not source.startswith("/"):
            if not source:
                raise ConfigError("a bind mount needs a source", pointer=f"{pointer}/source")
            source = f"{bundle}/{source}"
        if not options.bind and not options.remount and not options.propagation and not mount.type:
            raise ConfigError(f"the mount on `{mount.destination}` has no type", pointer=f"{pointer}/type")
        result.append(freeze(Mount(
            source, mount.destination, mount.type or "", freeze(options), label, pointer,
            label_option=label_option, sealed=sealed, mapping=mapping(mount, config.linux, pointer, host),
        )))  # fmt: skip
    return result


def mapping(mount: "spec.Mount", linux: "Linux", pointer: str, host: HostFacts) -> "MountMap | None":
    """The id map of a mount, None if it asks for none."""
    if not mount.id_mapped:
        return None
    from pyrunc.wings.idmapped.mappings import asked_by, mapping_of

    if host.euid != 0:
        raise ConfigError("an id-mapped mount needs root's privilege", pointer=asked_by(mount, pointer)[1])
    from pyrunc.wings.idmapped.mount_userns import MountMap

    wanted = mapping_of(mount, linux, pointer)
    return freeze(MountMap(wanted.uids, wanted.gids, recursive=wanted.recursive)) if wanted else None


def with_earlier(listed: "list[Mount]", rootfs: str) -> "tuple[Mount, ...]":
    """The same, with `earlier` of bind mounts whose source is, or lies in, or has below it what a mount before makes.

    By the names as they are written: a source below the root that no mount covers is the caller's, as any other.
    """
    top = _plain(rootfs) + "/"
    if not any(mount.options.bind and _plain(mount.source).startswith(top) for mount in listed):
        return tuple(listed)
    made: set[str] = set()
    above: set[str] = set()  # the directories on the way to those
    result = []
    for mount in listed:
        source = _plain(mount.source)
        inside = source.removeprefix(top) if mount.options.bind and source.startswith(top) else ""
        if inside and (not made.isdisjoint(_ways(inside)) or (mount.options.recursive and inside in above)):
            result.append(freeze(mount.but(earlier=inside)))
        else:
            result.append(mount)
        if not mount.options.remount:
            *on_the_way, last = _ways(mount.name)
            above.update(on_the_way)
            made.add(last)
    return tuple(result)


def _ways(path: str) -> "list[str]":
    """a, a/b, a/b/c of a/b/c; of what is no path for the kernel, only all."""
    ends = [i for i, character in enumerate(path) if character == "/"] if len(path) < _PATH_MAX else []
    return [path[:end] for end in [*ends, len(path)]]


def _plain(path: str) -> str:
    """A path without what means nothing in it, and relative; "" with `..`, which means what symlinks before it say."""
    parts = paths.components(path)
    return "" if ".." in parts else "/".join(parts)


def of_notify(directory: str) -> Mount:
    """That of the directory with the container's notify socket."""
    from pyrunc.wings.systemd import notify

    source, destination, words = notify.mount(directory)
    return freeze(Mount(source, destination, "bind", freeze(mountoptions.parse(words))))
