"""From `linux.seccomp` to a filter for the kernel: libseccomp compiles, a stub goes in front, a cache keeps it.

    filter_of      the one entry: profile -> Filter, out of the cache or compiled anew
    Filter         instructions for seccomp(SECCOMP_SET_MODE_FILTER) and the flags of that call

All of it happens in the command, before there is a container: its init only hands the finished bytes to the kernel.

Where in the life of init: seccomp(2) wants no_new_privs, or CAP_SYS_ADMIN in the process's user namespace. With either
of them at the end the filter is loaded as the last thing before execve, so that of our own system calls only that one
must pass it (and `write` to report that it did not). With neither, the capability has to be kept in the permitted and
effective sets until the filter is loaded, and given up by a capset(2) that the filter must let pass. runc and crun load
it before they change ids then, so that theirs must allow setgroups, setresuid, chdir and more, and hooks run under it.

libseccomp is opened only here, only when a config has a profile (seccomp_init(3) and its neighbours).
"""

import posix
from _struct import pack
from errno import EEXIST, EFAULT, EPERM

from pyrunc.errors import ConfigError, PyruncError, within
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.library import Library
from pyrunc.words import SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS

from . import enosys, filtercache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Argument = tuple[int, str, int, int]  # index, operator (SCMP_CMP_*), value, valueTwo

_ERRNO, _TRACE = "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"
_LARGEST = {_ERRNO: 4094, _TRACE: 0xFFFF}  # libseccomp stops short of the kernel's MAX_ERRNO; SECCOMP_RET_DATA
_NEW_LISTENER, _TSYNC_ESRCH = 8, 16
_DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)  # what runc and crun take for a config without `flags`
SET_MODE_FILTER = 1
_ATTRIBUTE_BAD_ARCH, _ATTRIBUTE_OPTIMIZE = 2, 8  # enum scmp_filter_attr
# A binary tree over the numbers, since libseccomp 2.5: longer to compile, once, and shorter for every call after it.
_LINEAR_OR_TREE = 2
_BPF_MAXINSNS, _INSTRUCTION_SIZE = 4096, 8
_UNKNOWN = -1  # __NR_SCMP_ERROR; other negative numbers are calls that this architecture lacks


