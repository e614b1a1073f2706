"""The parent's side of create: make the container's first process, serve it, and undo everything if something fails."""

import posix
import time
from errno import EACCES, ENOENT, EPERM, EROFS

from pyrunc.cgroup import cgroupfs as cgroup_fs
from pyrunc.cgroup import manager
from pyrunc.container import Container
from pyrunc.errors import ConfigError, PyruncError, within
from pyrunc.kernel import descriptors, files, namespaces, syscalls
from pyrunc.kernel.process import credentials, processes, sealed
from pyrunc.savedstate import SavedHook, State

from . import conversation, init, limits, making
from .channel import CLONE_CHECKS, PeerGone
from .entering import HelperFds
from .making import Making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.ids.idmap import Range
    from pyrunc.planning.container import ContainerPlan
    from pyrunc.planning.facts import HostFacts

    from .channel import Channel


def create(plan: "ContainerPlan", container: Container, made: Making, host: "HostFacts") -> None:
    """Make the container up to the point where its init waits. What is made is noted in `made`, for `undo`."""
    if host.euid == 0:  # now: all that is cloned inherits it
        credentials.hide()
    making.open_joins(plan, made)
    _refuse_to_change_the_host(plan, made)
    making.open_sources(plan, made, host)
    _make_nodes(plan, made)
    making.open_hook_streams(plan, made)
    fds = _make_helper_fds(container)
    if plan.resctrl is not None:
        made.resources.groups.make(plan.resctrl, container.note)
    if not plan.has_mount_namespace:
        made.resources.mounts.make(plan.rootfs, container.note)
    cgroup = place(made, container, host)
    ours, theirs = made.converse()
    _spawn(plan, made, theirs, fds, cgroup, container)
    theirs.close()
    for fd in (cgroup, fds.helper, fds.fifo, fds.result, *made.nodes.values()):
        if fd >= 0:
            posix.close(fd)
    _serve(plan, ours, host, made, container)
    save(plan, container, made)
    ours.acknowledge()
    ours.close()
    made.resources.interfaces.let_go()


def _refuse_to_change_the_host(plan: "ContainerPlan", made: Making) -> None:
    """Raise ConfigError for what would be set in a namespace that the config names but that is the runtime's own."""
    ours = {join.kind: join for join in made.joins if join.kind not in made.apart}
    if "mount" in ours:
        text = "the mount namespace is the runtime's own: the whole host would get the container's root"
        raise ConfigError(text, pointer=ours["mount"].pointer, hint="remove the entry to run in a chroot")
    if plan.sysctl and ours:
        from pyrunc.kernel import sysctl

        sysctl.check(plan.sysctl, ours)
    for key, name in (("hostname", plan.hostname), ("domainname", plan.domainname)):
        if name is None or "uts" not in ours:
            continue
        if files.read(f"/proc/sys/kernel/{key}").rstrip(b"\n") != name.encode("utf-8", "surrogateescape"):
            text = f"the {key} `{name}` would be set on the host: the uts namespace is the runtime's own"
            raise ConfigError(text, pointer=f"/{key}")


def _make_nodes(plan: "ContainerPlan", made: Making) -> None:
    """Make the device nodes that init may not make."""
    if plan.makes_nodes:
        from pyrunc.kernel.mount import nodes

        with within("/linux/devices"):
            made.nodes = nodes.make(plan.devices, *_user_ranges(made), plan.mount_label)


def _user_ranges(made: Making) -> "tuple[tuple[Range, ...], tuple[Range, ...]]":
    """The ids of the user namespace that the container will be in."""
    joined = made.joined("user")
    if joined < 0:
        return made.maps.uids, made.maps.gids
    from pyrunc.kernel.ids import idmap

    return idmap.of_namespace(joined)


def place(made: Making, container: Container, host: "HostFacts") -> int:
    """Make the cgroup, if it is ours to make; its descriptor or -1. Without limits a container can do without one."""
    want = made.resources.cgroup.want
    try:
        return made.resources.cgroup.make(container.note)
    except PyruncError as error:
        no_hierarchy = cgroup_fs.mount_point() is None
        not_ours = not host.privileged and not (want.pointer or want.leaf) and error.errno in _NOT_OURS
        if want.settings or want.asks_for_devices or not (no_hierarchy or not_ours):
            raise
    descriptors.reserve()  # again
    made.resources.cgroup.give_up()
    for key in ("cgroupIntent", "cgroup"):
        container.note(key, "")
    return -1


