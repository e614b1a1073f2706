"""bpf(2) for programs that decide on devices (BPF_PROG_TYPE_CGROUP_DEVICE, Linux 4.15), attached to a cgroup.

Every call passes the whole of `union bpf_attr`, zeroed: the kernel writes results into fields that it knows of, also
behind the end of a shorter buffer (seen with BPF_PROG_QUERY from Linux 6.17 on).
"""

import posix
import sys

from . import syscalls

PROG_LOAD, PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, PROG_QUERY = 5, 8, 9, 13, 15, 16
PROG_TYPE_CGROUP_DEVICE, CGROUP_DEVICE = 15, 6
F_ALLOW_MULTI, F_REPLACE = 2, 4
_ATTRIBUTE_SIZE = 256  # bpf_attr was 168 bytes in Linux 6.18
_INFO_SIZE, _NAME_AT, NAME_SIZE = 512, 64, 16  # struct bpf_prog_info; its name
_MOST_PROGRAMS = 64  # BPF_CGROUP_MAX_PROGS
_LOG_SIZE = 1 << 16


# Fields of union bpf_attr (linux/bpf.h), by command: (offset, size).
_PROG_TYPE, _INSN_CNT, _INSNS, _LICENSE = (0, 4), (4, 4), (8, 8), (16, 8)
_LOG_LEVEL, _LOG_SIZE_AT, _LOG_BUF, _PROG_NAME = (24, 4), (28, 4), (32, 8), 48
_TARGET_FD, _ATTACH_BPF_FD, _ATTACH_TYPE, _ATTACH_FLAGS, _REPLACE_BPF_FD = (0, 4), (4, 4), (8, 4), (12, 4), (16, 4)
_QUERY_TARGET_FD, _QUERY_ATTACH_TYPE, _QUERY_PROG_IDS, _QUERY_PROG_CNT = (0, 4), (4, 4), (16, 8), (24, 4)
_PROG_ID = (0, 4)
_INFO_BPF_FD, _INFO_LEN, _INFO = (0, 4), (4, 4), (8, 8)
_LICENCE = b"Apache-2.0\0"


def _attributes(fields: "dict[tuple[int, int], int]") -> bytearray:
    """A zeroed bpf_attr with these fields filled in."""
    result = bytearray(_ATTRIBUTE_SIZE)
    for (offset, size), value in fields.items():
        result[offset : offset + size] = value.to_bytes(size, sys.byteorder)
    return result


def _get(buffer: bytearray, offset: int) -> int:
    return int.from_bytes(buffer[offset : offset + 4], sys.byteorder)


def load(instructions: bytes, name: str) -> int:
    """BPF_PROG_LOAD: the program's descriptor. `instructions`: 8 bytes each, in the machine's byte order.

    Raises OSError; EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL for a program that the verifier refuses.
    """
    attributes = _attributes(_program(instructions))
    attributes[_PROG_NAME : _PROG_NAME + NAME_SIZE] = name.encode()[: NAME_SIZE - 1].ljust(NAME_SIZE, b"\0")
    return syscalls.bpf(PROG_LOAD, attributes)


def _program(instructions: bytes) -> "dict[tuple[int, int], int]":
    return {
        _PROG_TYPE: PROG_TYPE_CGROUP_DEVICE, _INSN_CNT: len(instructions) // 8, _INSNS: syscalls.address(instructions),
        _LICENSE: syscalls.address(_LICENCE),
    }  # fmt: skip


def verifier_log(instructions: bytes) -> str:
    """What the verifier has to say against a program that it refused; "" if it takes it."""
    log = bytearray(_LOG_SIZE)
    wants_log = {_LOG_LEVEL: 1, _LOG_SIZE_AT: _LOG_SIZE, _LOG_BUF: syscalls.address(log)}
    attributes = _attributes(_program(instructions) | wants_log)
    try:
        posix.close(syscalls.bpf(PROG_LOAD, attributes))
    except OSError:
        return log.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return ""


def attach(cgroup: int, program: int, replaced: int = -1) -> None:
    """BPF_PROG_ATTACH beside the programs of others; with `replaced` in that one's place, in one step (Linux 5.6)."""
    flags = F_ALLOW_MULTI if replaced < 0 else F_ALLOW_MULTI | F_REPLACE
    fields = {_TARGET_FD: cgroup, _ATTACH_BPF_FD: program, _ATTACH_TYPE: CGROUP_DEVICE, _ATTACH_FLAGS: flags}
    syscalls.bpf(PROG_ATTACH, _attributes(fields | {_REPLACE_BPF_FD: max(replaced, 0)}))


def detach(cgroup: int, program: int) -> None:
    """BPF_PROG_DETACH."""
    fields = {_TARGET_FD: cgroup, _ATTACH_BPF_FD: program, _ATTACH_TYPE: CGROUP_DEVICE}
    syscalls.bpf(PROG_DETACH, _attributes(fields))


def attached(cgroup: int) -> "list[int]":
    """BPF_PROG_QUERY: the ids of the device programs that are attached to the cgroup itself."""
    ids = bytearray(4 * _MOST_PROGRAMS)
    attributes = _attributes({
        _QUERY_TARGET_FD: cgroup, _QUERY_ATTACH_TYPE: CGROUP_DEVICE,
        _QUERY_PROG_IDS: syscalls.address(ids), _QUERY_PROG_CNT: _MOST_PROGRAMS,
    })  # fmt: skip
    syscalls.bpf(PROG_QUERY, attributes)
    return [_get(ids, 4 * i) for i in range(_get(attributes, _QUERY_PROG_CNT[0]))]


def program_by_id(program: int) -> int:
    """BPF_PROG_GET_FD_BY_ID: a descriptor of the program. ENOENT if it is gone."""
    return syscalls.bpf(PROG_GET_FD_BY_ID, _attributes({_PROG_ID: program}))


def identity(program: int) -> "tuple[int, str]":
    """BPF_OBJ_GET_INFO_BY_FD: (id, name) of the program that the descriptor stands for."""
    info = bytearray(_INFO_SIZE)
    fields = {_INFO_BPF_FD: program, _INFO_LEN: _INFO_SIZE, _INFO: syscalls.address(info)}
    syscalls.bpf(OBJ_GET_INFO_BY_FD, _attributes(fields))
    return _get(info, 4), info[_NAME_AT : _NAME_AT + NAME_SIZE].partition(b"\0")[0].decode()
