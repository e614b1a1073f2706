"""From the saved config, or a file with a process, and the options of `exec` to an ExecPlan. No system calls.

The process is changed as JSON and read afterwards, so that what an option says passes the same checks as a config.
"""

from pyrunc.errors import UsageError
from pyrunc.kernel import descriptors
from pyrunc.spec.config import Config, parse_process
from pyrunc.spec.reader import PROCESS_ID_MAX

from . import security
from .frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.process import Process

    from .facts import ProcessFacts

_MOST_CPUS = 8192  # CONFIG_NR_CPUS of x86 is no larger


class ExecOptions:
    """What the command line of `exec` says about the process. None: not said."""

    __slots__ = (
        "additional_gids", "apparmor", "args", "capabilities", "cwd", "env", "no_new_privileges", "process_label",
        "terminal", "user",
    )  # fmt: skip

    def __init__(self, args: "list[str]") -> None:
        self.args = args
        self.env: list[str] = []
        self.capabilities: list[str] = []
        self.additional_gids: list[str] = []
        self.cwd = self.user = self.apparmor = self.process_label = ""
        self.terminal: bool | None = None
        self.no_new_privileges: bool | None = None


class ExecPlan:
    """What exec will run, and how it is confined. It does not change. cgroup: below the container's, None for no wish.

    initial_cpus, final_cpus: before and in the cgroup; None for no wish. Without any all that the cgroup has.
    """

    __slots__ = (
        "attributes", "cgroup", "container_id", "env", "filter", "final_cpus", "initial_cpus", "keeps_groups",
        "kept_fds", "keyring", "listener", "memory_policy", "new_keyring", "personality", "process", "profile",
    )  # fmt: skip

    def __init__(
        self, container_id: str, config: Config, process: "Process", preserve_fds: int, host: "ProcessFacts", *,
        new_keyring: bool = True, keyring: str = "", cgroup: "str | None" = None,
    ) -> None:  # fmt: skip
        self.container_id, self.process = container_id, process
        linux = config.linux
        self.personality, self.memory_policy = linux.personality, linux.memory_policy
        self.profile, self.filter = security.profile(config), security.ready_filter(config)
        self.listener = security.listener(config)
        self.attributes = security.attributes(process, host)
        self.env = tuple(process.environment())
        self.kept_fds = descriptors.kept(preserve_fds, {}, host.inherited).count
        self.new_keyring, self.keyring, self.keeps_groups = new_keyring, keyring, config.keeps_groups
        self.cgroup = cgroup
        wanted = process.exec_cpu_affinity
        self.initial_cpus = cpus(wanted.initial) if wanted and wanted.initial else None
        self.final_cpus = cpus(wanted.final) if wanted and wanted.final else None
        freeze(self)


def process_of(base: object, options: ExecOptions) -> "Process":
    """The process to run: `base`, the JSON value of a process, with the options applied. Raises UsageError and
    ConfigError."""
    value: dict[str, object] = dict(base) if isinstance(base, dict) else {"cwd": "/"}
    if options.args:
        value["args"] = options.args
    texts = {"cwd": options.cwd, "apparmorProfile": options.apparmor, "selinuxLabel": options.process_label}
    value.update({key: text for key, text in texts.items() if text})
    switches = {"terminal": options.terminal, "noNewPrivileges": options.no_new_privileges}
    value.update({key: switch for key, switch in switches.items() if switch is not None})
    if options.env:
        value["env"] = [*_list(value, "env"), *map(_assignment, options.env)]
    if options.user or options.additional_gids:
        value["user"] = _user(value, options)
    if options.capabilities:
        value["capabilities"] = _capabilities(value, options.capabilities)
    return parse_process(value, "/process")


def _section(value: "dict[str, object]", key: str) -> "dict[str, object]":
    section = value.get(key)
    return dict(section) if isinstance(section, dict) else {}


def _list(value: "dict[str, object]", key: str) -> "list[object]":
    entries = value.get(key)
    return entries if isinstance(entries, list) else []


def _assignment(text: str) -> str:
    if text.find("=") < 1:
        raise UsageError(f"--env `{text}` is not of the form NAME=value")
    return text


def _user(value: "dict[str, object]", options: ExecOptions) -> "dict[str, object]":
    """The ids. One without the other leaves the config's: `-u 1` says nothing about the group, as in runc."""
    user = {"uid": 0, "gid": 0, **_section(value, "user")}
    if options.user:
        uid, colon, gid = options.user.partition(":")
        user["uid"] = number(uid, f"--user `{options.user}`")
        if colon:
            user["gid"] = number(gid, f"--user `{options.user}`")
    more = [number(text, f"--additional-gids `{text}`") for text in options.additional_gids]
    if more:
        user["additionalGids"] = [*_list(user, "additionalGids"), *more]
    return user


def number(text: str, what: str) -> int:
    """An id in decimal digits and nothing else: names are never looked up in the image (CVE-2016-3697)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= PROCESS_ID_MAX):
        raise UsageError(f"{what} is not a numeric UID[:GID]")
    return int(text)


def _capabilities(value: "dict[str, object]", names: "list[str]") -> "dict[str, object]":
    """Added to three sets. Never to the inheritable one, from which a file could raise them (CVE-2022-27650); to the
    ambient one what the configuration has made inheritable."""
    sets = _section(value, "capabilities")
    wanted = list(map(capability, names))
    for key in ("bounding", "effective", "permitted"):
        sets[key] = [*_list(sets, key), *wanted]
    inheritable = _list(sets, "inheritable")
    if ambient := [name for name in wanted if name in inheritable]:
        sets["ambient"] = [*_list(sets, "ambient"), *ambient]
    return sets


def capability(name: str) -> str:
    """The spec's name of a capability: "net_admin" is CAP_NET_ADMIN."""
    name = name.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"


def cpus(text: str) -> "tuple[int, ...]":
    """The CPUs of a list such as "0-3,7", which has been checked."""
    mask = 0
    for part in text.split(","):
        low, _, high = part.strip(" ").partition("-")
        if int(high or low) >= _MOST_CPUS:
            raise UsageError(f"there is no CPU {high or low}")
        mask |= (2 << int(high or low)) - (1 << int(low))
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


# A hierarchy of cgroup v1, as runc's `--cgroup CONTROLLER:PATH` has it; on v2 runc passes over the whole word.
_OF_V1 = frozenset((
    "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "misc", "name=systemd", "net_cls",
    "net_prio", "perf_event", "pids", "rdma",
))  # fmt: skip
_PATH_ALONE = "give only the path: cgroup v2 has one hierarchy for all controllers"


def sub_cgroup(text: str) -> str:
    """The path of `--cgroup` below the container's cgroup, "/a/b" or "". Raises UsageError."""
    controllers, colon, _ = text.partition(":")
    if colon and _OF_V1.issuperset(controllers.split(",")):
        raise UsageError(f"--cgroup `{text}` names controllers of cgroup v1", hint=_PATH_ALONE)
    names = [name for name in text.split("/") if name]
    if any(name in {".", ".."} or "\0" in name for name in names):
        raise UsageError(f"--cgroup `{text}` must not leave the container's cgroup")
    return "".join(f"/{name}" for name in names)


def check_terminal(process: "Process", *, detach: bool, console_socket: str) -> None:
    """Refuse a terminal that nobody would hold, and a socket for one that is not wanted."""
    if process.terminal and detach and not console_socket:
        raise UsageError("cannot allocate a terminal for a detached process without --console-socket")
    if console_socket and not process.terminal:
        raise UsageError("--console-socket is given, but the process has no terminal; add --tty")
