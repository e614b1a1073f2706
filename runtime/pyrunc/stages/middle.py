"""The process between parent and init, where one is needed: it joins namespaces, clones init and is gone.

A process that has joined a pid namespace is not in it, only its children are; and one that is in a new user namespace
may no longer join those of the host. So this one joins, and init is its child, with our parent as its parent
(CLONE_PARENT): the parent can wait for it, and conmon inherits it. What init has to say, and who it is, it says itself.
"""

import posix

from pyrunc.kernel import syscalls

from . import conversation, init
from .channel import CLONE_CHECKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.planning.container import ContainerPlan

    from .channel import Channel
    from .entering import HelperFds
    from .making import Making


def run(plan: "ContainerPlan", made: "Making", channel: "Channel", fds: "HelperFds") -> None:
    """Join, clone, leave. Never returns."""
    try:
        init.load_what_is_needed(plan, made)
        init.join(plan, made)
        pid = syscalls.fork_into(plan.new_at_once | syscalls.CLONE_PARENT)
        if pid == 0:
            channel.send(conversation.ENTERED)
            init.run(plan, made, channel, fds)
        posix._exit(0)  # noqa: SLF001
    except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the parent's code)
        doing = "clone the container's first process"
        channel.send_failure(error, doing, "the middle process", check=CLONE_CHECKS)
    finally:  # also if nobody is left to be told
        posix._exit(1)  # noqa: SLF001
