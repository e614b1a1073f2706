"""The ids besides his own that an ordinary user may map: subuid(5), subgid(5), newuidmap(1), newgidmap(1)."""

import posix

from pyrunc.kernel import files
from pyrunc.kernel.process import programs

_MAX_FILE = 4 << 20  # bytes: a file of a whole university's users
_DIGITS = 10  # of an id: 32 bits
_PLACES = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/run/wrappers/bin"  # the last: NixOS


class Grant:
    """A line `owner:first:count` of /etc/subuid or /etc/subgid."""

    __slots__ = ("count", "first", "owner")

    def __init__(self, owner: str, first: int, count: int) -> None:
        self.owner, self.first, self.count = owner, first, count

    def __str__(self) -> str:
        return f"{self.owner}:{self.first}:{self.count}"


class IdRights:
    """What the kernel and shadow's helpers let a user map.

    uid, gid: the caller's own; user: the name, or the uid where it has none; uids, gids: granted to him, in the files'
    order; helpers: "newuidmap" and "newgidmap" -> absolute path, "" if there is none; elsewhere: nsswitch.conf(5) names
    another source of grants than the files, so that only the helpers know.
    """

    __slots__ = ("elsewhere", "gid", "gids", "helpers", "uid", "uids", "user")

    def __init__(  # noqa: PLR0917  (a record, built at one place and in tests)
        self, uid: int, gid: int, user: str, uids: "tuple[Grant, ...]", gids: "tuple[Grant, ...]",
        helpers: "dict[str, str]", *, elsewhere: bool = False,
    ) -> None:  # fmt: skip
        self.uid, self.gid, self.user, self.uids, self.gids = uid, gid, user, uids, gids
        self.helpers, self.elsewhere = helpers, elsewhere

    def grants(self, kind: str) -> "tuple[Grant, ...]":
        """Those of "uid" or "gid"."""
        return self.uids if kind == "uid" else self.gids

    def own(self, kind: str) -> int:
        """The caller's own "uid" or "gid"."""
        return self.uid if kind == "uid" else self.gid

    def may_map(self, kind: str, first: int, count: int) -> bool:
        """Whether newuidmap or newgidmap would map these ids of the host: one's own, or granted, by one line or more
        that follow each other."""
        if count == 1 and first == self.own(kind):
            return True
        position = first
        for grant in sorted(self.grants(kind), key=lambda grant: grant.first):
            if grant.first <= position < grant.first + grant.count:
                position = grant.first + grant.count
        return position >= first + count


def rights(path: str) -> IdRights:
    """Those of this process's user. path: $PATH, "" if the caller has none (podman's kill and delete)."""
    uid = posix.geteuid()
    user = login_name(uid)
    helpers = {name: programs.find(name, f"{path}:{_PLACES}") for name in ("newuidmap", "newgidmap")}
    uids, gids = granted("/etc/subuid", user, uid), granted("/etc/subgid", user, uid)
    return IdRights(uid, posix.getegid(), user, uids, gids, helpers, elsewhere=_granted_elsewhere())


def granted(file: str, user: str, uid: int) -> "tuple[Grant, ...]":
    """The lines of `file` for a user, by name or by number."""
    return tuple(grant for grant in lines(file) if grant.owner in (user, str(uid)))


def lines(file: str) -> "list[Grant]":
    """All lines; one that is malformed is passed over, as shadow does."""
    result = []
    for line in _text(file).splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if all(word.isascii() and word.isdigit() and len(word) <= _DIGITS for word in (first, count)) and int(count):
            result.append(Grant(owner, int(first), int(count)))
    return result


def _granted_elsewhere() -> bool:
    for line in _text("/etc/nsswitch.conf").splitlines():
        key, _, sources = line.partition("#")[0].partition(":")
        if key.strip() == "subid":
            return sources.split() not in ([], ["files"])
    return False


def login_name(uid: int) -> str:
    """The user's name, or the number if it has none."""
    import pwd  # a C module; asks libc, so users of LDAP and the like have names too

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _text(path: str) -> str:
    try:
        return files.read(path, _MAX_FILE, flags=posix.O_NONBLOCK).decode("utf-8", "surrogateescape")
    except OSError:  # missing: nothing is granted
        return ""
