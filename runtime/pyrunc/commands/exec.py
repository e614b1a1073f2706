"""pyrunc exec: run a further program in a running container."""

import posix

from pyrunc import ending, host, lifecycle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.bundle import read_given
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import NotPermitted, PyruncError, UsageError, within
from pyrunc.jsontext import loads
from pyrunc.kernel.process import capabilities, credentials, processes
from pyrunc.planning import exec as planning
from pyrunc.planning import facts
from pyrunc.planning.exec import ExecOptions, ExecPlan
from pyrunc.savedstate import State
from pyrunc.spec.config import parse_config
from pyrunc.stages import announce, exec_parent
from pyrunc.stages.children import Child
from pyrunc.stages.step_report import NotExecuted
from pyrunc.stages.target import Target

OPTIONS = (
    Option("process", "read the process from FILE (JSON, as `process` of config.json)", "FILE", "p"),
    Option("cwd", "working directory in the container", "DIR"),
    Option("env", "set an environment variable; may be repeated", "NAME=VALUE", "e", repeat=True),
    Option("tty", "allocate a terminal", short="t"),
    Option("user", "run as this numeric UID and GID", "UID[:GID]", "u"),
    Option("additional-gids", "add a numeric group; may be repeated", "GID", "g", repeat=True),
    Option("cap", "add a capability; may be repeated", "CAP", "c", repeat=True),
    Option("no-new-privs", "set no_new_privs"),
    Option("apparmor", "run under this AppArmor profile", "PROFILE"),
    Option("process-label", "run with this SELinux label", "LABEL"),
    Option("cgroup", "run in this cgroup, relative to the container's", "PATH"),
    Option("detach", "do not wait for the program to exit", short="d"),
    Option("pid-file", "write the pid of the process to FILE", "FILE"),
    Option("console-socket", "send the terminal to the unix socket PATH", "PATH"),
    Option("pidfd-socket", "send a pidfd of the process to the unix socket PATH", "PATH"),
    Option("preserve-fds", "pass file descriptors 3 to 2+N to the program", "N"),
    Option("ignore-paused", "in a paused container, wait until it is resumed"),
    Option("no-subreaper", "accepted for compatibility", hidden=True),
)
_WRITTEN = {  # what an option says, and nobody has checked yet
    "/process/cwd": "cwd",
    "/process/apparmorProfile": "apparmor",
    "/process/selinuxLabel": "process-label",
    "/process/user/additionalGids": "additional-gids",
    "/process/user/gid": "user",
    "/process/user/uid": "user",
}
VERB = Verb("run another program in a running container", ("ID", "[ARG...]"), OPTIONS, stop_at_operand=True)


def run(context: Context, arguments: Arguments) -> int:
    """The exit status is the program's, or 128 and the signal that ended it; 0 with --detach."""
    try:
        return _enter(context, arguments)
    except PyruncError as error:
        _say_where(error, arguments)
        raise


def _say_where(error: PyruncError, arguments: Arguments) -> None:
    """Where the value stands that an error is about: an option, the file with a process, or else the config."""
    option, file = _WRITTEN.get(error.pointer, ""), arguments.text("process")
    if option in arguments.options:
        error.about(f"--{option}", document="")
    elif file and error.pointer.startswith("/process/"):
        error.about(error.pointer.removeprefix("/process"), file)


def _enter(context: Context, arguments: Arguments) -> int:
    """Takes no lock: a poststart hook may call us, and nothing here changes the container."""
    container = Container.open(context.root, arguments.operands[0])
    state = container.load()
    status = container.status(state)
    if not (status == lifecycle.PAUSED and arguments.flag("ignore-paused")):
        lifecycle.require("exec", status, container.id)
    plan = _plan(arguments, container, state)
    child = exec_parent.Entered(plan)
    if plan.profile is not None:
        from pyrunc.wings.seccomp import filters

        child.filter = filters.filter_of(plan.profile, f"{context.root}/.seccomp-cache")
    try:
        target = Target(state)
        if target.sees_us() and host.privileged():
            from pyrunc.kernel.process import sealed

            sealed.protect_interpreter(context.environment)
        child.denies_setgroups = target.denies_setgroups()
        with within("/process/user/additionalGids"):
            credentials.check_groups(plan.process.user.additional_gids, denied=child.denies_setgroups)
        credentials.guard_null()
        exec_parent.enter(plan, child, target, arguments.text("console-socket"))
    except PyruncError as error:
        if not state.alive():
            raise NotPermitted("container not running") from None
        _explain(error, container, state, plan)
        if processes.first_thread_ended(state.pid):
            text = f"cannot exec in container `{container.id}`: the first thread of its first process has ended"
            raise NotPermitted(text) from None
        raise
    posix.close(target.pidfd)
    context.log.warnings(child.warnings)
    return _let_go(arguments, plan, child, container, state)


