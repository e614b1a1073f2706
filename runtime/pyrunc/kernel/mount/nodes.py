"""Device nodes for a container in a user namespace, whose root may not mknod(2): made outside, by root of the host.

They lie in a tmpfs of their own, which is mounted in the mount namespace of the process that makes them and nowhere
else. That process ends before the container's first one is there: then no path leads to a node but through what
`devices` mounts, and with the last descriptor and mount it is gone, however the command ends.
"""

import posix

from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel import syscalls
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.paths import O_PATH
from pyrunc.kernel.process import trial
from pyrunc.kernel.syscalls import (
    CLONE_FILES,
    CLONE_NEWNS,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MS_PRIVATE,
    OPEN_TREE_CLONE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.ids.idmap import Range

    from .devices import Device


def make(  # the maps are those of the container's user namespace
    devices: "tuple[Device, ...]", uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", label: str
) -> "dict[Device, int]":
    """For each of these the descriptor of a mount of its node, but for fifos, which need no privilege. label: the
    SELinux context, or "".

    Who may not make nodes here either (CAP_MKNOD, a cgroup's filter) gets none: the host's own can stand in for it.
    """
    owners = owners_of(devices, uids, gids)
    numbers: dict[Device, int] = {}
    try:
        for device in owners:
            numbers[device] = posix.open("/", O_PATH | posix.O_CLOEXEC)  # for the child, which shares the table
        if errno := trial.try_in_child(CLONE_NEWNS | CLONE_FILES, lambda: _make(owners, label, numbers)):
            raise PyruncError("make device nodes outside of the user namespace", errno=errno)
    except OSError as error:
        text = "start the process that makes device nodes"
        raise PyruncError.from_os(text, error) from None
    for device, node in list(numbers.items()):
        if not device.is_that(node):
            posix.close(numbers.pop(device))
    return numbers


def owners_of(
    devices: "tuple[Device, ...]", uids: "tuple[Range, ...]", gids: "tuple[Range, ...]"
) -> "dict[Device, tuple[int, int]]":
    """Who is to own which node, by the ids of the host; the root of that if none was asked for, and 0 is not mapped."""
    result = {}
    for device in devices:
        ids = []
        for kind, wanted, ranges in (("uid", device.uid, uids), ("gid", device.gid, gids)):
            found = idmap.outside(ranges, wanted)
            if found is None and kind in device.asked:
                text = f"{kind} {wanted} is not mapped in the joined user namespace"
                raise ConfigError(text, pointer=f"{device.pointer}/{kind}")
            ids.append(found or 0)
        if device.kind != "p":
            result[device] = (ids[0], ids[1])
    return result


def _make(owners: "dict[Device, tuple[int, int]]", label: str, numbers: "dict[Device, int]") -> None:
    """In the child: make them, and put a mount of each in the place of its number. OSError."""
    top = posix.open("/", O_PATH | posix.O_CLOEXEC)
    syscalls.mount_setattr(top, propagation=MS_PRIVATE, recursive=True)
    files = filled(owners, label)
    syscalls.move_mount(files, top)  # only mounts of one's own namespace can be copied
    for i, device in enumerate(owners):
        try:
            node = syscalls.open_tree(files, str(i), OPEN_TREE_CLONE)
        except FileNotFoundError:
            continue  # not permitted
        syscalls.mount_setattr(node, set_=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
        posix.dup2(node, numbers[device], inheritable=False)
        posix.close(node)
    posix.close(files)
    posix.close(top)


def filled(owners: "dict[Device, tuple[int, int]]", label: str) -> int:
    """A detached tmpfs with these nodes, their names numbers from 0 on; OSError."""
    context = syscalls.fsopen("tmpfs")
    syscalls.fsconfig_string(context, "mode", "0700")
    if label:
        syscalls.fsconfig_string(context, "context", label)
    syscalls.fsconfig_command(context)
    files = syscalls.fsmount(context)
    posix.close(context)
    for i, (device, (uid, gid)) in enumerate(owners.items()):
        name = str(i)
        try:
            device.mknod(files, name, 0)
        except PermissionError:
            continue
        posix.chown(name, uid, gid, dir_fd=files, follow_symlinks=False)
        posix.chmod(name, device.mode, dir_fd=files)
    return files
