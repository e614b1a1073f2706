"""Where the unified hierarchy is mounted, and reading and writing its small files."""

import posix
from errno import EACCES, ENODEV, ENOENT, ENOTDIR, EOPNOTSUPP

from pyrunc.errors import PyruncError
from pyrunc.kernel import files

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # the second on a hybrid host
_NOT_THERE = (ENOENT, ENOTDIR)


def mount_point(*, surely: bool = False) -> "str | None":
    """Where the unified hierarchy is mounted, None if it is not, or not for this user (`surely`: an error, too).

    Raises PyruncError if that cannot be found out: who took this for "not mounted" would forget a cgroup.
    """
    for path in MOUNTS:
        try:
            posix.stat(f"{path}/cgroup.controllers")  # every cgroup v2 has it, no cgroup v1
        except OSError as error:
            if error.errno in _NOT_THERE or (error.errno == EACCES and not surely):
                continue
            raise PyruncError.from_os(f"look for cgroup v2 in `{path}`", error) from None
        return path
    return None


def directory(path: str) -> str:
    """The directory of a cgroup. Raises PyruncError where no cgroup v2 is mounted."""
    top = mount_point(surely=True)
    if top is None:
        text = f"cgroup `{path}`: no cgroup v2 hierarchy is mounted"
        raise PyruncError(text, hint="mount cgroup2 on /sys/fs/cgroup", check="cgroups")
    return f"{top}/{path.strip('/')}".rstrip("/")


def read(where: str) -> "str | None":
    """The text of a file; None if there is no such file, its cgroup was removed, or is of a type that lacks it.

    Names in it are what a container has called its cgroups: bytes of any kind, as os.fsdecode() gives them.
    """
    try:
        return files.read(where).decode(errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {ENODEV, EOPNOTSUPP}:
            return None
        raise


def number(where: str, key: str) -> int:
    """The number that belongs to the key, in a file of lines of a key and a number; 0 if it is not there."""
    lines = (read(where) or "").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)


def write(where: str, text: str) -> None:
    """One write(2): the kernel takes or refuses it as a whole."""
    files.write(where, f"{text}\n".encode())
