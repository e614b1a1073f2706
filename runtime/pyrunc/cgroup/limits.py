"""Limits, freezer and ownership of a cgroup v2 directory (kernel: Documentation/admin-guide/cgroup-v2.rst).

`enable` goes down the tree and turns controllers on, `apply` writes a new cgroup's settings, `update` those of a used
one: all or none of them. Paths are below the mount of the unified hierarchy.
"""

import posix
from errno import EACCES, EBUSY, ENOENT, EOPNOTSUPP, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel.descriptors import opened

from . import interface_files
from .interface_files import directory, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .values import Setting

# What is turned on where it can be, so that usage is counted even without a limit.
ACCOUNTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
FREEZE_DEADLINE = 10.0  # seconds; a process in an uninterruptible sleep does not freeze

_DELEGATE = "/sys/kernel/cgroup/delegate"
_USUAL_DELEGATE = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n"  # cgroup-v2.rst, "Model of Delegation"


def current(path: str) -> "Callable[[str], str | None]":
    """The reader of a cgroup's files that `values.settings` asks for."""
    where = directory(path)
    return lambda file: read(f"{where}/{file}")


# -- controllers ------------------------------------------------------------------------------------------------------


def enable(path: str, needed: "dict[str, str]") -> None:
    """Turn controllers on for the cgroup, in every ancestor.

    needed: controller -> JSON pointer of what asks for it (`values.controllers`): it is an error if one cannot be had.
    The others of ACCOUNTED are turned on where nothing speaks against it.
    """
    where = directory("/")
    for name in path.strip("/").split("/"):
        present = set((read(f"{where}/cgroup.controllers") or "").split())
        active = set((read(f"{where}/cgroup.subtree_control") or "").split())
        for controller in needed:
            if controller not in present:
                raise _unavailable(controller, where, needed[controller])
        _turn_on(where, [c for c in ACCOUNTED if c in present and c not in active], needed)
        where += f"/{name}"


def _turn_on(where: str, missing: "list[str]", needed: "dict[str, str]") -> None:
    if not missing:
        return
    lacking = next((controller for controller in missing if controller in needed), "")
    if pids := _internal_processes(where):
        # Left to the kernel, those of the controllers that count threads would be turned on all the same: the cgroup
        # becomes the root of a threaded subtree, where no container can run.
        if lacking:
            hint = f"a cgroup cannot both hold processes and limit children: {_some(pids)} must move to a child"
            raise _not_enabled(lacking, where, EBUSY, needed[lacking], hint)
        return
    file = f"{where}/cgroup.subtree_control"
    try:
        write(file, " ".join(f"+{controller}" for controller in missing))
        return
    except OSError:  # one of them is to blame, for all: they are tried one by one
        pass
    for controller in missing:
        try:
            write(file, f"+{controller}")
        except OSError as error:
            if controller in needed:
                hint = _ENABLE_HINTS.get(error.errno or 0, "")
                raise _not_enabled(controller, where, error.errno or 0, needed[controller], hint) from None


_NOT_DELEGATED = "the cgroup was not delegated to this user (systemd: Delegate=)"
_ENABLE_HINTS = {
    EACCES: _NOT_DELEGATED,
    EPERM: _NOT_DELEGATED,
    EBUSY: "the controller is in use by realtime tasks or by cgroup v1",
    EOPNOTSUPP: "the cgroup is threaded",
}


def _internal_processes(where: str) -> "list[str]":
    """The processes that keep controllers from being enabled: those of any cgroup but the root, which has no type."""
    if read(f"{where}/cgroup.type") is None:
        return []
    return (read(f"{where}/cgroup.procs") or "").split()


def _not_enabled(controller: str, where: str, errno: int, pointer: str, hint: str) -> PyruncError:
    message = f"enable controller `{controller}` in cgroup `{where}`"
    return PyruncError(message, errno=errno, pointer=pointer, hint=hint, check=f"cgroups controllers={controller}")


