"""The process between parent and init, where one is needed: it joins namespaces, clones init and is gone.

A process that has joined a pid namespace is not in it, only its children are; and one that is in a new user namespace
may no longer join those of the host. So this one joins, and init is its child, with our parent as its parent
(CLONE_PARENT): the parent can wait for it, and conmon inherits it.
"""

import posix

from pyrunc.kernel import credentials, namespaces, syscalls

from . import init, outside, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan import ContainerPlan

    from .handover import Gates
    from .protocol import Channel


def run(plan: "ContainerPlan", channel: "Channel", gates: "Gates") -> None:
    """Join, clone, tell the parent init's pid as it sees it, leave. Never returns."""
    try:
        outside.set_oom_score(plan.process, posix.getpid())  # init inherits it; an ordinary user may not once we hide
        init.load_what_is_needed(plan)
        if not plan.creates("user"):
            credentials.hide()
        namespaces.enter_all(plan.joins)
        flags = plan.new & ~(namespaces.FLAGS["cgroup"] | namespaces.FLAGS["time"])
        pid = syscalls.fork_into(flags | syscalls.CLONE_PARENT)
        if pid == 0:
            init.run(plan, channel, gates)
        channel.send(protocol.INIT_PID, pid)
        posix._exit(0)  # noqa: SLF001
    except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the parent's code)
        channel.send_failure(error, "clone the container's first process", "the middle process")
    finally:  # also if nobody is left to be told
        posix._exit(1)  # noqa: SLF001
