"""User and group id maps of a new user namespace (user_namespaces(7))."""

import posix

from pyrunc.errors import PyruncError

Range = tuple[int, int, int]  # first id inside, first id outside, how many
_EPERM, _EINVAL = 1, 22
_HELPERS = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/run/wrappers/bin")


def write(pid: int, uids: "tuple[Range, ...]", gids: "tuple[Range, ...]", *, privileged: bool) -> None:
    """Set the maps of the user namespace that process `pid` was cloned into.

    With privilege (CAP_SETUID and CAP_SETGID over it) they are written directly. Without it the kernel allows one id,
    the caller's own, and for groups only after setgroups(2) is given up; ranges go through newuidmap(1), newgidmap(1).
    """
    if privileged:
        _write(pid, "uid_map", uids)
        _write(pid, "gid_map", gids)
        return
    if _single(gids, posix.getegid()):
        _put(f"/proc/{pid}/setgroups", "deny", "give up setgroups")
        _write(pid, "gid_map", gids)
    else:
        _by_helper("newgidmap", pid, gids)
    if _single(uids, posix.geteuid()):
        _write(pid, "uid_map", uids)
    else:
        _by_helper("newuidmap", pid, uids)


def _single(ranges: "tuple[Range, ...]", own: int) -> bool:
    return len(ranges) == 1 and ranges[0][1] == own and ranges[0][2] == 1


def _write(pid: int, name: str, ranges: "tuple[Range, ...]") -> None:
    text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)
    _put(f"/proc/{pid}/{name}", text, f"write {name} `{' '.join(text.split())[:200]}`")


def _put(path: str, text: str, what: str) -> None:
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, text.encode())
        finally:
            posix.close(fd)
    except OSError as error:
        hint = "the map is empty, overlaps, or has more than 340 ranges" if error.errno == _EINVAL else ""
        raise PyruncError.from_os(what, error, hint=hint, pointer="/linux/uidMappings") from None


def _by_helper(name: str, pid: int, ranges: "tuple[Range, ...]") -> None:
    program = find(name)
    if not program:
        raise PyruncError(
            f"{name} is needed to map more ids than your own",
            pointer="/linux/uidMappings",
            hint="install the package `uidmap` (Debian) or `shadow-utils` (Fedora)",
        )
    words = [str(number) for one in ranges for number in one]
    output = posix.memfd_create(name, posix.MFD_CLOEXEC)
    actions = [(posix.POSIX_SPAWN_DUP2, output, 1), (posix.POSIX_SPAWN_DUP2, output, 2)]
    child = posix.posix_spawn(program, [program, str(pid), *words], {}, file_actions=actions)
    _, status = posix.waitpid(child, 0)
    if status:
        text = posix.pread(output, 500, 0).decode("utf-8", "replace").strip()
        raise PyruncError(
            f"{name} refused the map: {text or f'status {status}'}",
            pointer="/linux/uidMappings",
            hint=f"/etc/sub{name[3]}id must give your user these ids",
        )
    posix.close(output)


def find(name: str) -> str:
    """Where newuidmap(1) or newgidmap(1) is; "" if it is not installed. PATH is not asked: engines may give none."""
    return next((f"{place}/{name}" for place in _HELPERS if posix.access(f"{place}/{name}", posix.X_OK)), "")
