"""The last steps of a process on its way to its program, as a list for pyrunc-init: those of create, those of exec.

The order of the steps is the order in which privilege is given up; each comment says what would break elsewhere.
"""

import posix
import sys
from _signal import SIGKILL, SIGTERM
from _struct import pack
from errno import EACCES, EINVAL, ENOSYS, EPERM

from pyrunc import words
from pyrunc.kernel import syscalls
from pyrunc.kernel.process import capabilities, sealed

from .conversation import CREATED, ENTERED, LIMITS, STARTED
from .entering import TIOCSCTTY, HelperFds, above
from .step_list import EXPECT, IF_REMEMBERED, REMEMBER, RETRY_EINTR, StepList
from .step_report import CALL, CHECK_CWD, END_BY, EXEC, FIND, HOOK, NAME, REPORT_TO, SPLIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.planning.container import ContainerPlan
    from pyrunc.planning.exec import ExecPlan
    from pyrunc.spec.linux import MemoryPolicy
    from pyrunc.spec.process import Process
    from pyrunc.wings.seccomp.filters import Filter

    from .entering import Learnt
    from .making import Making

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NAME, _PR_CAPBSET_DROP = 1, 4, 8, 15, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 38, 47, 2, 4
_SYS_ADMIN = 1 << 21


def of_create(plan: "ContainerPlan", made: "Making", env: "list[str]", fds: HelperFds, channel: int) -> StepList:
    """The last steps of a container's first process."""
    steps = _begin(plan, fds, channel)
    use_all_cpus(steps)
    become_user(steps, plan, made, env, channel)
    # A container that waits for `start` ends by it, or `podman stop` and a shutdown would wait for their deadlines.
    # Before a filter, and before a split, whose child has it too.
    steps.step(END_BY, 0, (SIGTERM,), "catch SIGTERM")
    filtered = False
    if plan.splits:
        filtered = filter_early(steps, made.filter, plan.process, channel)
        split(steps, plan, channel)
    say_created(steps, channel)
    # From here on the container outlives the command that made it.
    steps.call("close", channel, label="leave create")
    steps.step(REPORT_TO, 0, (fds.result,), "report to start")
    wait(steps, fds.fifo, "wait for start")
    if not plan.process.exists:
        steps.step(CALL, 0, (), "start a container whose config has no process", flags=EXPECT, expect=-1)
        return steps
    if plan.hooks.start_container:  # they are programs of the image, so the filter holds for them as well
        filtered = filtered or filter_system_calls(steps, made.filter, plan.process, fds.fifo)
        _start_container_hooks(steps, plan, made, env)
    _run_program(steps, plan, made, env, fds.result, fds.fifo, filtered=filtered)
    return steps


def of_exec(plan: "ExecPlan", made: "Learnt", env: "list[str]", fds: HelperFds, channel: int) -> StepList:
    """The last steps of a process that is brought into a container."""
    steps = _begin(plan, fds, channel)
    if not (plan.initial_cpus or plan.final_cpus):
        use_all_cpus(steps)
    become_user(steps, plan, made, env, channel)
    filtered = filter_early(steps, made.filter, plan.process, channel)
    split(steps, plan, channel)
    say_created(steps, channel)
    _run_program(steps, plan, made, env, channel, channel, filtered=filtered)
    return steps


def _run_program(  # noqa: PLR0917  (each is used once)
    steps: StepList, plan: "ContainerPlan | ExecPlan", learnt: "Learnt", env: "list[str]", report: int, gate: int, *,
    filtered: bool,
) -> None:  # fmt: skip
    """Tell who reads `report`, load the filter if that is not done, execute the program."""
    args = plan.process.args
    _say(steps, report, STARTED, "tell the command that the program is next")
    if not filtered:  # last of all: a profile need not allow what pyrunc-init does
        filter_system_calls(steps, learnt.filter, plan.process, gate)
    steps.step(EXEC, 0, (steps.strings(args), steps.strings(env)), f"exec {args[0]}")


def _say(steps: StepList, to: int, word: bytes, label: str) -> None:
    steps.call("write", to, steps.blob(word), len(word), label=label, expect=len(word))


