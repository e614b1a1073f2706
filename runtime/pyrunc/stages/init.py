"""The container's first process, from the clone to the handover: read it top to bottom.

Three steps, by where we stand: into the namespaces, the root built from outside, and inside it; then the way out. What
is to be done was decided in the plan. Everything that fails raises; the parent gets the error as a value.
"""

import fcntl
import posix
from _signal import SIGKILL

import _prctl

from pyrunc.errors import PyruncError, within
from pyrunc.kernel import loopback, namespaces, paths, syscalls
from pyrunc.kernel.mount import devices, mounts, procfs, rootfs
from pyrunc.kernel.process import credentials

from . import conversation, entering, last_steps, limits, making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.planning.container import ContainerPlan

    from .channel import Channel
    from .entering import HelperFds
    from .making import Making


def run(plan: "ContainerPlan", made: "Making", channel: "Channel", fds: "HelperFds") -> None:
    """Become the container: never returns. `fds` are the descriptors that pyrunc-init will need."""
    try:
        _become_container(plan, made, channel, fds)
    except BaseException as error:  # noqa: BLE001  (nothing may pass from here into the parent's code)
        channel.send_failure(error, "set up the container", "init")
    finally:  # also if nobody is left to be told
        posix._exit(1)  # noqa: SLF001


def _become_container(plan: "ContainerPlan", made: "Making", channel: "Channel", fds: "HelperFds") -> None:
    load_what_is_needed(plan, made)
    if plan.splits and plan.attributes:  # pyrunc-init writes them before it is in the pid namespace
        fds.proc = procfs.private()
    _enter_namespaces(plan, made, channel)
    root, attached = _build_root(plan, made, channel)
    # In a mount namespace that is joined /proc may show other processes.
    env = entering.environment(plan, root, channel, before_pivot=not plan.joins_kind("mount"))
    null = paths.null_device() if plan.masked_paths else -1
    proc = procfs.private(subset=False) if plan.sysctl or plan.attributes else -1
    if plan.attributes and not plan.splits:
        fds.proc = proc
    console = _move_in(plan, channel, root, attached, null, proc)
    if console >= 0 and not plan.splits:
        fcntl.ioctl(console, entering.TIOCSCTTY, 0)
    entering.become_pyrunc_init(
        plan, fds, channel, console, lambda talk: last_steps.of_create(plan, made, env, fds, talk)
    )


def _enter_namespaces(plan: "ContainerPlan", made: "Making", channel: "Channel") -> None:
    """In the host's root: from a process of the runtime's to root of the container's namespaces."""
    _prctl.prctl(_prctl.PR_SET_PDEATHSIG, SIGKILL)
    if plan.splits:
        join(plan, made)
        syscalls.unshare(plan.new_at_once)
    if plan.creates("user"):
        channel.send(conversation.READY_FOR_MAPS)
    channel.expect(conversation.GO, "waiting for the parent")
    time_offsets = channel.fds[0] if channel.fds else -1
    if not plan.joins_first:
        namespaces.enter_all(made.joins)
    if plan.enters_user_namespace:
        user = plan.process.user
        credentials.become_root(user.uid, user.gid, keep_groups=plan.keeps_groups)
        made.denies_setgroups = credentials.setgroups_denied()
        with within("/process/user/additionalGids"):
            credentials.check_groups(plan.process.user.additional_gids, denied=made.denies_setgroups)
    if plan.creates("cgroup"):  # not in clone3: the namespace's root would be our parent's cgroup
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    if plan.creates("time"):
        with within("/linux/timeOffsets"):
            namespaces.set_time_offsets(plan.time_offsets, time_offsets)
    credentials.hide()  # new credentials have reset it; and an ordinary user's init could not hide before it was mapped
    posix.setsid()
    label = plan.process.selinux_label or ""
    entering.join_keyring(plan, channel, label)
    _set_names(plan)
    if plan.creates("network"):
        loopback.loopback_up()


