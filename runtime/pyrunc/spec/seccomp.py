"""`linux.seccomp`: names as in libseccomp's header (config-linux.md, "Seccomp")."""

from pyrunc.words import SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS

from .reader import UINT32_MAX, UINT64_MAX, Reader

ARCHITECTURES = frozenset(
    (
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_ARM",
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64",
        "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X",
        "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
    )
)

ARGUMENT_INDEX_MAX = 5  # a system call has six arguments (seccomp(2), struct seccomp_data)


class SyscallArgument:
    """An entry of `syscalls[].args`. value_two is the datum of SCMP_CMP_MASKED_EQ, whose `value` is the mask."""

    __slots__ = ("index", "op", "value", "value_two")

    def __init__(self, reader: Reader) -> None:
        self.index = reader.required_integer("index", 0, ARGUMENT_INDEX_MAX)
        self.value = reader.required_integer("value", 0, UINT64_MAX)
        self.value_two = reader.integer("valueTwo", 0, UINT64_MAX)
        self.op = reader.required_enum("op", SECCOMP_OPERATORS)


class SyscallRule:
    """An entry of `syscalls`: all of `args` must match. An absent list of args is an empty one."""

    __slots__ = ("action", "args", "errno_ret", "names")

    def __init__(self, reader: Reader) -> None:
        self.names = reader.required_texts("names")
        self.action = reader.required_enum("action", SECCOMP_ACTIONS)
        self.errno_ret = reader.integer("errnoRet", 0, UINT32_MAX)
        self.args = reader.sections("args", SyscallArgument)


class Seccomp:
    """`linux.seccomp`. Absent lists are empty ones: no further architecture, no rule; `flags` None: the runtime may
    choose its default flags, an empty list asks for none. strict (of an annotation): a rule for a system call that
    libseccomp does not know is an error."""

    __slots__ = (
        "architectures",
        "default_action",
        "default_errno_ret",
        "flags",
        "listener_metadata",
        "listener_path",
        "pointer",
        "strict",
        "syscalls",
    )

    def __init__(self, reader: Reader) -> None:
        self.default_action = reader.required_enum("defaultAction", SECCOMP_ACTIONS)
        self.default_errno_ret = reader.integer("defaultErrnoRet", 0, UINT32_MAX)
        self.architectures = reader.enums("architectures", ARCHITECTURES)
        self.flags = reader.enums("flags", SECCOMP_FLAGS) if reader.has("flags") else None
        self.listener_path = reader.text("listenerPath")
        self.listener_metadata = reader.text("listenerMetadata", nul=True)
        self.syscalls = reader.sections("syscalls", SyscallRule)
        self.strict, self.pointer = False, reader.pointer

    @property
    def notifies(self) -> bool:
        """Whether an agent decides on some calls: only then the filter has a listener (`listenerPath`)."""
        return any(rule.action == "SCMP_ACT_NOTIFY" for rule in self.syscalls)