def _some(pids: "list[str]") -> str:
    return f"process {pids[0]}" if len(pids) == 1 else f"{len(pids)} processes ({', '.join(pids[:3])}, ...)"


def _unavailable(controller: str, where: str, pointer: str) -> PyruncError:
    """The error for a controller that the unified hierarchy does not have at this place, with the reason."""
    if bound := bound_to_v1(controller):
        return PyruncError(
            f"controller `{controller}` is bound to cgroup v1 (hierarchy `{bound}`)", pointer=pointer,
            hint=f"boot with `systemd.unified_cgroup_hierarchy=1`, or `cgroup_no_v1={controller}`, or remove the limit",
            check=f"cgroups controllers={controller}",
        )  # fmt: skip
    if where in interface_files.MOUNTS:
        return PyruncError(
            f"controller `{controller}` is not available", pointer=pointer,
            hint="the kernel was built without it or booted with `cgroup_disable`; remove the limit",
            check=f"cgroups controllers={controller}",
        )  # fmt: skip
    return PyruncError(
        f"controller `{controller}` is not delegated to cgroup `{where}`", pointer=pointer,
        hint=f"enable it in the parent's cgroup.subtree_control, or remove the limit; {_BY_SYSTEMD}",
        check=f"cgroups controllers={controller}",
    )  # fmt: skip


def not_ours(path: str, needed: "dict[str, str]", errno: int) -> PyruncError:
    """The error for limits in a cgroup that this user cannot make (`cgroupfs.make` has failed with `errno`)."""
    controller, pointer = next(iter(needed.items()))
    if bound_to_v1(controller):
        return _unavailable(controller, directory(path), pointer)
    names = ", ".join(f"`{name}`" for name in needed)
    return PyruncError(
        f"controller {names}: cgroup `{path.rpartition('/')[0] or '/'}` is not delegated to this user",
        errno=errno, pointer=pointer,
        hint=f"use --systemd-cgroup, or start in a scope by `systemd-run --user --scope`; {_BY_SYSTEMD}",
        check=f"cgroups controllers={','.join(needed)}",
    )  # fmt: skip


_BY_SYSTEMD = "systemd delegates to users what Delegate= in /etc/systemd/system/user@.service.d/delegate.conf lists"


def bound_to_v1(controller: str) -> str:
    """The cgroup v1 hierarchy that holds the controller ("cpu,cpuacct"), "" if none does. `io` was `blkio` there."""
    old = {"io": "blkio"}.get(controller, controller)
    for line in (read("/proc/self/cgroup") or "").splitlines():
        names = line.split(":", 2)[1]
        if old in names.split(","):
            return names
    return ""


# -- settings ---------------------------------------------------------------------------------------------------------


def apply(path: str, wanted: "list[Setting]") -> None:
    """Write the settings in order. Raises PyruncError at the first that the kernel refuses."""
    where = directory(path)
    for setting in wanted:
        _write(where, setting)


def update(path: str, wanted: "list[Setting]") -> "list[tuple[str, str]]":
    """Like `apply`, but what was written is taken back if a later one is refused. Returns what `take_back` needs."""
    where = directory(path)
    undo: list[tuple[str, str]] = []
    for setting in wanted:
        file = _present(where, setting).file
        undo += [(file, text) for text in _previous(file, setting.value, _readable(f"{where}/{file}"))]
        try:
            _write(where, setting)
        except PyruncError:
            take_back(path, undo)
            raise
    return undo


def take_back(path: str, undo: "list[tuple[str, str]]") -> None:
    """Write (file, text) pairs in reverse, as far as the kernel lets us: the error that matters is the one before."""
    where = directory(path)
    for file, text in reversed(undo):
        try:
            write(f"{where}/{file}", text)
        except OSError:
            continue  # memory that has been used since may not fit the old limit any more


def _present(where: str, setting: "Setting") -> "Setting":
    """The setting, or its alternative where its file is missing."""
    if setting.alternative is not None and read(f"{where}/{setting.file}") is None:
        return setting.alternative
    return setting