def _begin(plan: "ContainerPlan | ExecPlan", fds: HelperFds, channel: int) -> StepList:
    """A list with its first steps: hide, say where errors go, keep no descriptor that the program is not to have.

    The private procfs for the labels may be of the host's pid namespace: it is closed before the first path of the
    container's is looked up, which could lead through /proc/self/fd to any process's root.
    """
    steps = StepList()
    steps.call("prctl", _PR_SET_DUMPABLE, 0, label="hide from other processes")  # exec has reset it
    steps.call("prctl", _PR_SET_NAME, steps.string(NAME.decode()), label="set the process name")
    steps.step(REPORT_TO, 0, (channel,), "report to the command")
    if fds.proc >= 0:
        from . import security_steps

        security_steps.set_attributes(steps, plan.attributes, fds.proc)
        steps.call("close", fds.proc, label="close the private procfs")
    kept = 3 + plan.kept_fds
    steps.call("close_range", kept, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC, label="close inherited descriptors")
    return steps


def use_all_cpus(steps: StepList) -> None:
    """Not the CPUs that the command was confined to by sched_setaffinity(2), as with taskset(1): since Linux 6.2 a
    cpuset does not widen them. The kernel takes of the mask what the cpuset has."""
    mask = b"\xff" * 1024  # CONFIG_NR_CPUS of x86 is 8192 at most; longer than the kernel's is as good
    steps.call("sched_setaffinity", 0, len(mask), steps.blob(mask), label="use all CPUs of the cgroup",
               tolerated=(EPERM, ENOSYS))  # fmt: skip  (the command's own sandbox: the CPUs stay as they are)


def _ask_for_limits(steps: StepList, process: "Process", channel: int) -> None:
    """The parent sets them: it may raise them, a user namespace's root may not. Not earlier, because an interpreter
    would not fit into a small RLIMIT_AS; not later, because it takes privilege over who we become."""
    if process.rlimits:
        _say(steps, channel, LIMITS, "ask for limits")
        wait(steps, channel, "wait for limits")


def become_user(
    steps: StepList, plan: "ContainerPlan | ExecPlan", learnt: "Learnt", env: "list[str]", channel: int
) -> None:
    """Limits, scheduling, ids, capabilities and working directory of the process; its program is found."""
    process = plan.process
    _ask_for_limits(steps, process, channel)
    if plan.personality is not None:
        steps.call("personality", words.EXECUTION_DOMAINS[plan.personality.domain], label="set the personality",
                   pointer="/linux/personality")  # fmt: skip
    if plan.memory_policy is not None:
        _memory_policy(steps, plan.memory_policy)
    if process.exists:
        _scheduling(steps, process)
        keep = _SYS_ADMIN if learnt.filter is not None and needs_privilege_for_filter(process) else 0
        given = bool(process.user.additional_gids) or not learnt.denies_setgroups
        _identity(steps, process, keep, set_groups=given and not plan.keeps_groups)
        steps.call("prctl", _PR_SET_DUMPABLE, 0, label="stay hidden")  # other ids reset it to fs.suid_dumpable
        steps.step(CHECK_CWD, 0, (), process.cwd)
        steps.step(FIND, 0, (steps.strings(candidates(process.args[0], env)),), process.args[0])


def split(steps: StepList, plan: "ContainerPlan | ExecPlan", channel: int) -> None:
    """Go on as a child, which is in the pid namespace that was joined: others there may see it, with CAP_SYS_PTRACE
    even take it over (CVE-2016-9962). So it is all that the program will be, but for label and mostly filter."""
    steps.step(SPLIT, 0, (syscalls.CLONE_PARENT,), "clone the process in the container")
    steps.call("prctl", _PR_SET_PDEATHSIG, SIGKILL, label="die with the command")
    steps.call("setsid", label="make a session")
    if plan.process.terminal:
        steps.call("ioctl", 0, TIOCSCTTY, 0, label="take the terminal")
    _say(steps, channel, ENTERED, "tell the pid")
    wait(steps, channel, "wait for the command")
    for i, limit in enumerate(plan.process.rlimits):
        if limit.type == "RLIMIT_NPROC":  # `limits.set_rlimits` has only raised it: cloning takes one more
            values = steps.blob(pack("=QQ", limit.soft, limit.hard))
            steps.call("prlimit64", 0, syscalls.limit_number(limit.type), values, 0, label=f"set {limit.type}",
                       pointer=f"/process/rlimits/{i}")  # fmt: skip


