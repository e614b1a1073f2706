"""The command's side of exec: a further process in a container's namespaces and cgroup (`conversation`)."""

import posix
from errno import EBUSY, ENODEV, ENOENT, EOPNOTSUPP

from pyrunc import ending
from pyrunc.cgroup import cgroupfs as cgroup_fs
from pyrunc.cgroup import interface_files
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.process import processes, sealed

from . import conversation, exec_child
from .channel import PeerGone
from .children import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.planning.exec import ExecPlan

    from .channel import Channel
    from .target import Target


class Entered(Child):
    """The process in the container; what is learnt on its way: filter: of seccomp, compiled; denies_setgroups: whether
    the container's user namespace does."""

    __slots__ = ("denies_setgroups", "filter")

    def __init__(self, plan: "ExecPlan") -> None:
        super().__init__()
        self.filter, self.denies_setgroups = plan.filter, False


def enter(plan: "ExecPlan", child: Entered, target: "Target", console_socket: str) -> None:
    """Make the process, up to the point where `release` only has to let it go. Nothing is left of one that fails."""
    ours, theirs = child.converse()
    killed_before = _killed_for_memory(target)
    try:
        helper = sealed.helper()
        child.helper = _clone(plan, target)
        if child.helper == 0:
            ours.close()
            exec_child.run(plan, child, target, theirs, helper)
        theirs.close()
        posix.close(helper)
        _serve(plan, child, ours, console_socket)
    except BaseException as error:
        ending.hold()
        child.end()
        if isinstance(error, PeerGone) and _killed_for_memory(target) > killed_before:
            from pyrunc.cgroup import oom

            raise oom.error(target.cgroup, "the process on its way into the container") from None
        raise


def _killed_for_memory(target: "Target") -> int:
    """How many processes in the container's cgroup the OOM killer has ended."""
    path = target.cgroup and f"{interface_files.directory(target.cgroup)}/memory.events"
    return interface_files.number(path, "oom_kill") if path else 0


def _clone(plan: "ExecPlan", target: "Target") -> int:
    """Clone `exec_child` into the cgroup; 0 in it."""
    before = posix.sched_getaffinity(0) if plan.initial_cpus else None
    if plan.initial_cpus:
        exec_child.use_cpus(plan.initial_cpus, "initial")
    pid = -1
    try:
        pid = _clone_into(plan, target)
    finally:
        if before and pid != 0:
            posix.sched_setaffinity(0, before)
    return pid


def _clone_into(plan: "ExecPlan", target: "Target") -> int:
    if not target.cgroup:
        if plan.cgroup:
            raise PyruncError(f"container `{plan.container_id}` has no cgroup, so --cgroup cannot be used")
        return syscalls.fork_into()
    path = f"{target.cgroup}{plan.cgroup or target.leaf}"
    try:
        return _fork_into(path)
    except PyruncError as error:
        its = "" if plan.cgroup else _cgroup_of_init(target, error.errno)
        if not its:
            raise
    return _fork_into(its)


def _cgroup_of_init(target: "Target", errno: "int | None") -> str:
    """Where the first process is instead of in the container's cgroup, if that is why nothing can be cloned into it."""
    its = cgroup_fs.path_of(target.pid)
    if errno in {EBUSY, EOPNOTSUPP}:  # an init such as systemd has divided it: only its parts may hold processes
        return its if its.startswith(f"{target.cgroup}/") else ""
    # Moved, and the old one removed. Not to the root of the hierarchy, where it seems to be when it is gone, and not
    # out of what our cgroup namespace shows.
    gone = errno in {ENOENT, ENODEV} and not cgroup_fs.exists(target.cgroup)
    return its if gone and its != "/" and not its.startswith("/..") else ""


def _fork_into(path: str) -> int:
    with opened(cgroup_fs.enter(path)) as fd:
        try:
            return cgroup_fs.fork(path, fd)
        except OSError as error:
            raise PyruncError.from_os(f"clone a process into cgroup `{path}`", error) from None


def _serve(plan: "ExecPlan", child: Child, channel: "Channel", console_socket: str) -> None:
    """The conversation, from our side."""
    doing = "entering the container"
    child.equip(channel, plan.process, doing, console_socket=console_socket, splits=True)
    child.meet(channel, doing)
    channel.acknowledge()
    channel.expect(conversation.CREATED, "becoming the container's user")
    child.warnings += channel.warnings


def release(plan: "ExecPlan", child: Child, state: "dict[str, object]") -> None:
    """Let it run its program. Raises what it met on its way. state: the container's, for a seccomp agent."""
    channel = child.channel
    assert channel is not None
    try:  # noqa: SIM105  (contextlib costs a millisecond of start-up)
        channel.acknowledge()
    except PeerGone:
        pass  # what it said before is still to be read
    way = conversation.Ending()
    while not way.failed and (message := channel.receive()):
        number = way.take(message)
        if number is not None:
            from pyrunc.wings.seccomp import listener

            listener.give_to_agent(plan.listener or (), child.pid, number, state)
            channel.acknowledge()
    channel.close()
    if error := way.error("the container's process", processes.ending(child.pid)):
        raise error