def _readable(where: str) -> "str | None":
    """The text of a file; None also if it can only be written (memory.reclaim, by `unified`): there is no way back."""
    try:
        return read(where)
    except OSError:
        return None


def _previous(file: str, value: str, text: "str | None") -> "list[str]":
    """What to write to undo writing `value`: of files with a line for each device, only that device's line."""
    if text is None:
        return []
    device, _, rest = value.partition(" ")
    if not rest or file == "cpu.max":
        return [text.strip()]
    lines = [line for line in text.splitlines() if line.split(" ", 1)[0] == device]
    if not lines and file in _UNSET:
        lines = [f"{device} {_UNSET[file]}"]
    return lines


_UNSET = {  # what takes a device's line away again
    "io.max": "rbps=max wbps=max riops=max wiops=max", "io.weight": "default", "io.bfq.weight": "default",
}  # fmt: skip


def _write(where: str, setting: "Setting") -> None:
    chosen = _present(where, setting)
    try:
        write(f"{where}/{chosen.file}", chosen.value)
    except OSError as error:
        if error.errno == ENOENT:
            if setting.optional:
                return
            present = (read(f"{where}/cgroup.controllers") or "").split()
            if chosen.controller and chosen.controller not in present:
                raise _unavailable(chosen.controller, where, chosen.pointer) from None
            hint = f"this kernel's controller `{chosen.controller}` does not have this file"
        elif error.errno == EBUSY and chosen.file == "memory.max":
            hint = "the cgroup already uses more"
        else:
            hint = ""
        message = f"set `{chosen.file}` of cgroup `{where}` to `{chosen.value}`"
        raise PyruncError.from_os(message, error, pointer=chosen.pointer, hint=hint) from None


# -- ownership, freezer, events ---------------------------------------------------------------------------------------


def delegate(path: str, uid: int, gid: int) -> None:
    """Give the cgroup to a user (the root of a container's user namespace), as far as the kernel calls it safe."""
    where = directory(path)
    names = read(_DELEGATE) or _USUAL_DELEGATE  # Linux 4.15
    for name in ["", *names.split()]:
        try:
            posix.chown(f"{where}/{name}", uid, gid)
        except FileNotFoundError:
            continue  # of a controller that is not enabled here
        except OSError as error:
            raise PyruncError.from_os(f"give `{where}/{name}` to user {uid}", error) from None


def freeze(path: str) -> None:
    """Freeze every process in the cgroup and below it; returns when they are. Raises PyruncError, thawed again."""
    _freezer(path, "1")


def thaw(path: str) -> None:
    """Let the processes run again."""
    _freezer(path, "0")


def _freezer(path: str, wanted: str) -> None:
    where = directory(path)
    verb = "freeze" if wanted == "1" else "thaw"
    try:
        write(f"{where}/cgroup.freeze", wanted)
        events = posix.open(f"{where}/cgroup.events", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise PyruncError.from_os(f"{verb} cgroup `{path}`", error) from None
    with opened(events):
        if _wait_for(events, f"frozen {wanted}"):
            return
    if wanted == "1":
        write(f"{where}/cgroup.freeze", "0")
        hint = "a process in it sleeps uninterruptibly; it runs on"
    else:
        hint = "a cgroup above it is frozen"
    raise PyruncError(f"cgroup `{path}` did not {verb} within {FREEZE_DEADLINE:.0f} s", hint=hint)


def _wait_for(events: int, line: str) -> bool:
    """Whether the line appears in cgroup.events before the deadline; the kernel wakes poll(2) at every change."""
    import select
    import time

    waiter = select.poll()
    waiter.register(events, select.POLLPRI)
    deadline = time.monotonic() + FREEZE_DEADLINE
    while line not in posix.pread(events, 4096, 0).decode().splitlines():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        waiter.poll(left * 1000)
    return True


def oom_kills(path: str) -> int:
    """How many processes of the cgroup the OOM killer ended; 0 without the memory controller."""
    return interface_files.number(f"{directory(path)}/memory.events", "oom_kill")