def say_created(steps: StepList, channel: int) -> None:
    """Tell the command that all is prepared, and wait until it has made note of it."""
    # From here on the end of the channel tells us if it dies; the signal would also come when it ends well.
    steps.call("prctl", _PR_SET_PDEATHSIG, 0, label="outlive the command")
    _say(steps, channel, CREATED, "tell the command")
    wait(steps, channel, "wait for the command, which has ended")


def wait(steps: StepList, channel: int, label: str) -> None:
    """Wait for a byte from the command; its end is an error."""
    steps.call("read", channel, steps.blob(b"\0"), 1, label=label, expect=1, flags=RETRY_EINTR)


def filter_system_calls(steps: StepList, filter_: "Filter | None", process: "Process", gate: int) -> bool:
    """Load the seccomp filter, if there is one; then what took privilege for it is given up. True."""
    if filter_ is not None:
        from . import security_steps

        security_steps.load_filter(steps, filter_, gate)
        if needs_privilege_for_filter(process):
            _set_capabilities(steps, process, 0)
    return True


def filter_early(steps: StepList, filter_: "Filter | None", process: "Process", channel: int) -> bool:
    """Load the filter before the process can be seen, if CAP_SYS_ADMIN were to be kept for it: nobody shall find that.
    Whether it is done. Not with a listener, which is fetched from the process that stays: until then it would wait."""
    if filter_ is None or filter_.listens or not needs_privilege_for_filter(process):
        return False
    return filter_system_calls(steps, filter_, process, channel)


def needs_privilege_for_filter(process: "Process") -> bool:
    """Whether CAP_SYS_ADMIN has to be kept until the filter is loaded (seccomp(2)): no_new_privs would do instead."""
    sets = process.capabilities
    return not process.no_new_privileges and not (sets and "CAP_SYS_ADMIN" in sets.effective)


def candidates(name: str, env: "list[str]") -> "list[str]":
    """The paths at which execvp(3) would look for the program, with the container's PATH."""
    if "/" in name:
        return [name]
    path = next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
    return [f"{directory or '.'}/{name}" for directory in path.split(":")] if name and path else []


def _identity(steps: StepList, process: "Process", keep: int, *, set_groups: bool) -> None:
    """Bounding set, ids, working directory, capabilities, no_new_privs: from root of the container to the user.

    keep: a mask of capabilities that are given up later.
    """
    user, sets = process.user, process.capabilities
    bounding = capabilities.mask(sets.bounding) if sets else 0
    # The bounding set first: it takes CAP_SETPCAP, which the user may not have. All numbers that there can be: what
    # /proc says of the last one may be the image's word, and what is left out a set-user-id program would have.
    for number in range(capabilities.HIGHEST + 1):
        if not bounding >> number & 1:
            name = capabilities.NAMES[number] if number < len(capabilities.NAMES) else f"capability {number}"
            steps.call("prctl", _PR_CAPBSET_DROP, number, label=f"drop {name} from the bounding set",
                       tolerated=(EINVAL,), pointer="/process/capabilities/bounding")  # fmt: skip
    # A directory that only root may enter, or only the user (FUSE): whoever of the two succeeds.
    cwd = steps.string(process.cwd)
    steps.call("chdir", cwd, label=f"chdir to `{process.cwd}`", tolerated=(EACCES, EPERM),
               flags=REMEMBER, pointer="/process/cwd")  # fmt: skip
    if user.umask is not None:
        steps.call("umask", user.umask, label="set the umask")
    steps.call("prctl", _PR_SET_KEEPCAPS, 1, label="keep capabilities")
    groups = steps.blob(pack(f"@{len(user.additional_gids)}I", *user.additional_gids))
    if set_groups:
        steps.call("setgroups", len(user.additional_gids), groups, label=f"set groups {user.additional_gids}",
                   pointer="/process/user/additionalGids")  # fmt: skip
    steps.call("setresgid", user.gid, user.gid, user.gid, label=f"become gid {user.gid}",
               pointer="/process/user/gid")  # fmt: skip
    steps.call("setresuid", user.uid, user.uid, user.uid, label=f"become uid {user.uid}",
               pointer="/process/user/uid")  # fmt: skip
    _set_capabilities(steps, process, keep)
    _set_ambient(steps, process)
    steps.call("chdir", cwd, label=f"chdir to `{process.cwd}`", flags=IF_REMEMBERED,
               pointer="/process/cwd")  # fmt: skip
    if process.no_new_privileges:
        steps.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, label="set no_new_privs")


