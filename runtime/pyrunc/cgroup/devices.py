"""`linux.resources.devices` on cgroup v2: the rules as an eBPF program on the container's cgroup.

The list works as it did in cgroup v1: everything is denied at first, each rule in turn grants or takes back read, write
and mknod for the devices that it names, so for each kind of access the last rule that matches decides. The program asks
the rules in reverse, and is asked by the kernel at every open(2) and mknod(2) of a device.

Programs of others on the same cgroup (systemd's DeviceAllow=) stay; a device must pass all of them.
"""

import posix
import sys
from errno import EINVAL, ENOENT, EPERM

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import bpf
from pyrunc.kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

ANY = -1
PROGRAM_NAME = "pyrunc_devices"  # how `attach` knows its own; shown by bpftool
_EVERY_ACCESS = 7
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*; the kernel's include/uapi/linux/bpf.h
_TYPE = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*


class Rule:
    """One rule. type: `a` (both), `b` or `c`; major, minor: a number or ANY; access: of `rwm`."""

    __slots__ = ("access", "allow", "major", "minor", "type")

    def __init__(self, type_: str, major: int, minor: int, access: str, *, allow: bool) -> None:
        self.type, self.major, self.minor, self.access, self.allow = type_, major, minor, access, allow

    @property
    def mask(self) -> int:
        """The access as bits of the kernel."""
        return sum(_ACCESS[letter] for letter in self.access)

    @property
    def matches_all(self) -> bool:
        """Whether the rule is for every device and every access."""
        return self.type == "a" and self.major == self.minor == ANY and self.mask == _EVERY_ACCESS


def _allow(type_: str, major: int, minor: int, access: str = "rwm") -> Rule:
    return Rule(type_, major, minor, access, allow=True)


# config-linux.md, "Default Devices": they exist in every container, so they have to work. After the config's own rules,
# as in runc, because everybody's first rule is to deny all.
DEFAULTS = (
    _allow("c", ANY, ANY, "m"), _allow("b", ANY, ANY, "m"),  # a node without the right to open it is of no use
    _allow("c", 1, 3), _allow("c", 1, 5), _allow("c", 1, 7), _allow("c", 1, 8), _allow("c", 1, 9),
    _allow("c", 5, 0), _allow("c", 5, 2), _allow("c", 136, ANY),
)  # fmt: skip


def rules(entries: "Iterable[Any]", pointer: str) -> "list[Rule]":
    """The rules of `linux.resources.devices` (objects of `pyrunc.spec.resources.DeviceRule`), and DEFAULTS.

    pointer: where the entries are.
    """
    result = []
    for i, entry in enumerate(entries):
        major = ANY if entry.major is None else entry.major
        minor = ANY if entry.minor is None else entry.minor
        if major > 0xFFF or minor > 0xFFFFF:  # MKDEV, include/linux/kdev_t.h
            problem = f"invalid device number {major}:{minor} (the highest is 4095:1048575)"
            raise ConfigError(problem, pointer=f"{pointer}/{i}")
        access = "rwm" if entry.access is None else entry.access
        result.append(Rule(entry.type or "a", major, minor, access, allow=entry.allow))
    return [*result, *DEFAULTS]


def rules_without_any(listed: "Iterable[Any]") -> "list[Rule]":
    """The rules of a config that has none: those of `linux.devices` (objects of `pyrunc.spec.linux.Device`), and
    DEFAULTS. Otherwise a device node in an image would be the host's disk."""
    types = {"b": "b", "c": "c", "u": "c"}
    own = [_allow(types[entry.type], entry.major or 0, entry.minor or 0) for entry in listed if entry.type in types]
    return [*own, *DEFAULTS]


def allows_everything(wanted: "list[Rule]") -> bool:
    """Whether no access is denied, so that no program is needed: a privileged container."""
    last = max((i for i, rule in enumerate(wanted) if rule.matches_all and rule.allow), default=-1)
    return last >= 0 and all(rule.allow or not rule.mask for rule in wanted[last:])


# -- the program ------------------------------------------------------------------------------------------------------

# Registers: r1 is the context {u32 access << 16 | type; u32 major; u32 minor}; r0 the answer.
_TYPE_IN, _ASKED, _MAJOR, _MINOR, _PART = 2, 3, 4, 5, 6
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_SET, _SET_REGISTER, _AND, _RIGHT = 0xB7, 0xBF, 0x57, 0x77  # BPF_ALU64 with BPF_MOV (K, X), BPF_AND, BPF_RSH
_IF_EQUAL, _UNLESS_EQUAL, _EXIT = 0x15, 0x55, 0x95  # BPF_JMP with BPF_JEQ, BPF_JNE, BPF_EXIT


