"""ENOSYS for system calls that are newer than the seccomp profile: a few instructions in front of the filter.

A profile lists what it allows, and denies the rest with EPERM or worse. A C library that tries a system call newer
than the profile (clone3, faccessat2, statx were such) falls back to an older one on ENOSYS only, so that new images
broke under old profiles. What stands in front of the filter therefore answers ENOSYS to numbers above the largest one
that the profile names, for each of its architectures; all other calls, and those of other architectures, go on to the
filter. The call is not made either way. runc does the same.

Pure: bytes of struct sock_filter (linux/filter.h), which look at struct seccomp_data (seccomp(2)).
"""

import errno
from _struct import pack

REVISION = 1  # of the stub and of how rules are added: part of the cache's key
RET_KILL_PROCESS, RET_ERRNO = 0x80000000, 0x00050000
_RET_TRACE, _RET_LOG, _RET_ALLOW = 0x7FF00000, 0x7FFC0000, 0x7FFF0000
_RETURN_ENOSYS = RET_ERRNO | errno.ENOSYS
# Whoever writes a profile has heard of the calls that are as old as the means to load it: without this, a list of three
# calls would say ENOSYS to nearly all.
OLDEST = b"seccomp"
_AUDIT_ARCH_X86_64, _ARM, _X32 = 0xC000003E, 0x40000028, 0x4000003E
_X32_BIT = 0x40000000  # of the numbers of x32, which has x86_64's AUDIT_ARCH
_RANGES = {  # token: (first, end) of the numbers that grow with time; those outside are special to the architecture
    _X32: (_X32_BIT, _X32_BIT + 512),  # x32's own variants of older calls start at 512
    _ARM: (0, 0xF0000),  # __ARM_NR_BASE
}
_LOAD, _EQUAL, _GREATER, _NOT_LESS, _JUMP, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x05, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data


def is_needed(default: int) -> bool:
    """Whether a profile with this default action (SECCOMP_RET_*) keeps unknown calls from being made.

    A tracer is taken to know what to do; who wants to see calls in the log wants to see these as well.
    """
    return default & 0xFFFF0000 not in {_RET_TRACE, _RET_LOG, _RET_ALLOW} and default != _RETURN_ENOSYS


def _range(token: int) -> "tuple[int, int]":
    return _RANGES.get(token, (0, _X32_BIT))


def newest(token: int, numbers: "list[int]") -> int:
    """The largest of the numbers that tells a profile's age, -1 if none does; token: SCMP_ARCH_*."""
    first, end = _range(token)
    return max((number for number in numbers if first <= number < end), default=-1)


def stub(newest_of: "dict[int, int]") -> bytes:
    """The instructions, to be put before a filter; newest_of: the `newest` number of each architecture's token."""
    ranges: dict[int, list[tuple[int, int]]] = {}  # AUDIT_ARCH: [(end, newest)], ascending
    for token, number in sorted(newest_of.items(), key=lambda item: _range(item[0])):
        if number >= 0:
            ranges.setdefault(_AUDIT_ARCH_X86_64 if token == _X32 else token, []).append((_range(token)[1], number))
    code = [_instruction(_LOAD, _ARCHITECTURE_AT)]
    enosys = 1 + sum(_size(parts) for parts in ranges.values()) + 1  # behind them and the jump over it
    the_filter = enosys + 1

    def test(operation: int, value: int, then: int, otherwise: int) -> None:
        behind = len(code) + 1  # jumps count from the instruction behind them
        code.append(_instruction(operation, value, then - behind, otherwise - behind))

    for architecture, parts in ranges.items():
        its_numbers, next_architecture = len(code) + 1, len(code) + _size(parts)
        test(_EQUAL, architecture, its_numbers, next_architecture)
        code.append(_instruction(_LOAD, _NUMBER_AT))
        for i, (end, number) in enumerate(parts):
            in_range, next_range = len(code) + 1, len(code) + 2
            test(_NOT_LESS, end, next_range if i < len(parts) - 1 else the_filter, in_range)
            test(_GREATER, number, enosys, the_filter)
    code += (_instruction(_JUMP, the_filter - enosys), _instruction(_RETURN, _RETURN_ENOSYS))
    return b"".join(code)


def _size(parts: "list[tuple[int, int]]") -> int:
    """How many instructions an architecture takes: two to come to its numbers, two for each range of them."""
    return 2 + 2 * len(parts)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return pack("@HBBI", code, if_true, if_false, value)
