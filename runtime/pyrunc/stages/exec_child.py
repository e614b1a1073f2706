"""The process that `exec` makes first: it joins the container's namespaces, and its child becomes the program.

A process that joins a pid namespace is not in it, only its children are. So all that takes an interpreter or privilege
is done here, where the container does not see us; the child is made by pyrunc-init, as late as it can be
(`last_steps.split`): a container with CAP_SYS_PTRACE, which PR_SET_DUMPABLE does not stop, would find the interpreter's
memory and descriptors in it (CVE-2016-9962), through /proc/PID/exe its file (CVE-2019-5736), and our capabilities.
"""

import posix
from _signal import SIGKILL
from errno import EINVAL

import _prctl

from pyrunc.errors import PyruncError, within
from pyrunc.kernel import namespaces, paths, syscalls
from pyrunc.kernel.process import credentials

from . import entering, last_steps, limits
from .entering import HelperFds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrunc.planning.exec import ExecPlan

    from .channel import Channel
    from .entering import Learnt
    from .target import Target


def run(plan: "ExecPlan", made: "Learnt", target: "Target", channel: "Channel", helper: int) -> None:
    """Join, and become pyrunc-init, whose descriptor `helper` is. Never returns."""
    try:
        _join(plan, made, target, channel, helper)
    except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the command's code)
        channel.send_failure(error, "enter the container", "exec")
    finally:  # also if nobody is left to be told
        posix._exit(1)  # noqa: SLF001


def _join(plan: "ExecPlan", made: "Learnt", target: "Target", channel: "Channel", helper: int) -> None:
    fds = HelperFds(helper)
    fds.proc = _prepare(plan, made)
    _enter_namespaces(plan, target, channel)
    root = posix.open("/", paths.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    credentials.use_own_null(root, before_pivot=False)
    console = entering.open_console(plan, root, channel)
    env = entering.environment(plan, root, channel, before_pivot=False)
    entering.become_pyrunc_init(
        plan, fds, channel, console, lambda talk: last_steps.of_exec(plan, made, env, fds, talk)
    )


def use_cpus(cpus: "Iterable[int]", key: str) -> None:
    """Confine this process to what `execCPUAffinity` says under this key."""
    try:
        posix.sched_setaffinity(0, cpus)
    except OSError as error:
        failure = PyruncError.from_os("run on these CPUs", error, pointer=f"/process/execCPUAffinity/{key}")
        if error.errno == EINVAL:
            failure.hint = "none of them is in the cgroup"
        raise failure from None


def _prepare(plan: "ExecPlan", made: "Learnt") -> int:
    """In the host's namespaces: hide, and load what is needed later; a private procfs for labels, or -1."""
    _prctl.prctl(_prctl.PR_SET_PDEATHSIG, SIGKILL)
    limits.set_oom_score(plan.process, posix.getpid())  # the program inherits it; once we hide no user may
    credentials.hide()
    if plan.final_cpus:
        use_cpus(plan.final_cpus, "final")
    proc = -1
    if plan.attributes:
        from pyrunc.kernel.mount import procfs
        from pyrunc.kernel.process import lsm

        proc = procfs.private()
        if plan.new_keyring and plan.process.selinux_label:  # for the case that the container's is not there any more
            with within("/process/selinuxLabel"):
                lsm.label_new_keys(proc, plan.process.selinux_label)
    entering.stop_importing(plan, made)
    return proc


def _enter_namespaces(plan: "ExecPlan", target: "Target", channel: "Channel") -> None:
    """All at once: the kernel looks at our privilege before the first, and is done with all or with none."""
    if target.namespaces:
        ours = namespaces.open_own()
        try:
            syscalls.setns(target.pidfd, target.namespaces)
            # What the first process was in when we looked (`Target`) is not what it is in now, if it likes.
            namespaces.refuse_others(target.identities, namespaces.joined(ours, target.identities))
        except OSError as error:
            raise PyruncError.from_os("join the container's namespaces", error) from None
        posix.close(ours)
    if target.namespaces & syscalls.CLONE_NEWUSER:
        credentials.become_root(plan.process.user.uid, plan.process.user.gid, keep_groups=plan.keeps_groups)
    credentials.hide()  # other credentials have reset it
    if target.root >= 0:
        paths.change_root(target.root)
    # The container's: that of the name is there.
    entering.join_keyring(plan, channel)
    posix.umask(0o022)