class Instruction:
    """One eBPF instruction: struct bpf_insn."""

    __slots__ = ("code", "destination", "immediate", "offset", "source")

    def __init__(self, code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> None:
        self.code, self.destination, self.source = code, destination, source
        self.offset, self.immediate = offset, immediate


def program(wanted: "list[Rule]") -> "list[Instruction]":
    """The instructions that answer 1 (allowed) or 0 for a request, by the rules."""
    result = [
        Instruction(_LOAD_WORD, _TYPE_IN, 1, 0),
        Instruction(_SET_REGISTER, _ASKED, _TYPE_IN),
        Instruction(_AND, _TYPE_IN, immediate=0xFFFF),
        Instruction(_RIGHT, _ASKED, immediate=16),
        Instruction(_LOAD_WORD, _MAJOR, 1, 4),
        Instruction(_LOAD_WORD, _MINOR, 1, 8),
    ]
    for rule in reversed(wanted):
        if not rule.mask:
            continue
        result += _rule(rule)
        if rule.matches_all:  # nothing gets past it, and the verifier refuses code that cannot be reached
            return result
    return result + _answer(0)


def _answer(value: int) -> "list[Instruction]":
    return [Instruction(_SET, 0, immediate=value), Instruction(_EXIT)]


def _rule(rule: Rule) -> "list[Instruction]":
    """Leave with an answer if the rule decides; else go on, with fewer kinds of access to ask for."""
    tests = [
        (register, value)
        for register, value in ((_TYPE_IN, _TYPE.get(rule.type, ANY)), (_MAJOR, rule.major), (_MINOR, rule.minor))
        if value != ANY
    ]
    answer = _answer(int(rule.allow))
    if rule.mask == _EVERY_ACCESS:
        body = answer
    elif rule.allow:  # what it grants needs no other rule's word
        body = [
            Instruction(_AND, _ASKED, immediate=_EVERY_ACCESS & ~rule.mask),
            Instruction(_UNLESS_EQUAL, _ASKED, offset=len(answer)),
            *answer,
        ]
    else:
        body = [
            Instruction(_SET_REGISTER, _PART, _ASKED),
            Instruction(_AND, _PART, immediate=rule.mask),
            Instruction(_IF_EQUAL, _PART, offset=len(answer)),
            *answer,
        ]
    for register, value in reversed(tests):  # each jumps over all that comes behind it
        body.insert(0, Instruction(_UNLESS_EQUAL, register, offset=len(body), immediate=value))
    return body


def encode(instructions: "list[Instruction]") -> bytes:
    """The instructions as the kernel of this machine reads them."""
    order = sys.byteorder
    result = b""
    for each in instructions:
        registers = (each.destination, each.source) if order == "little" else (each.source, each.destination)
        result += bytes((each.code, registers[0] | registers[1] << 4))
        result += (each.offset & 0xFFFF).to_bytes(2, order) + (each.immediate & 0xFFFFFFFF).to_bytes(4, order)
    return result


# -- the kernel -------------------------------------------------------------------------------------------------------


def attach(cgroup: int, wanted: "list[Rule]") -> None:
    """Put the rules in force on a cgroup (a descriptor of its directory), in place of those of an earlier call.

    Raises PyruncError, also if the kernel does not list the program afterwards.
    """
    try:
        ours = _ours(cgroup)
        if allows_everything(wanted):
            _detach(cgroup, ours)
            return
        new = _load(wanted)
    except OSError as error:
        raise _failed(error) from None
    try:
        with opened(new):
            _put_in_place(cgroup, new, ours)
            identity = bpf.identity(new)[0]
            if identity not in bpf.attached(cgroup):
                raise PyruncError("the kernel does not list the device filter that was attached")
    except OSError as error:
        raise _failed(error) from None


def _load(wanted: "list[Rule]") -> int:
    code = encode(program(wanted))
    try:
        return bpf.load(code, PROGRAM_NAME)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        raise PyruncError(f"the kernel refused the device filter: {bpf.verifier_log(code)[-500:]}") from None


def _ours(cgroup: int) -> "list[int]":
    """Descriptors of the programs of earlier calls on the cgroup."""
    result = []
    for number in bpf.attached(cgroup):
        try:
            fd = bpf.program_by_id(number)
        except OSError as error:
            if error.errno != ENOENT:  # its owner detached it since
                raise
            continue
        if bpf.identity(fd)[1] == PROGRAM_NAME:
            result.append(fd)
        else:
            posix.close(fd)
    return result


def _put_in_place(cgroup: int, new: int, ours: "list[int]") -> None:
    if ours:
        try:
            bpf.attach(cgroup, new, replaced=ours[-1])
            _detach(cgroup, ours[:-1])
            posix.close(ours[-1])
            return
        except OSError as error:
            if error.errno != EINVAL:  # before Linux 5.6: both are in force for a moment, which denies more, not less
                raise
    bpf.attach(cgroup, new)
    _detach(cgroup, ours)


def _detach(cgroup: int, ours: "list[int]") -> None:
    for fd in ours:
        bpf.detach(cgroup, fd)
        posix.close(fd)


def _failed(error: OSError) -> PyruncError:
    hint = ""
    if error.errno == EPERM:
        hint = "this needs CAP_BPF and CAP_NET_ADMIN in the host's user namespace, and no filter that blocks bpf(2)"
    elif error.errno == EINVAL:
        hint = "the kernel needs CONFIG_CGROUP_BPF"
    return PyruncError.from_os("attach the device filter to the cgroup", error, hint=hint)