class Filter:
    """What seccomp(2) is given. instructions: struct sock_filter[]; flags: SECCOMP_FILTER_FLAG_*."""

    __slots__ = ("flags", "instructions", "warnings")

    def __init__(self, instructions: bytes, flags: int, warnings: "Sequence[str]") -> None:
        self.instructions, self.flags, self.warnings = instructions, flags, warnings

    @property
    def listens(self) -> bool:
        """Whether loading it returns a descriptor for the agent."""
        return bool(self.flags & _NEW_LISTENER)

    def header(self, word: int) -> bytes:
        """The start of struct sock_fprog, up to its pointer to the instructions; word: the size of a pointer."""
        return pack("@H", len(self.instructions) // _INSTRUCTION_SIZE).ljust(word, b"\0")


def filter_of(profile: "Any", cache: str = "") -> Filter:
    """Compile a profile (`pyrunc.spec.seccomp.Seccomp`), or take what was compiled before from the directory `cache`
    ("": none).

    Raises ConfigError for what libseccomp or the kernel cannot express, PyruncError if there is no libseccomp.
    """
    with within(profile.pointer):
        return _filter_of(profile, cache)


def _filter_of(profile: "Any", cache: str) -> Filter:
    flags, warnings = _flags(profile)
    seccomp = _Libseccomp()
    compiler = f"pyrunc {enosys.REVISION} libseccomp {seccomp.version} {seccomp.native:#x}"
    if profile.strict:
        _check_names(seccomp, profile)
    key = filtercache.key(compiler, _canonical(profile))
    instructions = filtercache.load(cache, key) if cache else None
    if instructions is None:
        instructions = _compile(seccomp, profile)
        if cache:
            filtercache.store(cache, key, instructions)
    return Filter(instructions, flags, warnings)


def _canonical(profile: "Any") -> str:
    """All that the instructions depend on, the same text for the same profile."""
    rules = [(tuple(rule.names), rule.action, rule.errno_ret, _conditions(rule)) for rule in profile.syscalls]
    return repr((profile.default_action, profile.default_errno_ret, tuple(profile.architectures), rules))


def _conditions(rule: "Any") -> "tuple[Argument, ...]":
    return tuple((arg.index, arg.op, arg.value, arg.value_two or 0) for arg in rule.args)


def _flags(profile: "Any") -> "tuple[int, list[str]]":
    """The flags of the call, and what is to be said about those that were left out."""
    if not supports(0):
        raise ConfigError("this kernel has no seccomp filters", check="seccomp")
    flags, warnings = 0, []
    for name in _DEFAULT_FLAGS if profile.flags is None else profile.flags:
        if name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" and not profile.notifies:
            continue  # nobody receives: the kernel says EINVAL to it without a listener
        if supports(SECCOMP_FLAGS[name]):
            flags |= SECCOMP_FLAGS[name]
        elif profile.flags is not None:
            warnings.append(f"seccomp flag {name} is left out: this kernel does not support it")
    if profile.notifies:
        # Both results in one number, descriptor or thread id, would be ambiguous (Linux 5.7).
        flags |= _NEW_LISTENER | (_TSYNC_ESRCH if flags & SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"] else 0)
    return flags, warnings


def supports(flag: int) -> bool:
    """Whether the kernel knows a flag: it looks at the flags before it looks for the filter, which is missing here."""
    wanted = flag | _NEW_LISTENER if flag == SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] else flag
    return syscalls.probe_seccomp_flags(wanted) == EFAULT


class _Libseccomp:
    """The functions of the library that are needed, with their C types (seccomp.h)."""

    __slots__ = ("_library", "native", "version")

    def __init__(self) -> None:
        try:
            self._library = Library("libseccomp.so.2", "a seccomp profile")
        except PyruncError as error:
            hint = "the package is libseccomp2 (Debian, Ubuntu) or libseccomp"
            raise PyruncError(
                error.message, errno=error.errno, hint=hint, check="libseccomp"
            ) from None
        numbers = self.function("seccomp_version", "const unsigned *(*)(void)")()
        self.version = f"{numbers[0]}.{numbers[1]}.{numbers[2]}"
        self.native: int = self.function("seccomp_arch_native", "uint32_t(*)(void)")()

    def function(self, name: str, type_: str) -> "Callable[..., Any]":
        function: Callable[..., Any] = self._library.function(name, type_)
        return function


def _compile(seccomp: _Libseccomp, profile: "Any") -> bytes:
    default = _action(profile.default_action, profile.default_errno_ret, "/defaultErrnoRet")
    context = seccomp.function("seccomp_init", "void *(*)(uint32_t)")(default)
    if not context:
        text = f"libseccomp rejects the default action {profile.default_action}"
        raise PyruncError(text, pointer="/defaultAction")
    try:
        set_attribute = seccomp.function("seccomp_attr_set", "int(*)(void *, int, uint32_t)")
        # A call by the numbers of an architecture that the profile does not list would pass unseen, or kill a thread.
        set_attribute(context, _ATTRIBUTE_BAD_ARCH, enosys.RET_KILL_PROCESS)
        set_attribute(context, _ATTRIBUTE_OPTIMIZE, _LINEAR_OR_TREE)
        architectures = _add_architectures(seccomp, context, profile)
        _add_rules(seccomp, context, profile, default)
        instructions = _export(seccomp, context)
    finally:
        seccomp.function("seccomp_release", "void(*)(void *)")(context)
    if enosys.is_needed(default):
        instructions = enosys.stub(_newest(seccomp, architectures, profile)) + instructions
    count = len(instructions) // _INSTRUCTION_SIZE
    if count > _BPF_MAXINSNS:
        text = f"the filter has {count} instructions, but the kernel takes at most {_BPF_MAXINSNS}"
        raise ConfigError(text, pointer="/syscalls", hint="use fewer rules with arguments")
    return instructions


def _action(action: str, errno: "int | None", pointer: str) -> int:
    value = SECCOMP_ACTIONS[action]
    if action not in {_ERRNO, _TRACE}:
        return value
    if errno is not None and errno > _LARGEST[action]:
        text = f"{errno} is too large for {action}, the maximum is {_LARGEST[action]}"
        raise ConfigError(text, pointer=pointer)
    return value | (EPERM if errno is None else errno)


def _check_names(seccomp: _Libseccomp, profile: "Any") -> None:
    resolve = seccomp.function("seccomp_syscall_resolve_name", "int(*)(const char *)")
    for i, rule in enumerate(profile.syscalls):
        for j, name in enumerate(rule.names):
            if resolve(name.encode()) == _UNKNOWN:
                text = f"libseccomp {seccomp.version} does not know the system call `{name}`"
                raise ConfigError(text, pointer=f"/syscalls/{i}/names/{j}")


def _add_architectures(seccomp: _Libseccomp, context: object, profile: "Any") -> "list[int]":
    """Add those of the profile to the native one, which is always in. The tokens of all."""
    resolve = seccomp.function("seccomp_arch_resolve_name", "uint32_t(*)(const char *)")
    add = seccomp.function("seccomp_arch_add", "int(*)(void *, uint32_t)")
    tokens = [seccomp.native]
    for i, architecture in enumerate(profile.architectures):
        pointer = f"/architectures/{i}"
        token = resolve(architecture.removeprefix("SCMP_ARCH_").lower().encode())
        if not token:
            raise ConfigError(f"libseccomp {seccomp.version} does not know {architecture}", pointer=pointer)
        if token not in tokens:
            tokens.append(token)
            result = add(context, token)
            if result not in {0, -EEXIST}:
                raise ConfigError(f"{architecture} is not supported by this machine", errno=-result, pointer=pointer)
    return tokens


def _add_rules(seccomp: _Libseccomp, context: object, profile: "Any", default: int) -> None:
    """Add every rule for every name that libseccomp knows: a profile lists calls of many architectures and kernels.

    Of rules that contradict each other the first counts, as in runc (libseccomp: EEXIST).
    """
    resolve = seccomp.function("seccomp_syscall_resolve_name", "int(*)(const char *)")
    add = seccomp.function("seccomp_rule_add_array", "int(*)(void *, uint32_t, int, unsigned, const char *)")
    seen: set[tuple[str, int, tuple[Argument, ...]]] = set()
    conditional = 0
    for i, rule in enumerate(profile.syscalls):
        action = _action(rule.action, rule.errno_ret, f"/syscalls/{i}/errnoRet")
        if action == default:
            continue  # libseccomp calls it an error
        for args in _alternatives(_conditions(rule)):
            conditions = b"".join(pack("@IiQQ", n, SECCOMP_OPERATORS[op], a, b) for n, op, a, b in args)
            for name in rule.names:
                if (name, action, args) in seen:
                    continue
                seen.add((name, action, args))
                number = resolve(name.encode())
                conditional += bool(args) and number != _UNKNOWN
                if conditional > _BPF_MAXINSNS:  # each needs an instruction; libseccomp compares each with all others
                    text = f"more than {_BPF_MAXINSNS} rules with arguments, which is more than the kernel takes"
                    raise ConfigError(text, pointer=f"/syscalls/{i}")
                result = 0 if number == _UNKNOWN else add(context, action, number, len(args), conditions)
                if result not in {0, -EEXIST}:
                    text = f"libseccomp rejects the rule for `{name}`"
                    raise ConfigError(text, errno=-result, pointer=f"/syscalls/{i}")


def _alternatives(args: "tuple[Argument, ...]") -> "list[tuple[Argument, ...]]":
    """Conditions that hold together; several on one argument are alternatives, as runc and crun have it: libseccomp
    takes no two on the same."""
    if len({arg[0] for arg in args}) == len(args):
        return [args]
    return [(arg,) for arg in args]


def _export(seccomp: _Libseccomp, context: object) -> bytes:
    with opened(posix.memfd_create("seccomp", posix.MFD_CLOEXEC)) as fd:  # seccomp_export_bpf_mem is there since 2.6
        result = seccomp.function("seccomp_export_bpf", "int(*)(void *, int)")(context, fd)
        if result < 0:
            raise PyruncError("compile the seccomp filter", errno=-result)
        return posix.pread(fd, posix.fstat(fd).st_size, 0)


def _newest(seccomp: _Libseccomp, architectures: "list[int]", profile: "Any") -> "dict[int, int]":
    """The number of the newest call that the profile speaks of, for each architecture's token."""
    resolve = seccomp.function("seccomp_syscall_resolve_name_arch", "int(*)(uint32_t, const char *)")
    names = {name.encode() for rule in profile.syscalls for name in rule.names} | {enosys.OLDEST}
    return {token: enosys.newest(token, [resolve(token, name) for name in names]) for token in architectures}
