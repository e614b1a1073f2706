"""pyrunc checkpoint: write the processes of a container into image files, by CRIU."""

import _signal
import posix

from pyrunc import host
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.bundle import absolute
from pyrunc.container import Container
from pyrunc.context import Context
from pyrunc.errors import PyruncError, UsageError
from pyrunc.jsontext import loads
from pyrunc.kernel.syscalls import CLONE_NEWNET
from pyrunc.savedstate import State
from pyrunc.spec.config import Config, parse_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .directories import Directories
    from .rpc import Value

# What checkpoint and restore have in common.
OPTIONS = (
    Option("image-path", "directory of the image files (default: `checkpoint` in the working directory)", "DIR"),
    Option("work-path", "directory of criu's log and statistics (default: the image directory)", "DIR"),
    Option("tcp-established", "allow open TCP connections"),
    Option("ext-unix-sk", "allow connections to unix sockets outside the container"),
    Option("shell-job", "allow a container that runs on a shell's terminal"),
    Option("file-locks", "allow file locks; nobody outside may hold locks on the same files"),
    Option("lazy-pages", "transfer memory on demand, by userfaultfd"),
    Option("empty-ns", "do not save or restore the contents of this namespace (network)", "TYPE", repeat=True),
    Option("auto-dedup", "free memory in earlier images once it is no longer needed"),
    Option("manage-cgroups-mode", "how to treat cgroups: soft (default), full, strict, ignore, none or props", "MODE"),
    Option("network-lock", "how to lock the network: iptables, nftables or skip (default: criu's)", "METHOD"),
)
VERB = Verb(
    "checkpoint a container into image files, and stop it",
    ("ID",),
    (
        *OPTIONS,
        Option("leave-running", "leave the container running"),
        Option("pre-dump", "dump only memory, for later images; leave the container running"),
        Option("parent-path", "directory of earlier --pre-dump images, relative to --image-path", "DIR"),
        Option("tcp-skip-in-flight", "skip TCP connections that are not established yet"),
        Option("link-remap", "link unlinked files back into the file system"),
        Option("page-server", "send memory to a criu page server", "ADDRESS:PORT"),
        Option("status-fd", "write a zero byte to this descriptor when --lazy-pages is ready", "FD"),
    ),
)

_CONFIGS = ("/etc/criu/pyrunc.conf", "/etc/criu/runc.conf")  # CRIU's documentation names the latter for every runtime


def run(context: Context, arguments: Arguments) -> int:
    """Checkpoint. Without --leave-running or --pre-dump the container is gone afterwards."""
    if "status-fd" in arguments.options:
        _require_writable(arguments.natural("status-fd"))
    container, state = Container.open_for("checkpoint", context.root, arguments.operands[0])
    require_privilege("checkpoint")
    config = parse_config(loads(container.read("config.json"), f"{container.path}/config.json"))
    _dump(context, arguments, config, state, container.id)
    if not (arguments.flag("leave-running") or arguments.flag("pre-dump")):
        from pyrunc.destroy import destroy

        destroy(context, container, state)
    return 0


def _require_writable(status_fd: int) -> None:
    """Looked at before anything else is opened, which might get that number."""
    import fcntl

    try:
        mode = fcntl.fcntl(status_fd, fcntl.F_GETFL) & posix.O_ACCMODE
    except OSError as error:
        raise PyruncError.from_os(f"--status-fd {status_fd}", error, hint="open it for the command") from None
    if mode == posix.O_RDONLY:
        raise UsageError(f"--status-fd {status_fd}: the descriptor is open for reading only")


def require_privilege(command: str) -> None:
    """CRIU needs root of the host."""
    if not host.privileged():
        raise PyruncError(f"{command} must be run as root on the host: criu requires it")


def directories(arguments: Arguments, config: Config, *, make: bool) -> "Directories":
    """Those of --image-path and --work-path. They may be the container's root's: podman gives it all of a container's
    files if it has a user namespace."""
    from .directories import Directories

    images = absolute(arguments.text("image-path") or "checkpoint")
    work = absolute(arguments.text("work-path") or images)
    mapped_root = (mapping.host_id for mapping in config.linux.uid_mappings if mapping.container_id == 0)
    return Directories(images, work, (0, posix.geteuid(), *mapped_root), make=make)


