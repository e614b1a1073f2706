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


def _attributes(*fields: "tuple[int, int, int]") -> bytearray:
    """A zeroed bpf_attr with (offset, size, value) filled in."""
    result = bytearray(_ATTRIBUTE_SIZE)
    for offset, size, value in fields:
        _put(result, offset, size, value)
    return result


def _put(buffer: bytearray, offset: int, size: int, value: int) -> None:
    buffer[offset : offset + size] = value.to_bytes(size, sys.byteorder)


def _get(buffer: bytearray, offset: int) -> int:
    return int.from_bytes(buffer[offset : offset + 4], sys.byteorder)


def load(instructions: bytes, name: str) -> int:
    """BPF_PROG_LOAD: the program's descriptor. `instructions`: 8 bytes each, in the machine's byte order.

    Raises OSError; EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL for a program that the verifier refuses.
    """
    licence = b"Apache-2.0\0"
    attributes = _attributes(
        (0, 4, PROG_TYPE_CGROUP_DEVICE), (4, 4, len(instructions) // 8), (8, 8, syscalls.address(instructions)),
        (16, 8, syscalls.address(licence)),
    )  # fmt: skip
    attributes[48 : 48 + NAME_SIZE] = name.encode()[: NAME_SIZE - 1].ljust(NAME_SIZE, b"\0")
    return syscalls.bpf(PROG_LOAD, attributes)


def verifier_log(instructions: bytes) -> str:
    """What the verifier has to say against a program that it refused; "" if it takes it."""
    log, licence = bytearray(_LOG_SIZE), b"Apache-2.0\0"
    attributes = _attributes(
        (0, 4, PROG_TYPE_CGROUP_DEVICE), (4, 4, len(instructions) // 8), (8, 8, syscalls.address(instructions)),
        (16, 8, syscalls.address(licence)), (24, 4, 1), (28, 4, _LOG_SIZE), (32, 8, syscalls.address(log)),
    )  # fmt: skip
    try:
        posix.close(syscalls.bpf(PROG_LOAD, attributes))
    except OSError:
        return log.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return ""


def attach(cgroup: int, program: int, replaced: int = -1) -> None:
    """BPF_PROG_ATTACH beside the programs of others; with `replaced` in that one's place, in one step (Linux 5.6)."""
    flags = F_ALLOW_MULTI if replaced < 0 else F_ALLOW_MULTI | F_REPLACE
    fields = [(0, 4, cgroup), (4, 4, program), (8, 4, CGROUP_DEVICE), (12, 4, flags), (16, 4, max(replaced, 0))]
    syscalls.bpf(PROG_ATTACH, _attributes(*fields))


def detach(cgroup: int, program: int) -> None:
    """BPF_PROG_DETACH."""
    syscalls.bpf(PROG_DETACH, _attributes((0, 4, cgroup), (4, 4, program), (8, 4, CGROUP_DEVICE)))


def attached(cgroup: int) -> "list[int]":
    """BPF_PROG_QUERY: the ids of the device programs that are attached to the cgroup itself."""
    ids = bytearray(4 * _MOST_PROGRAMS)
    attributes = _attributes(
        (0, 4, cgroup), (4, 4, CGROUP_DEVICE), (16, 8, syscalls.address(ids)), (24, 4, _MOST_PROGRAMS)
    )
    syscalls.bpf(PROG_QUERY, attributes)
    return [_get(ids, 4 * i) for i in range(_get(attributes, 24))]


def program_by_id(program: int) -> int:
    """BPF_PROG_GET_FD_BY_ID: a descriptor of the program. ENOENT if it is gone."""
    return syscalls.bpf(PROG_GET_FD_BY_ID, _attributes((0, 4, program)))


def identity(program: int) -> "tuple[int, str]":
    """BPF_OBJ_GET_INFO_BY_FD: (id, name) of the program that the descriptor stands for."""
    info = bytearray(_INFO_SIZE)
    syscalls.bpf(OBJ_GET_INFO_BY_FD, _attributes((0, 4, program), (4, 4, _INFO_SIZE), (8, 8, syscalls.address(info))))
    return _get(info, 4), info[_NAME_AT : _NAME_AT + NAME_SIZE].partition(b"\0")[0].decode()
