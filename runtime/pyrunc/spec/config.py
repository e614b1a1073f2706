"""config.json as a value (runtime-spec 1.3.0, config.md), and the entry points that read and check it."""

from pyrunc.errors import ConfigError

from . import annotations
from .linux import IDMapping, Linux
from .process import NoProcess, Process
from .reader import INT64_MAX, Reader, shown
from .resources import UNLIMITED, Resources
from .rules import config_problems, config_warnings
from .rules_process import process_problems
from .rules_resources import resources_problems

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Root:
    """`root`: path is absolute or relative to the bundle."""

    __slots__ = ("path", "readonly")

    def __init__(self, reader: Reader) -> None:
        self.path = reader.required_text("path")
        self.readonly = reader.flag("readonly")


class Mount:
    """An entry of `mounts`. It is a bind mount if its options say so, whatever the type. Absent lists are empty ones.

    uid_mappings and gid_mappings: both or none; set for an id-mapped mount.
    """

    __slots__ = ("destination", "gid_mappings", "options", "source", "type", "uid_mappings")

    def __init__(self, reader: Reader) -> None:
        self.destination = reader.required_text("destination")
        self.type = reader.text("type")
        self.source = reader.text("source")
        self.options = reader.texts("options")
        self.uid_mappings = reader.sections("uidMappings", IDMapping)
        self.gid_mappings = reader.sections("gidMappings", IDMapping)

    @property
    def bind(self) -> bool:
        """Whether this is a bind mount (config.md, "Mounts")."""
        return "bind" in self.options or "rbind" in self.options

    @property
    def id_mapped(self) -> bool:
        """Whether `idmapped.mapping_of` has something to read."""
        return bool(self.uid_mappings) or any(word.startswith(("idmap", "ridmap")) for word in self.options)


class Hook:
    """A hook. args: argv, empty for the default of `[path]`. env None: the runtime's own environment, which an empty
    list is not. timeout in seconds."""

    __slots__ = ("args", "env", "path", "timeout")

    def __init__(self, reader: Reader) -> None:
        self.path = reader.required_text("path")
        self.args = reader.texts("args")
        self.env = reader.texts("env") if reader.has("env") else None
        self.timeout = reader.integer("timeout", 1, INT64_MAX)


class Hooks:
    """`hooks`: six lists in the order in which they run; an absent list is an empty one."""

    __slots__ = ("create_container", "create_runtime", "poststart", "poststop", "prestart", "start_container")

    def __init__(self, reader: Reader) -> None:
        self.prestart = reader.sections("prestart", Hook)
        self.create_runtime = reader.sections("createRuntime", Hook)
        self.create_container = reader.sections("createContainer", Hook)
        self.start_container = reader.sections("startContainer", Hook)
        self.poststart = reader.sections("poststart", Hook)
        self.poststop = reader.sections("poststop", Hook)

    def named(self) -> tuple[tuple[str, list[Hook]], ...]:
        """(key in config.json, hooks) in the order in which they run."""
        lists = (self.prestart, self.create_runtime, self.create_container, self.start_container)
        return tuple(zip(HOOKS, (*lists, self.poststart, self.poststop), strict=True))


class Config:
    """config.json. process None: none was given (legal at `create`, not at `start`). hooks and linux are always there:
    absent they are empty. annotations: key -> value. warnings: what is wrong without being an error, one text each."""

    __slots__ = (
        "annotations",
        "domainname",
        "hooks",
        "hostname",
        "linux",
        "mounts",
        "oci_version",
        "process",
        "root",
        "warnings",
    )

    def __init__(self, reader: Reader) -> None:
        self.oci_version = _oci_version(reader)
        self.root = reader.required_section("root", Root)
        self.mounts = reader.sections("mounts", Mount)
        self.process = reader.section("process", Process) or NoProcess()
        self.hostname = reader.text("hostname")
        self.domainname = reader.text("domainname")
        self.hooks = reader.section_or_empty("hooks", Hooks)
        self.annotations = reader.text_map("annotations", nul=True)
        self.linux = reader.section_or_empty("linux", Linux)
        if self.oci_version.split(".")[1] in ("0", "1", "2"):
            _zero_is_no_limit(self.linux.resources)
        self.warnings: list[str] = []
        if (seccomp := self.linux.seccomp) is not None:
            seccomp.strict = annotations.SECCOMP_STRICT in self.annotations
            if seccomp.listener_path is None:
                seccomp.listener_path = self.annotations.get(annotations.SECCOMP_RECEIVER)

    @property
    def keeps_groups(self) -> bool:
        """Whether processes keep the caller's supplementary groups, and get no additionalGids."""
        return self.annotations.get(annotations.KEEP_GROUPS, "0") != "0"


def _oci_version(reader: Reader) -> str:
    """`ociVersion`: a SemVer 2.0.0 version of major 1. A higher minor is accepted: it only adds keys."""
    version = reader.required_text("ociVersion")
    if not _is_semver(version):
        raise ConfigError(f"{shown(version)} is not a SemVer 2.0.0 version such as `1.3.0`", pointer="/ociVersion")
    if not version.startswith("1."):
        raise ConfigError(f"version {shown(version)} is not supported, only 1.x is", pointer="/ociVersion")
    return version


def _zero_is_no_limit(resources: "Resources | None") -> None:
    """What `pids.limit` 0 meant to runtimes before runtime-spec 1.3.0: podman 4 says it for `--pids-limit -1`."""
    if resources is not None and resources.pids is not None and resources.pids.limit == 0:
        resources.pids.limit = UNLIMITED


def _is_semver(version: str) -> bool:
    """Whether `version` follows the grammar of semver.org 2.0.0."""
    rest, _, build = version.partition("+")
    core, dash, pre = rest.partition("-")
    if "+" in version and not all(map(_is_identifier, build.split("."))):
        return False
    if dash and not all(_is_identifier(part) and _no_leading_zero(part) for part in pre.split(".")):
        return False
    numbers = core.split(".")
    return len(numbers) == 3 and all(n.isascii() and n.isdigit() and _no_leading_zero(n) for n in numbers)


def _is_identifier(part: str) -> bool:
    return part.isascii() and part.replace("-", "a").isalnum()  # which "" is not


def _no_leading_zero(part: str) -> bool:
    return not (part.isdigit() and len(part) > 1 and part[0] == "0")


def parse_config(value: object) -> Config:
    """The configuration in `value` (config.json as parsed by `jsontext.loads`); raises the first ConfigError."""
    config = Config(Reader(value, ""))
    for problem in config_problems(config):
        raise problem
    config.warnings = list(config_warnings(config))
    return config


def parse_process(value: object, pointer: str = "") -> Process:
    """The process in `value`, a file of its own as `exec --process` reads it; raises the first ConfigError."""
    process = Process(Reader(value, pointer))
    for problem in process_problems(process, pointer):
        raise problem
    return process


def parse_resources(value: object, pointer: str = "") -> Resources:
    """The limits in `value`, a file of its own as `update --resources` reads it; raises the first ConfigError."""
    resources = Resources(Reader(value, pointer))
    for problem in resources_problems(resources, pointer):
        raise problem
    return resources
