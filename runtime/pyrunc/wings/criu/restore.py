"""pyrunc restore: a container from a bundle and the image files of `pyrunc checkpoint`, by CRIU."""

from pyrunc import bundle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.commands import create
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel.process import lsm
from pyrunc.planning import facts
from pyrunc.planning.container import build
from pyrunc.spec.config import Config, parse_config

from . import checkpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.planning.container import ContainerPlan

    from .restorer import Restored
    from .rpc import Value

VERB = Verb(
    "restore a container from the image files of a checkpoint",
    ("ID",),
    (
        Option("bundle", "bundle directory (default: the working directory)", "DIR", "b"),
        *checkpoint.OPTIONS,
        Option("console-socket", "send the terminal to the unix socket PATH", "PATH"),
        Option("pid-file", "write the pid of the container's first process to FILE", "FILE"),
        Option("detach", "return and leave the container running", short="d"),
        Option("preserve-fds", "replace file descriptors 3 to 2+N of the checkpoint by ours", "N"),
        Option("tcp-close", "close TCP connections"),
        Option("lsm-profile", "run with this label: selinux:LABEL or apparmor:PROFILE", "TYPE:NAME"),
        Option("lsm-mount-context", "mount file systems with this SELinux context", "CONTEXT"),
        Option("no-pivot", "accepted for compatibility", hidden=True),
        Option("no-new-keyring", "keep the caller's session keyring"),
        Option("no-subreaper", "accepted for compatibility", hidden=True),
    ),
)


def run(context: Context, arguments: Arguments) -> int:
    """The exit status is the program's, or 128 and the signal that ended it; 0 with --detach."""
    checkpoint.require_privilege("restore")
    detach = arguments.flag("detach")
    if not detach:
        import _prctl

        _prctl.prctl(_prctl.PR_SET_CHILD_SUBREAPER, 1)  # daemons of the container become ours to reap
    container, made = _restore(context, arguments, detach=detach)
    from pyrunc.commands.run import stay

    return stay(context, arguments, container, made, started=True)


def _restore(context: Context, arguments: Arguments, *, detach: bool) -> "tuple[Container, Restored]":
    """Restore; on failure nothing is left behind."""
    from . import restorer, service

    program = service.find(context.environment)
    options = create.common_options(context, arguments, detach=detach)
    text = bundle.read_config(options.bundle)
    config = parse_config(bundle.parse(text, f"{options.bundle}/config.json"))
    here = facts.gather_for(config, options)
    _refuse_what_is_not_in_the_images(config)
    todo = build(config, options, here)
    context.log.warnings(todo.warnings)
    where = checkpoint.directories(arguments, config, make=False)
    asked = checkpoint.common_options(arguments, where, "restore.log", config.annotations)
    asked["tcp_close"] = arguments.flag("tcp-close")
    if arguments.text("lsm-mount-context") and not lsm.selinux_enabled():  # criu would pass over it
        raise PyruncError("--lsm-mount-context is given, but SELinux is not enabled here")
    for name in ("lsm-profile", "lsm-mount-context"):
        if arguments.text(name):
            asked[name.replace("-", "_")] = arguments.text(name)
    _manage_strictly(todo, asked)
    service.check_version(program, context.environment, asked)
    want = restorer.Images(program, where.work, where.images_fd, where.work_fd, asked)

    def work(container: Container, made: restorer.Restored) -> None:
        restorer.restore(todo, container, made, want, here)

    return create.make(context, todo, text, restorer.Restored, work)


def _manage_strictly(todo: "ContainerPlan", asked: "dict[str, Value]") -> None:
    """--manage-cgroups-mode strict: no cgroup may be there. CRIU would find that of the container, which it runs in, so
    that one is looked for here, and the others cannot be there without it."""
    from pyrunc.cgroup import cgroupfs

    from . import rpc

    if asked["manage_cgroups_mode"] != rpc.CGROUP_MODES["strict"]:
        return
    if todo.cgroup.path and cgroupfs.exists(todo.cgroup.path):
        raise PyruncError(f"cgroup `{todo.cgroup.path}` already exists, and --manage-cgroups-mode is strict")
    asked["manage_cgroups_mode"] = rpc.CGROUP_MODES["full"]


def _refuse_what_is_not_in_the_images(config: Config) -> None:
    """What the kernel or CRIU would leave out without a word."""
    network = config.linux.namespace("network")
    own_network = network is not None and network.path is None
    interface = "CRIU cannot restore an interface that was moved in from the host", "give the network namespace a path"
    for there, key, (why, hint) in (
        (bool(config.linux.net_devices) and own_network, "netDevices", interface),
        (config.linux.intel_rdt is not None, "intelRdt", ("CRIU does not put processes into a resctrl group", "")),
    ):
        if there:
            raise ConfigError(f"a container with {key} cannot be restored: {why}", pointer=f"/linux/{key}", hint=hint)