_NOT_OURS = (EPERM, ENOENT, EACCES, EROFS)


def _make_helper_fds(container: Container) -> HelperFds:
    """The fifos, open for reading and writing so that neither end ever blocks or sees an end of file."""
    posix.mkfifo("exec.fifo", 0o600, dir_fd=container.fd)
    posix.mkfifo("exec.result", 0o600, dir_fd=container.fd)
    flags = posix.O_RDWR | posix.O_CLOEXEC | posix.O_NOFOLLOW
    return HelperFds(
        sealed.helper(),
        posix.open("exec.fifo", flags, dir_fd=container.fd),
        posix.open("exec.result", flags, dir_fd=container.fd),
    )


def clone(made: Making, container: Container, cgroup: int, flags: int, what: str) -> int:
    """Clone `what` into the cgroup whose descriptor `place` has returned; its pid, 0 in it. The cgroup, and what the
    descriptor is of, is made anew if it was removed meanwhile."""
    want = made.resources.cgroup.want
    for tries_left in range(manager.TRIES, -1, -1):
        try:
            if cgroup < 0:
                return syscalls.fork_into(flags)
            return cgroup_fs.fork(want.path + want.leaf, cgroup, flags)
        except OSError as error:
            if cgroup < 0 or error.errno not in manager.VANISHED or not tries_left:
                raise _not_cloned(want.path, cgroup, what, error) from None
        again = manager.place(want, made.resources.cgroup.before, container.note)
        posix.dup2(again, cgroup, inheritable=False)
        posix.close(again)
    raise AssertionError


def _not_cloned(path: str, cgroup: int, what: str, error: OSError) -> PyruncError:
    doing, hint = f"clone {what}", ""
    if cgroup >= 0 and error.errno in cgroup_fs.JOIN_HINTS:
        doing, hint = f"{doing} in cgroup `{path}`", cgroup_fs.JOIN_HINTS[error.errno]
    return PyruncError.from_os(doing, error, hint=hint, check=CLONE_CHECKS)


def _spawn(  # noqa: PLR0917  (each is used once)
    plan: "ContainerPlan", made: Making, theirs: "Channel", fds: HelperFds, cgroup: int, container: Container
) -> None:
    """Clone init, or the process that makes it."""
    run = init.run
    if plan.needs_middle:
        from . import middle  # before the clone: what fails in a child must not pass into our code

        run = middle.run
    flags = 0 if plan.joins_first else plan.new_at_once
    pid = clone(made, container, cgroup, flags, "the container's first process")
    if pid == 0:
        assert made.channel is not None
        made.channel.close()
        for fd in (container.fd, cgroup):  # they lead out of the root that it will enter
            if fd >= 0:
                posix.close(fd)
        run(plan, made, theirs, fds)
    if plan.needs_middle:
        made.helper = pid
    else:
        made.pid = pid


def _serve(plan: "ContainerPlan", channel: "Channel", host: "HostFacts", made: Making, container: Container) -> None:
    """The conversation of `conversation`, from our side."""
    cgroup = made.resources.cgroup
    try:
        if plan.needs_middle:
            made.meet(channel, "joining namespaces")
        if plan.creates("user"):
            channel.expect(conversation.READY_FOR_MAPS, "entering its namespaces")
            _map_ids(plan, host, made)
        cgroup.adopt(made.pid, container.note, plan.container_id)
        if any(mount.options.tmpcopyup for mount in plan.mounts):
            manager.limit_copies(cgroup.want, made.cgroup)
        if not plan.joins_first:
            limits.set_oom_score(plan.process, made.pid)
        if plan.resctrl is not None:
            from pyrunc.wings import resctrl

            with within(plan.resctrl.pointer):
                resctrl.join(made.pid, plan.resctrl.directory, plan.resctrl.monitor)
        if plan.net_devices:
            made.resources.interfaces.make(plan.net_devices, network_namespace(made))
        _send_go(plan, channel, made.pid)
        note_init(made, container)  # now, while init works: until it has said that it is created it ends when we do
        if plan.asks_parent_for_hooks:
            channel.expect(conversation.MOUNTED, "mounting")
            run_hooks(plan, made)
            channel.send(conversation.CONTINUE)
        socket, doing = plan.options.console_socket, "setting up the container"
        made.equip(channel, plan.process, doing, console_socket=socket, splits=plan.splits)
        if plan.splits:
            made.helper, made.pid = made.pid, 0
            made.meet(channel, "setting up the container")
            note_init(made, container)
            channel.acknowledge()
        channel.expect(conversation.CREATED, "becoming the container's user")
        # Now that no interpreter is in the cgroup any more: the smallest limit that holds the program will do.
        if warning := manager.restrict(cgroup.want, made.cgroup):
            made.warnings.append(warning)
        manager.check_survivors(cgroup.want, cgroup.before, made.cgroup)
        made.warnings += channel.warnings
    except PeerGone as error:
        manager.check_survivors(cgroup.want, cgroup.before, made.cgroup)
        raise _why_gone(error, made) from None


