"""What of a container lies outside of it, and what an image can therefore only name: its standard streams, bind mounts,
masked files, and namespaces that it has joined. Named to CRIU at checkpoint, and given to it anew at restore.

descriptors.json in the image directory is a list of strings, one for each of the descriptors from 0 on that the
container was created with: what /proc/PID/fd/N pointed to, or the name by which CRIU was told that it is external. runc
and crun write and read the same file for pipes.
"""

import posix
from _stat import S_IFCHR, S_IFMT, S_IFREG, S_ISDIR

from pyrunc import jsontext
from pyrunc.errors import PyruncError
from pyrunc.kernel import files, paths, syscalls
from pyrunc.kernel.descriptors import opened
from pyrunc.kernel.mount import devices
from pyrunc.kernel.mount.mountoptions import Mount, parse
from pyrunc.kernel.mount.mounts import Attached, attach
from pyrunc.kernel.mount.rootfs import prepare as rootfs_of
from pyrunc.kernel.namespaces import FILES, OpenNamespace
from pyrunc.kernel.process import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.kernel.ids.idmap import Range

    from .rpc import Value

DESCRIPTORS = "descriptors.json"
# The names that runc and crun give to joined namespaces in an image.
_ROOT_NAMESPACES = {"network": "extRootNetNS", "pid": "extRootPidNS"}
_TERMINALS = range(136, 144)  # majors of Unix98 slaves (Documentation/admin-guide/devices.txt)


def external_streams(pid: int, created_with: "list[str]") -> "tuple[list[str], list[str]]":
    """(what descriptors.json is to say, CRIU's `external`) for the descriptors that the container was created with.

    created_with: where they led then. Pipes CRIU leaves alone by itself; a file, device or terminal that is not on one
    of the container's mounts has to be named.
    """
    inside = set(_mount_points(pid))
    said, external = [], []
    for number, then in enumerate(created_with):
        name = _file_name(pid, number, inside) if then.startswith("/") else ""
        said.append(name or then)
        if name and name not in external:
            external.append(name)
    return said, external


def _file_name(pid: int, number: int, inside: "set[int]") -> str:
    """The name of an open file of the process that is on no mount of its own, "" for every other."""
    try:
        facts = posix.stat(f"/proc/{pid}/fd/{number}")
        mount = _mount_of(pid, number)
    except OSError:  # closed by now
        return ""
    kind = S_IFMT(facts.st_mode)
    if mount in inside or kind not in {S_IFREG, S_IFCHR}:
        return ""
    major = facts.st_rdev >> 8 & 0xFFF
    if kind == S_IFCHR and major in _TERMINALS:
        return f"tty[{facts.st_rdev:x}:{facts.st_dev:x}]"
    return f"file[{mount:x}:{facts.st_ino:x}]"


def _mount_of(pid: int, number: int) -> int:
    lines = files.read(f"/proc/{pid}/fdinfo/{number}").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:")), -1)


def _mount_points(pid: int) -> "dict[int, str]":
    """Mount id -> mount point as the process sees it. PyruncError if it is gone."""
    try:
        return {number: point for number, _, point in processes.mount_table(pid)}
    except OSError as error:
        raise PyruncError.from_os(f"read the mounts of process {pid}", error) from None


def write_descriptors(directory: int, path: str, said: "list[str]") -> None:
    """Write descriptors.json into the image directory, which is open."""
    flags = posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW
    try:
        files.write(DESCRIPTORS, jsontext.dump_bytes(said), flags=flags, dir_fd=directory)
    except OSError as error:
        raise PyruncError.from_os(f"write `{path}/{DESCRIPTORS}`", error) from None


def inherited_streams(directory: int, ours: int) -> "dict[str, int]":
    """CRIU's `inherit_fd`: the name of a descriptor of the checkpoint -> a copy of ours (`ours` of them, from 0 on).

    Copies, because CRIU closes what it has taken over, and looks at its own 0 to 2 afterwards (--shell-job).
    """
    flags = posix.O_NOFOLLOW | posix.O_NONBLOCK
    try:
        said = jsontext.loads(files.read(DESCRIPTORS, 1 << 16, flags=flags, dir_fd=directory), DESCRIPTORS)
    except FileNotFoundError:
        return {}  # an image of CRIU's own making, or of a container with a terminal
    result: dict[str, int] = {}
    for number, name in enumerate(said if isinstance(said, list) else []):
        if isinstance(name, str) and name.startswith(("pipe:", "file[", "tty[")) and name not in result:
            if number >= ours:
                hint = f"give --preserve-fds {number - 2} and the descriptors"
                raise PyruncError(f"the container was checkpointed with descriptor {number} from outside", hint=hint)
            try:
                result[name] = posix.dup(number)
            except OSError as error:
                raise PyruncError.from_os(f"duplicate descriptor {number} for the container", error) from None
    return result