def _explain(error: BaseException, container: Container, state: State, plan: ExecPlan) -> None:
    if isinstance(error, NotExecuted):
        error.explain(f"/proc/{state.pid}/root", lambda: container.read("config.json"), plan.process)


def _let_go(arguments: Arguments, plan: ExecPlan, child: Child, container: Container, state: State) -> int:
    """Tell the caller of the process, let it run its program, and stay with it."""
    detach, pid_file = arguments.flag("detach"), arguments.text("pid-file")
    try:
        if state.resctrl:
            from pyrunc.wings import resctrl

            with within("/linux/intelRdt"):
                resctrl.join(child.pid, state.resctrl, state.resctrl_monitor)
        if pid_file:
            announce.write_pid_file(pid_file, child.pid)
        if arguments.text("pidfd-socket"):
            announce.send_pidfd(arguments.text("pidfd-socket"), child.pid)
        if detach:
            exec_parent.release(plan, child, state.spec_state(lifecycle.RUNNING))
            return 0
        from pyrunc.wings import foreground

        signals = foreground.Signals()
        exec_parent.release(plan, child, state.spec_state(lifecycle.RUNNING))
    except BaseException as error:
        ending.hold()
        child.end()
        if pid_file:
            announce.remove_pid_file(pid_file)
        if isinstance(error, PyruncError) and not state.alive():
            raise NotPermitted("container not running") from None
        _explain(error, container, state, plan)
        raise
    return foreground.attend(child.pid, signals, child.terminal)


def _plan(arguments: Arguments, container: Container, state: State) -> ExecPlan:
    saved = loads(container.read("config.json"), f"{container.path}/config.json")
    config = parse_config(saved)
    if config.keeps_groups and "additional-gids" in arguments.options:
        raise UsageError("--additional-gids cannot be set in a container that keeps its caller's groups")
    process = planning.process_of(_base(arguments, saved), _options(arguments))
    planning.check_terminal(process, detach=arguments.flag("detach"), console_socket=arguments.text("console-socket"))
    here, preserve_fds = facts.ProcessFacts(), arguments.natural("preserve-fds")
    here.look(process, preserve_fds, {})
    cgroup = planning.sub_cgroup(arguments.text("cgroup")) if "cgroup" in arguments.options else None
    keyring = state.keyring or f"_ses.{container.id}"  # without: an older version made it
    return ExecPlan(
        container.id, config, process, preserve_fds, here, new_keyring=state.new_keyring, keyring=keyring, cgroup=cgroup
    )


def _base(arguments: Arguments, saved: object) -> object:
    """The JSON value of the process that the options change: the file's, or the container's."""
    path = arguments.text("process")
    if path:
        value = loads(read_given(path), path)
        if not isinstance(value, dict):
            raise UsageError(f"`{path}` is not a process: expected a JSON object")
        return value
    if len(arguments.operands) < 2:
        raise UsageError("`exec` needs a program to run, or --process", hint="see `pyrunc exec --help`")
    return saved.get("process") if isinstance(saved, dict) else None


def _options(arguments: Arguments) -> ExecOptions:
    options = ExecOptions(arguments.operands[1:])
    options.cwd, options.user = arguments.text("cwd"), arguments.text("user")
    options.env, options.additional_gids = arguments.texts("env"), arguments.texts("additional-gids")
    options.apparmor, options.process_label = arguments.text("apparmor"), arguments.text("process-label")
    options.capabilities = arguments.texts("cap")
    if unknown := [name for name in options.capabilities if not capabilities.mask([planning.capability(name)])]:
        raise UsageError(f"unknown capability `{unknown[0]}`")
    if "user" in arguments.options and not options.user:
        raise UsageError("--user is empty: expected a numeric UID[:GID]")
    # The container's own program may have a terminal; that says nothing of this one.
    options.terminal = arguments.flag("tty") if arguments.flag("tty") or not arguments.text("process") else None
    if "no-new-privs" in arguments.options:
        options.no_new_privileges = arguments.flag("no-new-privs")
    return options
