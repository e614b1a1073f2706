"""`process` of config.json: the program, its user, its terminal and its limits (config.md, "Process")."""

from pyrunc.words import IO_PRIORITY_CLASSES, SCHEDULER_FLAGS, SCHEDULER_POLICIES

from .reader import INT32_MAX, INT32_MIN, PROCESS_ID_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX, Reader

RLIMITS = frozenset(
    (
        "RLIMIT_AS",
        "RLIMIT_CORE",
        "RLIMIT_CPU",
        "RLIMIT_DATA",
        "RLIMIT_FSIZE",
        "RLIMIT_LOCKS",
        "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_NOFILE",
        "RLIMIT_NPROC",
        "RLIMIT_RSS",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING",
        "RLIMIT_STACK",
    )
)
"""getrlimit(2)."""

OOM_SCORE_ADJ_MAX = 1000  # proc(5), /proc/PID/oom_score_adj: -1000 to 1000
NICE_MIN, NICE_MAX = -20, 19  # sched(7)
IO_PRIORITY_MAX = 7  # ioprio_set(2)


class User:
    """`process.user`: ids inside the container. names_gid: whether the config has a gid; it is 0 otherwise. umask None:
    0022, as with runc and crun, whatever the caller's is (config.md has it inherited, and no engine expects it)."""

    __slots__ = ("additional_gids", "gid", "names_gid", "uid", "umask")

    def __init__(self, reader: Reader) -> None:
        self.uid = reader.required_integer("uid", 0, PROCESS_ID_MAX)
        gid = reader.integer("gid", 0, PROCESS_ID_MAX)
        self.gid, self.names_gid = gid or 0, gid is not None
        self.umask = reader.integer("umask", 0, UINT32_MAX)
        self.additional_gids = reader.integers("additionalGids", 0, PROCESS_ID_MAX)


class ConsoleSize:
    """`process.consoleSize` in characters; struct winsize holds 16 bits each (ioctl_tty(2))."""

    __slots__ = ("height", "width")

    def __init__(self, reader: Reader) -> None:
        self.height = reader.required_integer("height", 0, UINT16_MAX)
        self.width = reader.required_integer("width", 0, UINT16_MAX)


class Rlimit:
    """An entry of `process.rlimits`. type: a name of getrlimit(2); UINT64_MAX is RLIM_INFINITY."""

    __slots__ = ("hard", "soft", "type")

    def __init__(self, reader: Reader) -> None:
        self.type = reader.required_enum("type", RLIMITS)
        self.soft = reader.required_integer("soft", 0, UINT64_MAX)
        self.hard = reader.required_integer("hard", 0, UINT64_MAX)


class Capabilities:
    """`process.capabilities`: five sets as lists of names; an absent set is an empty one. Names are not checked here:
    one that the kernel does not know is a warning (config.md: MUST warn, SHOULD NOT fail)."""

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted")

    def __init__(self, reader: Reader) -> None:
        self.bounding = reader.texts("bounding")
        self.effective = reader.texts("effective")
        self.inheritable = reader.texts("inheritable")
        self.permitted = reader.texts("permitted")
        self.ambient = reader.texts("ambient")


class Scheduler:
    """`process.scheduler`: the arguments of sched_setattr(2). Times in nanoseconds."""

    __slots__ = ("deadline", "flags", "nice", "period", "policy", "priority", "runtime")

    def __init__(self, reader: Reader) -> None:
        self.policy = reader.required_enum("policy", SCHEDULER_POLICIES)
        self.nice = reader.integer("nice", NICE_MIN, NICE_MAX)
        self.priority = reader.integer("priority", INT32_MIN, INT32_MAX)
        self.flags = reader.enums("flags", SCHEDULER_FLAGS)
        self.runtime = reader.integer("runtime", 0, UINT64_MAX)
        self.deadline = reader.integer("deadline", 0, UINT64_MAX)
        self.period = reader.integer("period", 0, UINT64_MAX)


class IOPriority:
    """`process.ioPriority`: ioprio_set(2). `class_` is the key `class`; a priority that is absent is 0, as for Go."""

    __slots__ = ("class_", "priority")

    def __init__(self, reader: Reader) -> None:
        self.class_ = reader.required_enum("class", IO_PRIORITY_CLASSES)
        self.priority = reader.integer("priority", 0, IO_PRIORITY_MAX) or 0


class CPUAffinity:
    """`process.execCPUAffinity`: CPU lists for `exec`, before (`initial`) and after (`final`) entering the cgroup."""

    __slots__ = ("final", "initial")

    def __init__(self, reader: Reader) -> None:
        self.initial = reader.text("initial")
        self.final = reader.text("final")


class Process:
    """`process`.

    args has at least one entry. env, rlimits: an absent list is an empty one. An absent user is uid 0, gid 0 (as all
    runtimes do). capabilities None: no set was given. oom_score_adj None: it MUST NOT be changed.
    """

    __slots__ = (
        "apparmor_profile",
        "args",
        "capabilities",
        "console_size",
        "cwd",
        "env",
        "exec_cpu_affinity",
        "io_priority",
        "no_new_privileges",
        "oom_score_adj",
        "rlimits",
        "scheduler",
        "selinux_label",
        "terminal",
        "user",
    )

    exists = True

    def __init__(self, reader: Reader) -> None:
        self.terminal = reader.flag("terminal")
        self.console_size = reader.section("consoleSize", ConsoleSize)
        self.user = reader.section("user", User) or ROOT_USER
        self.args = reader.required_texts("args")
        self.env = reader.texts("env")
        self.cwd = reader.required_text("cwd")
        self.capabilities = reader.section("capabilities", Capabilities)
        self.rlimits = reader.sections("rlimits", Rlimit)
        self.no_new_privileges = reader.flag("noNewPrivileges")
        self.apparmor_profile = reader.text("apparmorProfile")
        self.selinux_label = reader.text("selinuxLabel")
        self.oom_score_adj = reader.integer("oomScoreAdj", -OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX)
        self.scheduler = reader.section("scheduler", Scheduler)
        self.io_priority = reader.section("ioPriority", IOPriority)
        self.exec_cpu_affinity = reader.section("execCPUAffinity", CPUAffinity)

    def environment(self, more: "list[str] | None" = None) -> list[str]:
        """`env` and more entries; of a name that is given twice the last value counts, as runc has it."""
        return list({entry.partition("=")[0]: entry for entry in [*self.env, *(more or ())]}.values())


class NoProcess(Process):
    """Of a configuration without one, which `create` accepts: root, asking for nothing; `start` is an error."""

    __slots__ = ()

    exists = False

    def __init__(self) -> None:
        super().__init__(Reader({"args": [""], "cwd": "/"}, "/process"))


ROOT_USER = User(Reader({"uid": 0, "gid": 0}, "/process/user"))
