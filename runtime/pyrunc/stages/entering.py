"""What init and exec_child both do: on the way into the container, and to become pyrunc-init."""

import _signal
import fcntl
import posix
import sys

from pyrunc.errors import PyruncError, within
from pyrunc.kernel import syscalls
from pyrunc.kernel.process import capabilities, credentials, keyring, sealed

from .conversation import CONSOLE, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pyrunc.kernel.mount.mounts import Attached
    from pyrunc.planning.container import ContainerPlan
    from pyrunc.planning.exec import ExecPlan
    from pyrunc.spec.process import Process
    from pyrunc.wings.seccomp.filters import Filter

    from .channel import Channel
    from .step_list import StepList

    class Learnt(Protocol):
        """What is not known before the plan is carried out: of `making.Making`, or `exec_parent.Entered`."""

        @property
        def filter(self) -> "Filter | None": ...  # of seccomp, compiled
        @property
        def denies_setgroups(self) -> bool: ...  # the user namespace of the process

TIOCSCTTY = 0x540E


class HelperFds:
    """The descriptors that pyrunc-init needs, -1 for none: itself, the fifos that it waits on and answers to until
    `start`, and with labels to write a private procfs."""

    __slots__ = ("fifo", "helper", "proc", "result")

    def __init__(self, helper: int, fifo: int = -1, result: int = -1) -> None:
        self.helper, self.fifo, self.result, self.proc = helper, fifo, result, -1

    def move_above(self, lowest: int) -> None:
        """Move all of them out of the range of numbers that the container's program keeps."""
        for name in self.__slots__:
            if (fd := getattr(self, name)) >= 0:
                setattr(self, name, above(fd, lowest))


def above(fd: int, lowest: int) -> int:
    """The descriptor, or a copy of it whose number is not below `lowest`."""
    return fd if fd >= lowest else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def stop_importing(plan: "ContainerPlan | ExecPlan", learnt: "Learnt") -> None:
    """Import what both need later, and switch importing off: root of a user namespace might not read it, and in the
    image's root, or in a mount namespace that is joined, an import would run what lies there."""
    if plan.process.terminal:
        from pyrunc.kernel.process import terminal  # noqa: F401  (loaded for later)
    if plan.attributes or learnt.filter is not None:
        from . import security_steps  # noqa: F401  (loaded for later)
    sys.path.clear()
    sys.meta_path.clear()


def label_keys(label: str) -> None:
    """Label the keys that are made as the config says of the process."""
    with within("/process/selinuxLabel"):
        keyring.label_new_keys(label)


def join_keyring(plan: "ContainerPlan | ExecPlan", channel: "Channel", label: str = "") -> None:
    """Leave the session keyring of the command's caller. label: of SELinux, for keys that are made."""
    if plan.new_keyring and label:
        label_keys(label)
    if plan.new_keyring and (warning := keyring.new_session_keyring(plan.keyring)):
        channel.send(WARNING, warning)


def environment(
    plan: "ContainerPlan | ExecPlan", root: int, channel: "Channel", *, before_pivot: bool
) -> "list[str]":
    """The program's, with HOME; what the program cannot have of its capabilities is a warning. root, before_pivot: see
    `credentials.with_home`."""
    if not plan.process.exists:
        return []
    for warning in cannot_give(plan.process):
        channel.send(WARNING, warning)
    return credentials.with_home(list(plan.env), plan.process.user.uid, root, before_pivot=before_pivot)


def cannot_give(process: "Process") -> "list[str]":
    """Warnings of capabilities that the process will not have though its configuration has them (config.md)."""
    sets = process.capabilities
    if sets is None:
        return []
    wanted = (sets.bounding, sets.effective, sets.permitted, sets.inheritable, sets.ambient)
    given = capabilities.mask([name for names in wanted for name in names])
    missing = given & ~capabilities.bounding(given)
    both = capabilities.mask(sets.permitted) & capabilities.mask(sets.inheritable)
    idle = capabilities.mask(sets.ambient) & ~(both | missing)
    warnings, place = [], "/process/capabilities"
    if missing:
        text = "cannot be given: not in the caller's bounding set"
        warnings.append(f"{capabilities.names(missing)} {text} ({place})")
    if idle:
        text = "cannot be ambient: not both permitted and inheritable"
        warnings.append(f"{capabilities.names(idle)} {text} ({place}/ambient)")
    return warnings


def open_console(
    plan: "ContainerPlan | ExecPlan", root: int, channel: "Channel", attached: "Attached | None" = None
) -> int:
    """A terminal of the container's, whose main end goes to the command; the other end, -1 without a terminal.

    attached: the mounts of a new container, in which it is /dev/console, too.
    """
    if not plan.process.terminal:
        return -1
    from pyrunc.kernel.process import terminal

    size = plan.process.console_size
    with within("/process/terminal"):
        main, peer, name = terminal.open_console(root, (size.height, size.width) if size else None)
    if attached is not None:
        from pyrunc.kernel.mount import devices

        devices.bind_console(root, peer, attached)
    channel.send(CONSOLE, name, (main,))
    posix.close(main)
    return peer


def become_pyrunc_init(
    plan: "ContainerPlan | ExecPlan",
    fds: HelperFds,
    channel: "Channel",
    console: int,
    compose: "Callable[[int], StepList]",
) -> None:
    """Set up the standard streams and signals, number the descriptors that are kept, close all others, and become
    pyrunc-init with the list that `compose` makes for the number of its channel. console: see `open_console`."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    credentials.default_signals()
    if console >= 0:
        _use_terminal(console)
    if plan.process.exists:
        credentials.own_standard_streams(plan.process.user.uid)
    lowest = 3 + plan.kept_fds
    talk = above(channel.fileno(), lowest)
    fds.move_above(lowest)
    steps = compose(talk)
    listing = above(sealed.data("steps", steps.data()), lowest)
    kept = (talk, listing, fds.fifo, fds.result, fds.proc, *steps.fds)
    _keep_only(lowest, [fd for fd in kept if fd >= 0], fds.helper)
    _execute(fds.helper, listing, talk)


def _use_terminal(console: int) -> None:
    """Make a terminal the standard streams."""
    console = above(console, 3)
    for stream in range(3):
        posix.dup2(console, stream)


def _keep_only(lowest: int, kept: "list[int]", helper: int) -> None:
    """Close the descriptors from `lowest` on but the helper's and `kept`, which will pass the helper's exec."""
    first = lowest
    for fd in sorted((*kept, helper)):
        if fd > first:
            syscalls.close_range(first, fd - 1)
        first = fd + 1
        if fd != helper:
            posix.set_inheritable(fd, True)
    syscalls.close_range(first)


def _execute(helper: int, listing: int, talk: int) -> None:
    """Execute pyrunc-init, which carries out the list in the descriptor `listing`, or tells `talk` that it cannot."""
    try:
        if posix.geteuid() != 0:  # in a user namespace where 0 is not mapped
            capabilities.keep_over_exec()
        syscalls.execveat(helper, "", ["pyrunc-init", str(listing), str(talk)], [])
    except OSError as error:
        raise PyruncError.from_os("become pyrunc-init", error) from None
