"""pyrunc create: a container from a bundle, up to the point where its program could run (runtime.md, "Create")."""

from errno import EMFILE, ENOMEM

from pyrunc import bundle, ending
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.kernel import descriptors
from pyrunc.kernel.process import credentials, keyring
from pyrunc.planning import facts
from pyrunc.planning.container import ContainerPlan, CreateOptions, build
from pyrunc.spec.config import parse_config
from pyrunc.stages import announce, making, parent
from pyrunc.stages.step_report import NotExecuted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Made = TypeVar("Made", bound=making.Making)

OPTIONS = (
    Option("bundle", "bundle directory (default: the working directory)", "DIR", "b"),
    Option("config", "read FILE instead of the bundle's config.json", "FILE", "f"),
    Option("console-socket", "send the terminal to the unix socket PATH", "PATH"),
    Option("pid-file", "write the pid of the container's first process to FILE", "FILE"),
    Option("pidfd-socket", "send a pidfd of this process to the unix socket PATH", "PATH"),
    Option("preserve-fds", "pass file descriptors 3 to 2+N to the container", "N"),
    Option("no-pivot", "do not use pivot_root (for a root on an initramfs)"),
    Option("no-new-keyring", "keep the caller's session keyring"),
    Option("no-subreaper", "accepted for compatibility", hidden=True),
)
VERB = Verb("create a container from a bundle", ("ID",), OPTIONS)


def run(context: Context, arguments: Arguments) -> int:
    """Create; the container waits for `start`."""
    create(context, arguments, detach=True)
    return 0


def create(context: Context, arguments: Arguments, *, detach: bool) -> "tuple[Container, making.Making]":
    """Create a container, for `create` and `run`. A failure leaves nothing behind, and names what the host lacks."""
    if context.log.can_take_back:
        _leave_word(context)
    try:
        return _create(context, arguments, detach=detach)
    except PyruncError as error:
        _explain(error, context)
        raise
    finally:
        context.log.take_back()


def _leave_word(context: Context) -> None:
    """A process that is OOM-killed cannot log it afterwards, and an engine may have put us below a pod's limit."""
    from pyrunc.cgroup import cgroupfs, oom

    if word := oom.last_word(cgroupfs.own_path()):
        context.log.leave_word(word)


_LIMITS = (ENOMEM, EMFILE)


def _explain(error: PyruncError, context: Context) -> None:
    """Add what the host lacks, if it can be found out. Too few descriptors or too little memory is our caller's limit,
    and would keep the search from being loaded."""
    if error.errno in _LIMITS:
        return
    try:
        from pyrunc.wings.doctor import causes

        causes.explain(error, facts.gather(context.environment), context.environment, context.root)
    except (ImportError, OSError, MemoryError):
        return


def _create(context: Context, arguments: Arguments, *, detach: bool) -> "tuple[Container, making.Making]":
    options = _options(context, arguments, detach=detach)
    text = bundle.read_config(options.bundle, arguments.text("config"))
    config = parse_config(bundle.parse(text, arguments.text("config") or f"{options.bundle}/config.json"))
    here = facts.gather_for(config, options)
    todo = build(config, options, here)
    if here.privileged and todo.joins_kind("pid") and not todo.splits:
        from pyrunc.kernel.process import sealed

        sealed.protect_interpreter(context.environment)
    if todo.resctrl is not None:
        todo.resctrl.check()
    context.log.warnings(todo.warnings)
    if todo.hooks.poststop:
        from pyrunc import hooks  # noqa: F401  (for undoing, which may have no room to load anything)

    def work(container: Container, made: making.Making) -> None:
        if todo.profile is not None:
            from pyrunc.wings.seccomp import filters

            made.filter = filters.filter_of(todo.profile, f"{context.root}/.seccomp-cache")
            context.log.warnings([*made.filter.warnings])
        if options.notify_source:
            from pyrunc.wings.systemd import notify

            notify.make_directory(container.fd)
        parent.create(todo, container, made, here)

    def poststop(container: Container, made: making.Making) -> None:
        """For a container that create did not finish, if other hooks can have run."""
        if todo.hooks.poststop and container.load().pid:
            from pyrunc import hooks

            state, streams = todo.state("stopped", 0), made.hook_streams
            context.log.warnings(
                hooks.run_all("poststop", todo.hooks.poststop, state, environ=context.environment, streams=streams)
            )

    return make(context, todo, text, making.Making, work, poststop=poststop)


def make(
    context: Context, todo: ContainerPlan, text: bytes, kind: "type[Made]", work: "Callable[[Container, Made], None]",
    *, poststop: "Callable[[Container, Made], None]" = lambda _container, _made: None,
) -> "tuple[Container, Made]":  # fmt: skip
    """Claim the id, do the work of a create or a restore, tell the caller of the process; if anything fails, undo it.

    text: of config.json; poststop: runs these hooks, see `Making.undo`.
    """
    options = todo.options
    credentials.guard_null()
    descriptors.reserve()
    ending.hold()
    container = Container.claim(context.root, options.container_id)
    made, told = kind(container, todo), ""
    try:
        ending.release()
        container.write("config.json", text)
        work(container, made)
        if options.pid_file:
            ending.hold()  # or the file could be there, and nobody know of it
            announce.write_pid_file(options.pid_file, made.pid)
            told = options.pid_file
            ending.release()
        if todo.pidfd_socket:
            announce.send_pidfd(todo.pidfd_socket, made.pid)
        context.log.warnings(made.warnings)
        ending.hold()  # it is whole: who goes on with it releases the signals where he can undo it
    except BaseException as error:
        ending.hold()
        descriptors.free_reserve()
        if told:
            announce.remove_pid_file(told)
        made.undo(error, lambda: poststop(container, made))
        if isinstance(error, NotExecuted):
            error.explain(todo.rootfs, lambda: text)
        raise
    return container, made


def common_options(context: Context, arguments: Arguments, *, detach: bool) -> CreateOptions:
    """What `create`, `run` and `restore` have in common."""
    options = CreateOptions(arguments.operands[0], bundle.resolved(arguments.text("bundle", ".")))
    options.detach = detach
    options.console_socket, options.pid_file = arguments.text("console-socket"), arguments.text("pid-file")
    options.new_keyring = not arguments.flag("no-new-keyring")
    if options.new_keyring:
        options.keyring = keyring.new_name(options.container_id)
    options.preserve_fds = arguments.natural("preserve-fds")
    options.cgroup_manager = context.cgroup_manager
    options.environment = context.environment
    return options


def _options(context: Context, arguments: Arguments, *, detach: bool) -> CreateOptions:
    options = common_options(context, arguments, detach=detach)
    options.pidfd_socket = arguments.text("pidfd-socket")
    options.pivot = not arguments.flag("no-pivot")
    if b"NOTIFY_SOCKET" in context.environment:
        from pyrunc.wings.systemd import notify

        if notify.host_address(context.environment):
            options.notify_source = f"{context.root}/{options.container_id}"
    return options