def _send_go(plan: "ContainerPlan", channel: "Channel", pid: int) -> None:
    """To root of a user namespace with the file that takes the time offsets: it is hidden, so that is the host's."""
    if not (plan.time_offsets and plan.enters_user_namespace):
        channel.send(conversation.GO)
        return
    with within("/linux/timeOffsets"):
        offsets = namespaces.open_time_offsets(pid)
    channel.send(conversation.GO, None, (offsets,))
    posix.close(offsets)


def run_hooks(plan: "ContainerPlan", made: Making) -> None:
    """The hooks that run in the runtime's namespaces while the container is being made."""
    from pyrunc import hooks

    # `created`, as crun has it: `creating` is step 2 of the life cycle, hooks are steps 3 to 5 (runtime.md).
    state, environ, streams = plan.state("created", made.pid), plan.options.environment, made.hook_streams
    hooks.run("prestart", plan.hooks.prestart, state, environ=environ, streams=streams)
    hooks.run("createRuntime", plan.hooks.create_runtime, state, environ=environ, streams=streams)


def _map_ids(plan: "ContainerPlan", host: "HostFacts", made: Making) -> None:
    from pyrunc.kernel.ids import idmap

    maps = made.maps
    if not maps.automatic or host.rights is None:
        with within("/linux"):
            idmap.write(made.pid, maps.uids, maps.gids, host.rights)
        return
    alone = dict(zip(("uid", "gid"), maps.alone, strict=True))
    with within("/linux"):
        uids, gids, warning = idmap.write_or_single(made.pid, maps.uids, maps.gids, host.rights, alone)
    if warning:
        made.maps = maps.narrowed(uids, gids, warning)
        made.warnings.append(warning)
        plan.check_ids(made.maps)  # they were good for the ranges


def network_namespace(made: Making) -> str:
    """Where it is found: the one that is joined, or that of the first process."""
    joined = made.joined("network")
    return f"/proc/self/fd/{joined}" if joined >= 0 else f"/proc/{made.pid}/ns/net"


def note_init(made: Making, container: Container) -> None:
    """Write down who init is."""
    facts = processes.stat(made.pid)
    made.start_time = facts[1] if facts else 0
    made.seen_from = processes.vantage()
    container.note("init", [made.pid, made.start_time, *made.seen_from])


def save(plan: "ContainerPlan", container: Container, made: Making) -> None:
    """Write the state for later commands."""
    state, terminal = State(saved=True), plan.process.terminal
    state.id, state.annotations = plan.container_id, plan.annotations
    state.bundle, state.rootfs = plan.bundle, plan.rootfs
    state.created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state.pid, state.start_time, state.seen_from = made.pid, made.start_time, made.seen_from
    state.namespaces, state.private_pids = namespaces.identities(made.pid), plan.creates("pid")
    state.streams = [] if terminal else descriptors.targets(3 + plan.kept_fds)
    state.has_process, state.new_keyring, state.keyring = plan.process.exists, plan.new_keyring, plan.keyring
    if plan.profile is not None and plan.profile.notifies:
        state.listener = list(plan.listener or ())
    later = {"poststart": plan.hooks.poststart, "poststop": plan.hooks.poststop}
    state.saved_hooks = {name: [SavedHook.entry(hook) for hook in hooks] for name, hooks in later.items() if hooks}
    made.resources.save(state)
    container.save(state)


def _why_gone(error: PyruncError, made: Making) -> PyruncError:
    """What the exit status of an init that went without a word tells."""
    try:
        _, status = posix.waitpid(made.pid, 0)
    except ChildProcessError:
        return error
    made.pid = 0
    how = f"signal {status & 0x7F}" if status & 0x7F else f"status {status >> 8}"
    return PyruncError(error.message.replace("exited", f"exited ({how})", 1))
