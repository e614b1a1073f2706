"""Rules across the sections of config.json, and those of mounts and hooks: one function per rule.

The reader has checked types, ranges and enums before; a rule sees a typed value and yields a ConfigError for each
violation, so that `create` can stop at the first and `validate` can list them all.

    rules            mounts, hooks, names, annotations; runs the rest
    rules_process    process                rules_linux      linux (with sysctl)
    rules_resources  linux.resources        rules_seccomp    linux.seccomp
"""

from pyrunc.errors import ConfigError
from pyrunc.words import MOUNTABLE_BELOW_PROC

from .annotations import annotation_problems
from .linux import RANGES_MAX
from .reader import one_of, shown
from .rules_linux import linux_problems, linux_warnings, mapping_problems
from .rules_process import process_problems, process_warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config import Config, Hooks, Mount

_NEVER_RECURSIVE = frozenset(("rasync", "rdirsync", "rmand", "rnomand", "rsync"))  # crun 1.29 lists them as features
NAME_MAX = 64  # uname(2): __NEW_UTS_LEN


def config_problems(config: "Config") -> "Iterator[ConfigError]":
    """Every violation in the configuration."""
    if config.process.exists:
        yield from process_problems(config.process, "/process")
    yield from mount_problems(config.mounts)
    yield from hook_problems(config.hooks)
    yield from linux_problems(config.linux)
    yield from _id_mapped_mounts_have_a_mapping(config)
    yield from _names_need_a_uts_namespace(config)
    yield from _annotation_keys_are_not_empty(config)
    yield from annotation_problems(config.annotations)


def config_warnings(config: "Config") -> "Iterator[str]":
    """What the runtime accepts and the author should know."""
    if config.process.exists:
        yield from process_warnings(config.process, "/process")
    for i, mount in enumerate(config.mounts):
        if not mount.destination.startswith("/"):
            yield f"the relative destination {shown(mount.destination)} is relative to / (/mounts/{i}/destination)"
    yield from linux_warnings(config.linux)
    if config.keeps_groups and config.process.user.additional_gids:
        yield "additional groups are ignored: an annotation keeps the caller's groups (/process/user/additionalGids)"


def mount_problems(mounts: "list[Mount]") -> "Iterator[ConfigError]":
    """Every violation in `mounts`."""
    for i, mount in enumerate(mounts):
        yield from _proc_stays_a_procfs(mount, f"/mounts/{i}")
        yield from _file_system_options_are_not_recursive(mount, f"/mounts/{i}")
        yield from _id_mapped_mounts_have_both_mappings(mount, f"/mounts/{i}")


def _proc_stays_a_procfs(mount: "Mount", pointer: str) -> "Iterator[ConfigError]":
    """A false /proc would make the runtime write labels and settings into files of the image (CVE-2015-3627,
    CVE-2019-16884). Whether a bind mount on /proc brings a procfs is seen when its source is opened."""
    destination = resolved(mount.destination)
    at = f"{pointer}/destination"
    if destination == "/proc":
        if mount.type != "proc" and not mount.bind:
            yield ConfigError(
                f"only a `proc` file system or a bind mount of one goes on /proc, not {shown(mount.type or '')}",
                pointer=at,
            )
    elif destination.startswith("/proc/") and destination not in MOUNTABLE_BELOW_PROC:
        yield ConfigError(
            f"{shown(destination)} is inside /proc, where a mount may only cover {one_of(MOUNTABLE_BELOW_PROC)}",
            pointer=at,
        )


def resolved(path: str) -> str:
    """`path` from `/`, without empty, `.` and `..` components; symbolic links are not looked at."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _file_system_options_are_not_recursive(mount: "Mount", pointer: str) -> "Iterator[ConfigError]":
    """mount_setattr(2) has no attribute for them. crun's flags for them are other attributes there; runc tells the file
    system, and a bind mount, which has its source's, nothing."""
    for i, word in enumerate(mount.options):
        if word in _NEVER_RECURSIVE:
            yield ConfigError(
                f"`{word}` is not supported: `{word[1:]}` is an option of a file system, not of a mount",
                pointer=f"{pointer}/options/{i}",
                hint="leave it out" if mount.bind else f"write `{word[1:]}` for this file system alone",
            )


def _id_mapped_mounts_have_both_mappings(mount: "Mount", pointer: str) -> "Iterator[ConfigError]":
    """config.md, "Mounts": if one of uidMappings and gidMappings is given, the other MUST be."""
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        absent = "gidMappings" if mount.uid_mappings else "uidMappings"
        yield ConfigError(
            f"uidMappings and gidMappings must be given together: {absent} is missing", pointer=f"{pointer}/{absent}"
        )
    yield from mapping_problems(mount.uid_mappings, f"{pointer}/uidMappings")
    yield from mapping_problems(mount.gid_mappings, f"{pointer}/gidMappings")


def _id_mapped_mounts_have_a_mapping(config: "Config") -> "Iterator[ConfigError]":
    """config.md, "idmap": of its own, or the container's user namespace; otherwise an error MUST be returned."""
    linux = config.linux
    if max(len(linux.uid_mappings), len(linux.gid_mappings)) > RANGES_MAX:
        return  # which has been told; each mount would go through all of them
    for i, mount in enumerate(config.mounts):
        if mount.id_mapped:
            from pyrunc.wings.idmapped.mappings import mapping_of

            try:
                mapping_of(mount, linux, f"/mounts/{i}")
            except ConfigError as error:
                yield error


def hook_problems(hooks: "Hooks") -> "Iterator[ConfigError]":
    """config.md, "POSIX-platform Hooks": the path MUST be absolute."""
    for key, entries in hooks.named():
        for i, hook in enumerate(entries):
            if not hook.path.startswith("/"):
                yield ConfigError(f"{shown(hook.path)} is not an absolute path", pointer=f"/hooks/{key}/{i}/path")


def _names_need_a_uts_namespace(config: "Config") -> "Iterator[ConfigError]":
    """Without one the host itself would be renamed."""
    for key, name in (("hostname", config.hostname), ("domainname", config.domainname)):
        if name is None:
            continue
        if config.linux.namespace("uts") is None:
            yield ConfigError(f"{key} {shown(name)} needs a namespace of type `uts`", pointer=f"/{key}")
        if len(name.encode("utf-8", "replace")) > NAME_MAX:
            yield ConfigError(f"{key} {shown(name)} is longer than {NAME_MAX} bytes", pointer=f"/{key}")


def _annotation_keys_are_not_empty(config: "Config") -> "Iterator[ConfigError]":
    """config.md, "Annotations": keys MUST NOT be an empty string."""
    if "" in config.annotations:
        yield ConfigError("an annotation's name must not be empty", pointer="/annotations/")
