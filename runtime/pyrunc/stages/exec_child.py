"""The process that `exec` makes first: it joins the container's namespaces, and its child becomes the program.

A process that joins a pid namespace is not in it, only its children are. So all that takes an interpreter or privilege
is done here, where the container does not see us; the child is made by pyrunc-init, as late as it can be
(`last_steps.split`): a container with CAP_SYS_PTRACE, which PR_SET_DUMPABLE does not stop, would find the interpreter's
memory and descriptors in it (CVE-2016-9962), through /proc/PID/exe its file (CVE-2019-5736), and our capabilities.
"""

import _signal
import posix
import sys
from _signal import SIGKILL
from errno import EINVAL

import _prctl

from pyrunc.errors import PyruncError, within
from pyrunc.kernel import namespaces, paths, syscalls
from pyrunc.kernel.process import credentials, keyring, sealed

from . import conversation, last_steps, limits
from .conversation import STARTED
from .step_list import StepList
from .step_report import EXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrunc.planning.exec import ExecPlan

    from .channel import Channel
    from .target import Target


def run(plan: "ExecPlan", target: "Target", channel: "Channel", helper: int) -> None:
    """Join, and become pyrunc-init, whose descriptor `helper` is. Never returns."""
    try:
        _join(plan, target, channel, helper)
    except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the command's code)
        channel.send_failure(error, "enter the container", "exec")
    finally:  # also if nobody is left to be told
        posix._exit(1)  # noqa: SLF001


def _join(plan: "ExecPlan", target: "Target", channel: "Channel", helper: int) -> None:
    proc = _prepare(plan)
    _enter_namespaces(plan, target, channel)
    root = posix.open("/", paths.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    credentials.use_own_null(root, before_pivot=False)
    console = _open_console(plan, root, channel)
    env = credentials.with_home(plan.env, plan.process.user.uid, root, before_pivot=False)
    for warning in last_steps.cannot_give(plan.process):
        channel.send(conversation.WARNING, warning)
    if console >= 0:
        last_steps.use_terminal(console)
    credentials.own_standard_streams(plan.process.user.uid)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    credentials.default_signals()
    lowest = 3 + plan.kept_fds
    talk, helper = last_steps.above(channel.fileno(), lowest), last_steps.above(helper, lowest)
    proc = last_steps.above(proc, lowest) if proc >= 0 else -1
    steps = _steps(plan, env, talk, proc, controlling=console >= 0)
    listing = last_steps.above(sealed.data("steps", steps.data()), lowest)
    last_steps.keep_only(lowest, tuple(fd for fd in (talk, listing, proc) if fd >= 0), helper)
    last_steps.become_helper(helper, listing, talk)


def use_cpus(cpus: "Iterable[int]", key: str) -> None:
    """Confine this process to what `execCPUAffinity` says under this key."""
    try:
        posix.sched_setaffinity(0, cpus)
    except OSError as error:
        failure = PyruncError.from_os("run on these CPUs", error, pointer=f"/process/execCPUAffinity/{key}")
        if error.errno == EINVAL:
            failure.hint = "none of them is in the cgroup"
        raise failure from None


def _prepare(plan: "ExecPlan") -> int:
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
    if plan.process.terminal:
        from pyrunc.kernel.process import terminal  # noqa: F401  (loaded for later)
    if plan.attributes or plan.filter is not None:
        from . import security_steps  # noqa: F401  (loaded for later)
    sys.path.clear()  # from here on an import would run code from the image
    sys.meta_path.clear()
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
    if plan.new_keyring and (warning := keyring.new_session_keyring(plan.keyring)):
        channel.send(conversation.WARNING, warning)
    posix.umask(0o022)


def _open_console(plan: "ExecPlan", root: int, channel: "Channel") -> int:
    """A terminal of the container's: its main end goes to the command, the other is returned; -1 without."""
    if not plan.process.terminal:
        return -1
    from pyrunc.kernel.process import terminal

    size = plan.process.console_size
    with within("/process/terminal"):
        main, peer, name = terminal.open_console(root, (size.height, size.width) if size else None)
    channel.send(conversation.CONSOLE, name, (main,))
    posix.close(main)
    return peer


def _steps(plan: "ExecPlan", env: "list[str]", talk: int, proc: int, *, controlling: bool) -> StepList:
    """The list of last steps; controlling: the standard input is to be the controlling terminal."""
    process = plan.process
    steps = last_steps.begin(plan, talk, proc)
    if not (plan.initial_cpus or plan.final_cpus):
        last_steps.use_all_cpus(steps)
    last_steps.become_user(steps, plan, env, talk)
    filtered = last_steps.filter_early(steps, plan, talk)
    last_steps.split(steps, plan, talk, controlling=controlling)
    last_steps.say_created(steps, talk)
    started = steps.blob(STARTED)
    steps.call("write", talk, started, len(STARTED), label="tell exec", expect=len(STARTED))
    if not filtered:
        last_steps.filter_system_calls(steps, plan, process, talk)
    steps.step(EXEC, 0, (steps.strings(process.args), steps.strings(env)), f"exec {process.args[0]}")
    return steps