def _set_capabilities(steps: StepList, process: "Process", keep: int) -> None:
    sets = process.capabilities
    # What we do not have ourselves cannot be given: the spec wants a warning, see `cannot_give`, no failure.
    wanted = (sets.effective, sets.permitted, sets.inheritable) if sets else ((), (), ())
    effective, permitted, inheritable = (capabilities.mask(names) for names in wanted)
    ours = capabilities.bounding(effective | permitted | inheritable | keep)
    header, data = capabilities.packed((effective | keep) & ours, (permitted | keep) & ours, inheritable & ours)
    steps.call("capset", steps.blob(header), steps.blob(data), label="set the capabilities",
               pointer="/process/capabilities")  # fmt: skip


def _set_ambient(steps: StepList, process: "Process") -> None:
    sets = process.capabilities
    steps.call("prctl", _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0, label="clear ambient capabilities",
               tolerated=(EINVAL,))  # fmt: skip
    ambient = capabilities.mask(sets.ambient) if sets else 0
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            steps.call("prctl", _PR_CAP_AMBIENT, _AMBIENT_RAISE, number, 0, 0, label="raise an ambient capability",
                       tolerated=(EPERM,))  # fmt: skip


def _scheduling(steps: StepList, process: "Process") -> None:
    wanted = process.scheduler
    if wanted is not None:
        flags = sum(words.SCHEDULER_FLAGS[flag] for flag in wanted.flags)
        times = (wanted.runtime or 0, wanted.deadline or 0, wanted.period or 0)
        levels = (wanted.nice or 0, wanted.priority or 0)
        attributes = pack("=IIQiIQQQ", 48, words.SCHEDULER_POLICIES[wanted.policy], flags, *levels, *times)
        steps.call("sched_setattr", 0, steps.blob(attributes), 0, label=f"set the scheduler {wanted.policy}",
                   pointer="/process/scheduler")  # fmt: skip
    if process.io_priority is not None:
        value = words.IO_PRIORITY_CLASSES[process.io_priority.class_] << 13 | process.io_priority.priority
        steps.call("ioprio_set", 1, 0, value, label=f"set the I/O priority {process.io_priority.class_}",
                   pointer="/process/ioPriority")  # fmt: skip


def _memory_policy(steps: StepList, policy: "MemoryPolicy") -> None:
    mode, mask = words.MEMORY_POLICY_MODES[policy.mode], 0
    for flag in policy.flags:
        mode |= words.MEMORY_POLICY_FLAGS[flag]
    for part in filter(None, (policy.nodes or "").split(",")):
        first, _, last = part.partition("-")
        mask |= (2 << int(last or first)) - (1 << int(first))
    bits = (mask.bit_length() + 63) // 64 * 64
    where = steps.blob(mask.to_bytes(bits // 8, sys.byteorder)) if mask else 0
    steps.call("set_mempolicy", mode, where, bits + 1 if mask else 0, label=f"set the memory policy {policy.mode}",
               pointer="/linux/memoryPolicy")  # fmt: skip


def _start_container_hooks(steps: StepList, plan: "ContainerPlan", made: "Making", env: "list[str]") -> None:
    from pyrunc import jsontext

    # The pid is the one that the container sees (runtime.md, "State").
    state = jsontext.dump_bytes(plan.state(status="created", pid=posix.getpid()))
    lowest = 3 + plan.kept_fds
    state_fd = above(sealed.data("state", state), lowest)
    stdout, stderr = (above(stream, lowest) if stream >= 0 else -1 for stream in made.hook_streams)
    for i, hook in enumerate(plan.hooks.start_container):
        args = steps.strings(list(hook.args) or [hook.path])
        hook_env = steps.strings(env if hook.env is None else hook.env)
        arguments = (steps.string(hook.path), args, hook_env, state_fd, stdout, (hook.timeout or 0) * 1000)
        steps.step(HOOK, stderr, arguments, f"startContainer hook #{i}")
    steps.fds += [state_fd, *{stdout, stderr} - {-1}]
