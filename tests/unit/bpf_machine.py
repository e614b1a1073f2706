"""A machine for classic BPF as seccomp uses it: what a filter answers to a system call, without loading it.

Only the instructions that seccomp filters have (seccomp(2), linux/filter.h); any other is an error of the test.
"""

import struct

KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x80000000, 0, 0x00030000, 0x00050000
NOTIFY, TRACE, LOG, ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000
X86_64, I386, AARCH64, X32_BIT = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000000


def run(instructions: bytes, number: int, *args: int, arch: int = X86_64) -> int:
    """SECCOMP_RET_* for a call; args: up to six words."""
    data = struct.pack("@iIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))
    accumulator, memory = 0, [0] * 16
    at = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("@HBBI", instructions, at * 8)
        at += 1
        if code == 0x06:  # ret
            return value
        if code == 0x05:  # ja
            at += value
        elif code == 0x20:  # ld [value]
            (accumulator,) = struct.unpack_from("@I", data, value)
        elif code == 0x54:  # and
            accumulator &= value
        elif code == 0x02:  # st
            memory[value] = accumulator
        elif code == 0x60:  # ld M[value]
            accumulator = memory[value]
        elif code in (0x15, 0x25, 0x35):  # jeq, jgt, jge
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}[code]
            at += if_true if holds else if_false
        else:
            raise AssertionError(f"instruction {code:#x} is none that a seccomp filter has")
