"""From `linux.cgroupsPath` to the name of a container's cgroup (config-linux.md, "Cgroups Path"). Pure."""

from pyrunc.errors import ConfigError

_LONGEST_UNIT = 255  # systemd's UNIT_NAME_MAX less the final NUL
_UNIT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")


class Unit:
    """A systemd unit, `name`, the slice that it lies in, and the address of its manager's bus."""

    __slots__ = ("address", "name", "slice")

    def __init__(self, slice_: str, name: str, address: str) -> None:
        self.slice, self.name, self.address = slice_, name, address

    @property
    def words(self) -> "list[str]":
        """What it is made of again, for the journal and the state."""
        return [self.slice, self.name, self.address]


def fs_path(configured: str, container_id: str, own: "str | None" = None) -> str:
    """The path of a cgroup below the mount of the hierarchy, for the manager that makes directories itself.

    own: the cgroup of an unprivileged caller. A relative path then starts beside it: its own parent, because a cgroup
    with processes (the caller) cannot limit children, as in runc. For root it starts at the top.
    """
    if ":" in configured and not configured.startswith("/"):
        hint = "use --systemd-cgroup"
        raise ConfigError(f"`{configured}` is in systemd's form", hint=hint)
    names = [name for name in configured.split("/") if name not in {"", "."}]
    if ".." in names:
        raise ConfigError(f"cgroupsPath `{configured}` must not contain `..`")
    if not names:
        names = [container_id]
    above = own.rpartition("/")[0] if own and not configured.startswith("/") else ""
    return f"{above}/{'/'.join(names)}"


def unit(configured: str, container_id: str, address: str = "", *, user: bool = False) -> Unit:
    """The unit that `SLICE:PREFIX:NAME` names: the scope `PREFIX-NAME.scope`, or NAME itself if it ends in `.slice`.

    Without a slice it lies in system.slice, in the user's own manager (`user`) in user.slice. "" takes the id as name.
    """
    parts = configured.split(":") if configured else ["", "pyrunc", container_id]
    if len(parts) != 3 or configured.startswith("/"):
        raise ConfigError(
            f"`{configured}` is not of the form SLICE:PREFIX:NAME, which systemd needs",
            hint="leave out --systemd-cgroup if it is a path",
        )  # fmt: skip
    slice_, prefix, name = parts
    name = name or container_id
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    slice_ = slice_ or ("user.slice" if user else "system.slice")
    _check_slice(slice_)
    if set(name) - _UNIT_CHARACTERS or len(name) > _LONGEST_UNIT or name.startswith("."):
        raise ConfigError(f"`{name}` is not a valid unit name", hint="see systemd.unit(5)")
    return Unit(slice_, name, address)


def _check_slice(name: str) -> None:
    """systemd.slice(5): words joined by `-`, each a slice inside the one before; `-.slice` is the root."""
    stem = name.removesuffix(".slice")
    if name in {"-", "-.slice"}:
        return
    if stem == name or not all(stem.split("-")) or set(stem) - _UNIT_CHARACTERS:
        hint = "it consists of words joined by `-`, followed by `.slice`"
        raise ConfigError(f"`{name}` is not a valid slice name", hint=hint)