def join(plan: "ContainerPlan", made: "Making") -> None:
    """Join what the configuration names, before anything new is made: those are the host's privilege to join."""
    limits.set_oom_score(plan.process, posix.getpid())  # inherited; an ordinary user may not once we hide
    if not plan.creates("user"):
        credentials.hide()
    namespaces.enter_all(made.joins)


def _build_root(plan: "ContainerPlan", made: "Making", channel: "Channel") -> "tuple[int, mounts.Attached]":
    """In the host's root still: mounts, devices, hooks that may change them; (a descriptor of the root, the mounts)."""
    posix.umask(0o022)
    with within("/root/path"):
        root = rootfs.prepare(plan.rootfs, plan.propagation, private=plan.has_mount_namespace)
    attached = mounts.Attached()
    for i, mount in enumerate(plan.mounts):
        if mount.earlier:
            for warning in making.open_source(plan, made, i, root):
                channel.send(conversation.WARNING, warning)
        source, locked = made.sources.get(i, (-1, 0))
        mounts.attach(
            root, mount, attached, source_fd=source, locked=locked, userns=made.mount_maps.get(i, -1),
            apart=made.apart, of_children=plan.splits,
        )  # fmt: skip
    for warning in devices.create(root, plan.devices, attached, bind=not plan.can_mknod, nodes=made.nodes):
        channel.send(conversation.WARNING, warning)
    devices.link(root, attached)
    credentials.use_own_null(root, before_pivot=not plan.joins_kind("mount"))
    if plan.asks_parent_for_hooks:
        channel.send(conversation.MOUNTED)
        channel.expect(conversation.CONTINUE, "running the createRuntime hooks")
    if plan.hooks.create_container:
        from pyrunc import hooks

        state = plan.state("created", posix.getpid())  # after step 2 of the life cycle, as in parent
        environ = plan.options.environment
        hooks.run(
            "createContainer", plan.hooks.create_container, state, environ=environ, streams=made.hook_streams
        )
    return root, attached


def _move_in(  # noqa: PLR0917  (each is used once)
    plan: "ContainerPlan", channel: "Channel", root: int, attached: "mounts.Attached", null: int, proc: int
) -> int:
    """Make it the root, and close off what the container may not see or write; the terminal's end for it, or -1."""
    if not plan.has_mount_namespace:
        paths.change_root(root)
    elif plan.options.pivot:
        rootfs.pivot(root)
    else:
        rootfs.move_root(root)
    if plan.sysctl:
        from pyrunc.kernel import sysctl

        sysctl.apply(proc, plan.sysctl)
    console = entering.open_console(plan, root, channel, attached)
    if plan.process.exists:  # while all that will be read-only can be written
        credentials.make_working_directory(root, plan.process.cwd)
    rootfs.protect(root, plan.readonly_paths)
    rootfs.mask(root, plan.masked_paths, null, plan.mount_label)
    attached.seal()
    if plan.rootfs_readonly:
        rootfs.make_readonly(root)
    if plan.propagation:
        rootfs.set_propagation(root, plan.propagation)
        rootfs.keep_propagation(root, plan.propagation, plan.mounts, attached.names)
    return console


def load_what_is_needed(plan: "ContainerPlan", made: "Making") -> None:
    """Import what the rest of this file uses, and switch importing off."""
    if any(mount.options.tmpcopyup for mount in plan.mounts):
        from pyrunc.wings import copyup  # noqa: F401  (loaded for later)
    if plan.hooks.create_container:
        from pyrunc import hooks  # noqa: F401  (loaded for later)
    if plan.sysctl:
        from pyrunc.kernel import sysctl  # noqa: F401  (loaded for later)
    if plan.hooks.start_container:
        from pyrunc import jsontext  # noqa: F401  (loaded for later)
    entering.stop_importing(plan, made)


def _set_names(plan: "ContainerPlan") -> None:
    for value, setter, key in (
        (plan.hostname, syscalls.sethostname, "hostname"),
        (plan.domainname, syscalls.setdomainname, "domainname"),
    ):
        if value is not None:
            try:
                setter(value)
            except OSError as error:
                raise PyruncError.from_os(f"set the {key} `{value}`", error, pointer=f"/{key}") from None