def external_mounts(pid: int, destinations: "list[str]", masked: "tuple[str, ...]") -> "list[Value]":
    """CRIU's `ext_mnt` for a checkpoint: mount point of a bind mount or mask -> how the image names it.

    A destination may lead over symlinks of the image; what is mounted there is found by its mount. One that the
    container has unmounted is no mount point any more, and a mask over a directory is a file system of its own.
    """
    points = _mount_points(pid)
    found: dict[str, str] = {}
    with opened(posix.open(f"/proc/{pid}/root", paths.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)) as root:
        for path in [*destinations, *masked]:
            try:
                fd = paths.open_in(root, path)
            except OSError:
                continue  # the kernel lacks it, or the container has removed it
            with opened(fd):
                point = points.get(syscalls.mount_id(fd), "/")
                is_mask_of_directory = path in masked and S_ISDIR(posix.fstat(fd).st_mode)
                if _is_at(fd, point) and not is_mask_of_directory:
                    found.setdefault(point, path)
    return [{"key": point, "val": name} for point, name in found.items()]


def _is_at(fd: int, point: str) -> bool:
    """Whether the descriptor is the top of the mount at `point`: its name is that (`/proc/self/fd`, by d_path)."""
    return point != "/" and posix.readlink(f"/proc/self/fd/{fd}") == point


def mounts_again(mounts: "tuple[Mount, ...]", masked: "tuple[str, ...]", nodes: "list[str]") -> "list[Value]":
    """CRIU's `ext_mnt` for a restore: what the image names -> what is bound there. Names that it lacks do no harm."""
    result: list[Value] = [{"key": node, "val": node} for node in nodes]
    result += [{"key": mount.destination, "val": mount.source} for mount in mounts if mount.options.bind]
    return result + [{"key": path, "val": "/dev/null"} for path in masked]


def bound_nodes(more: "list[str]") -> "list[str]":
    """The paths of device nodes, which are bind mounts where mknod(2) is not permitted."""
    return [*(device.path for device in devices.DEFAULT), *more]


def external_namespaces(pid: int, joined: "list[str]") -> "list[Value]":
    """CRIU's `external` for the network and pid namespaces that the container has joined (types in `joined`)."""
    result: list[Value] = []
    for kind, key in _ROOT_NAMESPACES.items():
        if kind in joined:
            file = FILES.get(kind, kind)
            inode = posix.stat(f"/proc/{pid}/ns/{file}").st_ino
            result.append(f"{file}[{inode}]:{key}")
    return result


def namespaces_again(joins: "tuple[OpenNamespace, ...]") -> "tuple[list[Value], list[Value]]":
    """(`inherit_fd`, `join_ns`) for the namespaces that a restored container is to join; they are open."""
    inherit: list[Value] = []
    join: list[Value] = []
    for entry in joins:
        if entry.kind in _ROOT_NAMESPACES:
            inherit.append({"key": _ROOT_NAMESPACES[entry.kind], "fd": entry.fd})
        elif entry.kind in {"ipc", "uts", "user"}:
            join.append({"ns": entry.kind, "ns_file": entry.path})
        else:
            text = f"criu cannot restore into a {entry.kind} namespace that already exists"
            raise PyruncError(text, pointer=entry.pointer)
    return inherit, join


class Searchable:
    """While it lasts, the outside group of the container's root may search the image directory: CRIU opens images as
    that root. Nobody else may: their files are readable for all. gids: (inside, outside, size); none without a new user
    namespace, and then nothing is changed."""

    __slots__ = ("_before", "_directory", "_group")

    def __init__(self, directory: int, gids: "tuple[Range, ...]") -> None:
        self._directory, self._before = directory, posix.fstat(directory)
        self._group = next((outside for inside, outside, _ in gids if inside == 0), -1)

    def __enter__(self) -> None:
        if self._group >= 0:
            posix.fchown(self._directory, -1, self._group)
            posix.fchmod(self._directory, self._before.st_mode & 0o7777 | 0o010)

    def __exit__(self, *_: object) -> None:
        if self._group >= 0:
            posix.fchmod(self._directory, self._before.st_mode & 0o7777)
            posix.fchown(self._directory, -1, self._before.st_gid)


def make_mountpoints(rootfs: str, mounts: "tuple[Mount, ...]") -> None:
    """Make the destinations of the mounts, which CRIU wants to be there. In a mount namespace that is thrown away.

    As at create: one after the other, by descriptor inside the root. So what lies in a bind mount is made in its
    source, where symlinks of the container lead. For a file system whose content is in the images an empty one stands
    in.
    """
    root = rootfs_of(rootfs)
    attached = Attached()
    for mount in mounts:
        if mount.options.remount or not (mount.options.bind or mount.kind):
            continue
        if mount.options.bind and not mount.earlier:
            attach(root, mount.but(mapping=None), attached)  # who owns what is mounted makes no difference here
        elif mount.options.bind and _is_file(root, mount.earlier):
            posix.close(paths.make_file(root, mount.name))
        else:
            attach(root, Mount("", mount.destination, "tmpfs", parse(()), "", mount.pointer), attached)


def _is_file(root: int, name: str) -> bool:
    """Whether this is there, in an earlier mount, and is no directory."""
    try:
        file = paths.open_in(root, name)
    except OSError:
        return False
    facts = posix.fstat(file)
    posix.close(file)
    return not S_ISDIR(facts.st_mode)
