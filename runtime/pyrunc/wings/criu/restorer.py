"""Restore, from the runtime's side: the cgroup, the root for CRIU, what it asks in between, the state; and the end.

CRIU runs in the container's cgroup, so that whatever it starts is in there from the beginning, and in a mount
namespace of its own, so that what is mounted for it is gone with it.
"""

import posix
from _signal import SIGKILL

from pyrunc.cgroup import manager
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel import paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.process import keyring, processes, trial
from pyrunc.stages import children, conversation, entering, making, parent
from pyrunc.stages.channel import pair

from . import images, rpc, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.mount.devices import Device
    from pyrunc.planning.container import ContainerPlan
    from pyrunc.planning.facts import HostFacts

    from .rpc import Value


_MOST_CPUS = 8192
_ROOT = "root"  # the name in the state directory of the directory that the root file system is bound on


class Images:
    """The program `criu`, the directory of its log, descriptors of that of the images and of the former, and the
    options that the command line asks for."""

    __slots__ = ("images_fd", "options", "program", "work", "work_fd")

    def __init__(self, program: str, work: str, images_fd: int, work_fd: int, options: "dict[str, Value]") -> None:
        self.program, self.work, self.images_fd, self.work_fd, self.options = program, work, images_fd, work_fd, options


class Restored(making.Making):
    """The restored init process, our child; criu: while it is at work."""

    __slots__ = ("criu",)

    def __init__(self, container: Container, plan: "ContainerPlan") -> None:
        super().__init__(container, plan)
        self.criu: service.Service | None = None

    def end(self) -> None:
        """End criu, and then what it has restored."""
        self.close_terminal()
        if self.criu is not None:
            self.criu.kill()
            self.criu.close()
        if self.pid > 1 and processes.signal(self.pid, self.start_time, SIGKILL):
            _reap(self.pid)


def restore(plan: "ContainerPlan", container: Container, made: Restored, want: Images, host: "HostFacts") -> None:
    """Restore the container and save its state."""
    making.open_joins(plan, made)
    making.open_hook_streams(plan, made)
    _make_mountpoints(plan)
    posix.mkdir(_ROOT, 0o755, dir_fd=container.fd)
    count = 3 + plan.kept_fds
    inherit = images.inherited_streams(want.images_fd, count)
    namespaces, joins = images.namespaces_again(made.joins)
    nodes = _nodes(plan, made)
    root = f"{container.path}/{_ROOT}"
    cgroup = parent.place(made, container, host)
    keep = (want.images_fd, want.work_fd, *inherit.values(), *(join.fd for join in made.joins))
    made.criu = service.Service(
        want.program, plan.options.environment, keep,
        clone=lambda: parent.clone(made, container, cgroup, syscalls.CLONE_NEWNS, "a process for criu"),
        before=lambda: _prepare(plan, root, want),
    )  # fmt: skip
    if cgroup >= 0:
        posix.close(cgroup)
    made.resources.cgroup.adopt(made.criu.pid, container.note, plan.container_id)
    if plan.net_devices:
        namespace = parent.network_namespace(made)
        made.resources.interfaces.make(plan.net_devices, namespace, may_be_there=True)
    options = want.options | {
        "root": root, "rst_sibling": True, "join_ns": joins,
        "inherit_fd": [*({"key": name, "fd": fd} for name, fd in inherit.items()), *namespaces],
        "ext_mnt": images.mounts_again(plan.mounts, plan.masked_paths, nodes),
    }  # fmt: skip
    if made.cgroup:
        # The unified hierarchy is the one without a name.
        options["cg_root"] = {"ctrl": "", "path": made.cgroup + plan.cgroup.leaf}
    else:
        options["manage_cgroups_mode"] = rpc.CGROUP_MODES["ignore"]

    def answer(criu: service.Service, notification: rpc.Response) -> None:
        _answer(plan, container, made, criu, notification)
        if notification.script == "post-restore" and "lsm_profile" in want.options:
            from pyrunc.kernel.process import lsm

            lsm.check_restored(made.pid, str(want.options["lsm_profile"]))

    with images.Searchable(want.images_fd, made.maps.gids):
        response = made.criu.request(rpc.RESTORE, options, answer)
    if not response.success:
        doing = f"restore container `{plan.container_id}`"
        raise service.failure(doing, want.work, "restore.log", response)
    made.criu.close()
    made.criu = None
    _made(container, made, response.pid)
    posix.rmdir(_ROOT, dir_fd=container.fd)
    parent.save(plan, container, made)
    made.resources.interfaces.let_go()