def common_options(
    arguments: Arguments, directories: "Directories", log: str, annotations: "Mapping[str, str]"
) -> "dict[str, Value]":
    """The options of CRIU's request that both commands have."""
    from . import rpc

    options: dict[str, Value] = {
        "images_dir_fd": directories.images_fd,
        "work_dir_fd": directories.work_fd,
        "log_file": log,
        "log_level": 4,
        "notify_scripts": True,
        "orphan_pts_master": True,
        "manage_cgroups_mode": _choice(arguments, "manage-cgroups-mode", rpc.CGROUP_MODES, "soft"),
    }
    for name in ("tcp-established", "ext-unix-sk", "shell-job", "file-locks", "lazy-pages", "auto-dedup"):
        options[name.replace("-", "_")] = arguments.flag(name)
    if "network-lock" in arguments.options:
        options["network_lock"] = _choice(arguments, "network-lock", rpc.NETWORK_LOCKS, "")
    for kind in arguments.texts("empty-ns"):
        if kind != "network":
            raise UsageError(f"--empty-ns `{kind}`: criu supports only `network`")
        options["empty_ns"] = CLONE_NEWNET
    file = annotations.get("org.criu.config") or next((path for path in _CONFIGS if posix.access(path, posix.R_OK)), "")
    if file:
        options["config_file"] = file
    return options


def _choice(arguments: Arguments, name: str, choices: "dict[str, int]", default: str) -> int:
    word = arguments.text(name, default)
    if word not in choices:
        raise UsageError(f"--{name} `{word}`: use one of {', '.join(choices)}")
    return choices[word]


def _dump(context: Context, arguments: Arguments, config: Config, state: State, container_id: str) -> None:
    """Let CRIU write the images. Ctrl-C comes through when that is done: in its middle it cannot be stopped. With
    --lazy-pages it can: there CRIU waits for somebody to fetch the memory, who may never come."""
    from . import images, rpc, service

    program = service.find(context.environment)
    if arguments.flag("lazy-pages"):
        service.require_large_pipes()
    where = directories(arguments, config, make=True)
    options = common_options(arguments, where, "dump.log", config.annotations)
    options |= _dump_options(arguments, where)
    options |= _container_options(config, state)
    said, external = images.external_streams(state.pid, state.streams)
    options["external"] = [*images.external_namespaces(state.pid, _joined(config)), *external]
    service.check_version(program, context.environment, options)
    pre_dump = arguments.flag("pre-dump")
    if not pre_dump:
        images.write_descriptors(where.images_fd, where.images, said)
    keep = (*where.fds, *((arguments.natural("status-fd"),) if "status-fd" in arguments.options else ()))
    blocked = () if arguments.flag("lazy-pages") else service.ENDING
    _signal.pthread_sigmask(_signal.SIG_BLOCK, blocked)
    try:
        criu = service.Service(program, context.environment, keep, own_session=True)
        try:
            response = criu.request(rpc.PRE_DUMP if pre_dump else rpc.DUMP, options)
        except BaseException:
            criu.kill()
            raise
        finally:
            criu.close()
        if not response.success:
            doing = f"checkpoint container `{container_id}`, which runs on"
            raise service.failure(doing, where.work, "dump.log", response)
    finally:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, blocked)


def _dump_options(arguments: Arguments, directories: "Directories") -> "dict[str, Value]":
    options: dict[str, Value] = {"leave_running": arguments.flag("leave-running") or arguments.flag("pre-dump")}
    for name in ("tcp-skip-in-flight", "link-remap"):
        options[name.replace("-", "_")] = arguments.flag(name)
    parent = arguments.text("parent-path")
    if parent:
        if parent.startswith("/"):
            raise UsageError(f"--parent-path `{parent}` must be relative to --image-path")
        try:
            posix.close(posix.open(parent, posix.O_DIRECTORY | posix.O_CLOEXEC, dir_fd=directories.images_fd))
        except OSError as error:
            raise PyruncError.from_os(f"open the directory `{parent}` of --parent-path", error) from None
        options["parent_img"] = parent
    if arguments.flag("pre-dump") or parent:
        options["track_mem"] = True
    server = arguments.text("page-server")
    if server:
        address, colon, port = server.rpartition(":")
        if not (colon and port.isdecimal() and len(port) < 6):
            raise UsageError(f"--page-server `{server}`: expected ADDRESS:PORT")
        options["ps"] = {"address": address.strip("[]"), "port": int(port)}
    if "status-fd" in arguments.options:
        options["status_fd"] = arguments.natural("status-fd")
    return options


def _container_options(config: Config, state: State) -> "dict[str, Value]":
    """What CRIU has to know of the container: process, root, cgroup, and what is mounted in it from outside."""
    from pyrunc.cgroup.interface_files import directory

    from . import images

    binds = [mount.destination for mount in config.mounts if {"bind", "rbind"} & set(mount.options)]
    nodes = images.bound_nodes([device.path for device in config.linux.devices])
    options: dict[str, Value] = {
        "pid": state.pid,
        "root": state.rootfs,
        "ext_mnt": images.external_mounts(state.pid, [*binds, *nodes], tuple(config.linux.masked_paths)),
    }
    if state.cgroup:
        options["freeze_cgroup"] = directory(state.cgroup)
    return options


def _joined(config: Config) -> "list[str]":
    return [entry.type for entry in config.linux.namespaces if entry.path]
