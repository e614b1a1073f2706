"""User and group id maps of a new user namespace (user_namespaces(7))."""

import posix
from errno import EINVAL, EPERM

from pyrunc.errors import PyruncError
from pyrunc.kernel import files
from pyrunc.kernel.process import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .subordinate import IdRights

Range = tuple[int, int, int]  # first id inside, first id outside, how many


_FIRST_USER_NAMESPACE = 0xEFFFFFFD  # its inode (include/linux/proc_ns.h)


class _Refused(PyruncError):
    """A helper has run, and has said no."""


def read(kind: str, pid: "int | str" = "self") -> "tuple[Range, ...]":
    """The "uid" or "gid" map of the user namespace that this process or `pid` is in, with the ids outside as this
    process has them; empty for a kernel without them."""
    try:
        numbers = [int(word) for word in files.read(f"/proc/{pid}/{kind}_map").split()]
    except FileNotFoundError:
        return ()
    return tuple((numbers[i], numbers[i + 1], numbers[i + 2]) for i in range(0, len(numbers), 3))


def of_namespace(namespace: int) -> "tuple[tuple[Range, ...], tuple[Range, ...]]":
    """(uid map, gid map) of a user namespace: of a process that has joined it and waits for us to look."""
    from pyrunc.kernel import syscalls
    from pyrunc.kernel.process.trial import Held

    try:
        with Held(0, lambda: syscalls.setns(namespace, syscalls.CLONE_NEWUSER)) as pid:
            return read("uid", pid), read("gid", pid)
    except OSError as error:
        raise PyruncError.from_os("read the maps of the user namespace", error) from None


def outside(ranges: "tuple[Range, ...]", wanted: int) -> "int | None":
    """The id outside of one inside, None if it is not mapped."""
    for inside, first, count in ranges:
        if inside <= wanted < inside + count:
            return first + wanted - inside
    return None


def is_initial() -> bool:
    """Whether this process is in the initial user namespace, or the kernel has no others. The map does not tell:
    systemd's PrivateUsers=full maps each id to itself."""
    try:
        return posix.stat("/proc/self/ns/user").st_ino == _FIRST_USER_NAMESPACE
    except FileNotFoundError:
        return True


def write(pid: int, uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", rights: "IdRights | None") -> None:
    """Set the maps of the user namespace that process `pid` was cloned into.

    With privilege (CAP_SETUID and CAP_SETGID over it; rights None) they are written directly. Without it the kernel
    allows one id, the caller's own, and for groups only after setgroups(2) is given up; ranges go through newuidmap(1)
    and newgidmap(1).
    """
    for kind, ranges in (("gid", gids), ("uid", uids)):
        if rights is None:
            _write(pid, kind, ranges)
        elif single(ranges, rights.own(kind)):
            _write_single(pid, kind, ranges)
        else:
            _by_helper(pid, kind, ranges, rights)


def write_or_single(
    pid: int,
    uids: "tuple[Range, ...]",
    gids: "tuple[Range, ...]",
    rights: "IdRights",
    alone: "Mapping[str, tuple[Range, ...]]",
) -> "tuple[tuple[Range, ...], tuple[Range, ...], str]":
    """Like `write`; where a helper refuses, `alone`, one's own id. (uid ranges, gid ranges, why not all or "").

    A helper that is there may still refuse: its file capability or set-user-id bit can be lost, or no_new_privs be set.
    One that could not run, or was killed, is an error: the same command could make another container tomorrow.
    """
    result, reason, lost = {}, "", []
    for kind, ranges in (("gid", gids), ("uid", uids)):
        result[kind] = ranges
        try:
            if not single(ranges, rights.own(kind)):
                _by_helper(pid, kind, ranges, rights)
                continue
        except _Refused as error:
            reason = error.message
            lost.append(f"one {kind}")
            result[kind] = alone[kind]
        _write_single(pid, kind, result[kind])
    warning = f"{reason}; the container has {' and '.join(lost)}, yours"
    return result["uid"], result["gid"], warning if lost else ""


def single(ranges: "tuple[Range, ...]", own: int) -> bool:
    """Whether it is one's own id alone, which takes no privilege to map."""
    return len(ranges) == 1 and ranges[0][1] == own and ranges[0][2] == 1


def _write_single(pid: int, kind: str, ranges: "tuple[Range, ...]") -> None:
    if kind == "gid":
        _put(f"/proc/{pid}/setgroups", "deny", "deny setgroups", "/gidMappings")
    _write(pid, kind, ranges)


def _write(pid: int, kind: str, ranges: "tuple[Range, ...]") -> None:
    text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)
    what = f"write {kind}_map `{' '.join(text.split())[:200]}`"
    _put(f"/proc/{pid}/{kind}_map", text, what, f"/{kind}Mappings")


def _put(path: str, text: str, what: str, pointer: str) -> None:
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise PyruncError.from_os(what, error, hint=_HINTS.get(error.errno or 0, ""), pointer=pointer) from None


_HINTS = {
    EINVAL: "the map overlaps, or has more than 340 ranges",
    EPERM: "the user namespace that you are in must itself have these ids (/proc/self/uid_map, gid_map)",
}


_HELPER_CHECKS = "id-map-programs subordinate-ids"


def _by_helper(pid: int, kind: str, ranges: "tuple[Range, ...]", rights: "IdRights") -> None:
    program = rights.helpers[f"new{kind}map"]
    words = [str(number) for one in ranges for number in one]
    try:
        status, text = programs.run([program, str(pid), *words], 500)
    except OSError as error:
        pointer = f"/{kind}Mappings"
        raise PyruncError.from_os(f"run `{program}`", error, pointer=pointer, check=_HELPER_CHECKS) from None
    if status & 0x7F:
        text = f"`{program}` was killed by signal {status & 0x7F}"
        raise PyruncError(text, pointer=f"/{kind}Mappings", check=_HELPER_CHECKS)
    if status:
        raise _Refused(
            f"`{program}` refused the map {' '.join(words[:30])}: {text.strip() or f'status {status >> 8}'}",
            pointer=f"/{kind}Mappings",
            hint=f"it must be set-user-id root or have the file capability cap_set{kind}; no_new_privs must not be set",
            check=_HELPER_CHECKS,
        )
