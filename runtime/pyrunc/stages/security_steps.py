"""The steps that confine the program: the security modules' labels, first of all, and the seccomp filter, last.

A label takes effect with the next execve, and a process that is cloned inherits it (AppArmor's task context, SELinux's
exec SID in the credentials): so the program has it, and each hook that runs inside. The filter binds as soon as it is
loaded: steps behind `load_filter` run under the profile.
"""

import posix
from _struct import calcsize, pack

from pyrunc.kernel import syscalls
from pyrunc.kernel.process import lsm
from pyrunc.wings.seccomp import filters

from .step_list import RETRY_EINTR, StepList
from .step_report import LISTEN, WRITE

_WORD = calcsize("N")
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_MAGICLINKS


def set_attributes(steps: StepList, attributes: "tuple[lsm.Attribute, ...]", proc: int) -> None:
    """Write the attributes; proc: a private procfs, open while the list runs. Opened in the list: see `lsm`."""
    how = steps.blob(pack("=QQQ", posix.O_WRONLY | posix.O_CLOEXEC, 0, _BENEATH))
    for attribute in attributes:
        path, value = steps.string(lsm.own_path(attribute)), steps.blob(attribute.value)
        steps.step(WRITE, 0, (proc, path, how, value, len(attribute.value)), attribute.describe())


def load_filter(steps: StepList, filter_: filters.Filter, gate: int) -> None:
    """Load the filter. If it has a listener, say its number where failures are reported, and wait for a byte from
    `gate`: it was fetched and given to the agent (`wings.seccomp.listener`). The profile must allow read and write."""
    program = steps.pointer(filter_.header(_WORD), steps.blob(filter_.instructions))
    arguments, label = (filters.SET_MODE_FILTER, filter_.flags, program), "load the seccomp filter"
    if not filter_.listens:
        steps.call("seccomp", *arguments, label=label, expect=0)
        return
    steps.step(LISTEN, syscalls.number("seccomp"), arguments, label)
    byte = steps.blob(b"\0")
    steps.call("read", gate, byte, 1, label="wait for the seccomp agent", expect=1, flags=RETRY_EINTR)
