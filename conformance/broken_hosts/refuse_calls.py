"""Runs a command under a seccomp filter that answers system calls with an errno: a kernel that lacks or forbids them.

python3 refuse_calls.py ERRNO CALL[,CALL...] COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import ctypes
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SCMP_ACT_*
NO_NEW_PRIVS = 3  # SCMP_FLTATR_CTL_NNP


def refuse(errno: int, calls: list[str]) -> None:
    """Loads the filter into this process, by libseccomp. As root without no_new_privs, which would change more."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ALLOW))
    results = [library.seccomp_attr_set(context, NO_NEW_PRIVS, int(os.geteuid() != 0))]
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        results.append(library.seccomp_rule_add(context, ERRNO | errno, number, 0))
    results.append(library.seccomp_load(context))
    if any(results):
        sys.exit(f"the filter cannot be loaded: {results}")


if __name__ == "__main__":
    refuse(int(sys.argv[1]), sys.argv[2].split(","))
    os.execvp(sys.argv[3], sys.argv[3:])
