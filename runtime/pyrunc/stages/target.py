"""The container that `exec` makes a process in, as its first process has it."""

import posix

from pyrunc.errors import PyruncError
from pyrunc.kernel import namespaces, syscalls
from pyrunc.kernel.process import credentials, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.savedstate import State

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC


class Target:
    """A container's init: its pidfd, the namespaces (CLONE_NEW*) in which it is and we are not, the identities of those
    that the container was created with, its cgroup or "", the path below that where its processes are, a descriptor
    of its root if it has no mount namespace of its own, else -1.
    """

    __slots__ = ("cgroup", "identities", "leaf", "namespaces", "pid", "pidfd", "root", "start_time")

    def __init__(self, state: "State") -> None:
        self.pid, self.start_time, self.cgroup = state.pid, state.start_time, state.cgroup
        self.leaf = state.cgroup_leaf
        try:
            self.pidfd = syscalls.pidfd_open(state.pid)
            if not processes.alive(state.pid, state.start_time):  # asked after the pidfd has pinned the pid
                raise ProcessLookupError(3, "")
            theirs, ours = (namespaces.identities(pid) for pid in (state.pid, "self"))
            self.identities = state.namespaces
            namespaces.refuse_others(self.identities, theirs)
            self.namespaces = sum(namespaces.FLAGS[kind] for kind in theirs if theirs[kind] != ours.get(kind))
            self.root = posix.open(state.mounted, _DIRECTORY) if state.mounted else -1
        except OSError as error:
            raise PyruncError.from_os("inspect the container's first process", error) from None

    def sees_us(self) -> bool:
        """Whether the container's processes could look for the interpreter, with the privilege to trace it: they share
        our pid and user namespaces. In another pid namespace they meet pyrunc-init alone (`exec_child`)."""
        return not self.namespaces & (syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUSER)

    def denies_setgroups(self) -> bool:
        """Whether its user namespace forbids setgroups(2), as an ordinary user's does (user_namespaces(7))."""
        return credentials.setgroups_denied(f"/proc/{self.pid}")