def _make_mountpoints(plan: "ContainerPlan") -> None:
    """In a child, for its mount namespace; it says what is wrong, or nothing."""
    ours, theirs = pair()
    try:
        pid = syscalls.fork_into(syscalls.CLONE_NEWNS)
    except OSError as error:
        raise PyruncError.from_os("start the process that makes mount points", error) from None
    if pid == 0:
        try:
            images.make_mountpoints(plan.rootfs, plan.mounts)
            theirs.send(conversation.MOUNTED)
        except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the parent's code)
            theirs.send_failure(error, "make mount points", "restore")
        finally:
            posix._exit(0)  # noqa: SLF001
    theirs.close()
    try:
        ours.expect(conversation.MOUNTED, "making mount points")
    finally:
        ours.close()
        children.kill(pid)


def _nodes(plan: "ContainerPlan", made: Restored) -> "list[str]":
    """The paths of devices that CRIU finds bound: it binds the host's nodes of these paths. One that is made for the
    container would have to lie where root of its user namespace, as whom CRIU opens it, may search."""
    if plan.can_mknod:
        return []
    for device in plan.devices if plan.makes_nodes else ():
        if device.kind != "p":
            made.warnings.append(f"device `{device.path}` is restored as the host has it ({device.pointer})")
            _require_host_node(device)
    return images.bound_nodes([device.path for device in plan.devices])


def _require_host_node(device: "Device") -> None:
    try:
        with opened(posix.open(device.path, paths.O_PATH | posix.O_CLOEXEC)) as node:
            device.require_hosts(node)
    except OSError as error:
        raise device.failure(error, "restore as the host's the") from None


def _prepare(plan: "ContainerPlan", root: str, want: Images) -> None:
    """In the process that becomes criu: bind the root file system where CRIU wants it, a mount on its own whose parent
    nothing covers; and leave the caller's keyring, which the container's processes would keep."""
    try:
        source = syscalls.open_tree(
            syscalls.AT_FDCWD, plan.rootfs, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE
        )
        top = posix.open("/", paths.O_PATH | posix.O_CLOEXEC)
        syscalls.mount_setattr(top, propagation=syscalls.MS_SLAVE, recursive=True)
        target = posix.open(root, paths.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        syscalls.move_mount(source, target)
        # CRIU mounts in its working directory, so that has to be of this mount namespace; and the one that was looked
        # at, whoever owns a directory above it.
        work = posix.open(want.work, posix.O_RDONLY | posix.O_DIRECTORY)
        new, old = posix.fstat(work), posix.fstat(want.work_fd)
        if (new.st_dev, new.st_ino) != (old.st_dev, old.st_ino):
            raise PyruncError(f"the directory `{want.work}` was replaced by another")
        posix.dup2(work, want.work_fd)
    except OSError as error:
        raise PyruncError.from_os(f"bind `{plan.rootfs}` to `{root}` for criu", error) from None
    posix.sched_setaffinity(0, range(_MOST_CPUS))  # what is restored inherits it: see `last_steps.use_all_cpus`
    if plan.new_keyring:
        if plan.process.selinux_label:
            entering.label_keys(plan.process.selinux_label)
        keyring.new_session_keyring(plan.keyring)


def _answer(
    plan: "ContainerPlan", container: Container, made: Restored, criu: service.Service, notification: rpc.Response
) -> None:
    """Do what is ours to do at a point of CRIU's work."""
    if notification.script == "setup-namespaces":
        _made(container, made, notification.pid)
        parent.run_hooks(plan, made)
    elif notification.script == "orphan-pts-master":
        from pyrunc.kernel.process import terminal

        main = criu.fds[0]
        made.deliver_terminal(main, terminal.name_of(main), plan.options.console_socket)
    elif notification.script == "post-restore":
        # All is there and nothing runs yet. Not before: CRIU makes device nodes, and needs memory of its own.
        if plan.rootfs_readonly:
            _make_root_readonly(made.pid)
        if warning := manager.restrict(made.resources.cgroup.want, made.cgroup):
            made.warnings.append(warning)


def _make_root_readonly(pid: int) -> None:
    """CRIU makes the root a plain bind mount. In a child: mount_setattr(2) is for mounts of one's own namespace."""
    with opened(posix.open(f"/proc/{pid}/ns/mnt", posix.O_RDONLY | posix.O_CLOEXEC)) as namespace:

        def work() -> None:
            syscalls.setns(namespace, syscalls.CLONE_NEWNS)
            root = posix.open("/", paths.O_PATH | posix.O_CLOEXEC)
            syscalls.mount_setattr(root, set_=syscalls.MOUNT_ATTR_RDONLY)

        errno = trial.try_in_child(0, work)
    if errno:
        raise PyruncError("make the root filesystem read-only", errno=errno, pointer="/root/readonly")


def _made(container: Container, made: Restored, pid: int) -> None:
    if pid != made.pid:
        made.pid = pid
        parent.note_init(made, container)


def _reap(pid: int) -> None:
    try:
        posix.waitpid(pid, 0)
    except ChildProcessError:
        return  # CRIU came only so far as to make it its own child
