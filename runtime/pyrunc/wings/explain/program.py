"""Why a program cannot be executed: what execve(2) does not say, read from the file afterwards.

The kernel has one word for a missing program, a missing interpreter and a missing ELF loader (ENOENT), and one for a
script without `#!` and a program for another machine (ENOEXEC). The file tells them apart. It is the image's: it is
opened within the root, only if it is a regular file, and no more than its first bytes are read.

The texts go into an error's hint. They must not hold the words by which callers classify errors (docs/callers.md).
"""

import posix
from _stat import S_ISDIR, S_ISLNK, S_ISREG
from _struct import unpack_from
from errno import E2BIG, EACCES, EISDIR, ELOOP, ENODATA, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY

from pyrunc.kernel import paths
from pyrunc.kernel.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrunc.spec.config import Mount
    from pyrunc.spec.linux import Linux
    from pyrunc.spec.process import Process
    from pyrunc.stages.step_report import NotExecuted

_LINE = 256  # BINPRM_BUF_SIZE (include/uapi/linux/binfmts.h): all that the kernel reads to tell what a file is
_MOST_LINKS = 40  # MAXSYMLINKS (include/linux/namei.h)
_DEPTH = 5  # an interpreter may be a script itself, four times (fs/exec.c)
_ST_NOEXEC = 8  # statvfs(3)
_ELF64_SIZE, _ELF32_SIZE = 64, 52  # of the header, elf(5)
_PT_INTERP = 3
_GLIBC = "glibc: the image lacks that C library, or the program was built for another distribution"
_LOADERS = {  # part of a loader's name -> its C library
    "ld-linux": _GLIBC,
    "ld-musl": "musl: on Debian the package `musl`, on Alpine part of the system",
    "ld64": _GLIBC,
    "ld-uClibc": "uClibc",
}
# e_machine (elf(5), include/uapi/linux/elf-em.h) -> uname(2)'s words
_MACHINES = {2: "sparc", 3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 43: "sparc64",
             62: "x86_64", 183: "aarch64", 243: "riscv64", 247: "bpf", 258: "loongarch64"}  # fmt: skip
_RUN_BY = {"x86_64": {"x86_64", "i386"}, "aarch64": {"aarch64", "arm"}, "ppc64le": {"ppc64", "ppc"},
           "s390x": {"s390x"}, "mips64": {"mips"}, "armv7l": {"arm"}, "i686": {"i386"}}  # fmt: skip


def why(error: "NotExecuted", root: str, config_json: bytes, process: "Process | None") -> str:
    """What keeps a program from being executed; "" if that is not to see.

    root: the container's root directory, where its mounts are to be seen if `process` is given: one of exec's. Without,
    it is the process of the config, and there are no mounts (any more).
    """
    from pyrunc.jsontext import loads
    from pyrunc.spec.config import parse_config
    from pyrunc.stages.last_steps import candidates

    config = parse_config(loads(config_json, "config.json"))
    mounts, process = (config.mounts, config.process) if process is None else ([], process)
    if not process.exists:
        return ""
    with opened(posix.open(root, paths.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)) as fd:
        view, who, names = View(fd, mounts), _who(process, config.linux), candidates(process.args[0], process.env)
        if not error.found:
            return why_not_found(view, names, process.cwd, error.kernel, who)
        there = [name for name in names if _facts(view, _absolute(name, process.cwd)) is not None]
        return why_not_executed(view, there[0], process.cwd, error.kernel, who) if there else ""


def _who(process: "Process", linux: "Linux") -> "Who | None":
    """None if the config does not say which ids of the host the user has."""
    user, gids = process.user, [process.user.gid, *process.user.additional_gids]
    if all(namespace.type != "user" for namespace in linux.namespaces):
        return Who(user.uid, gids, user.uid)
    for mapping in linux.uid_mappings:
        if mapping.container_id <= user.uid < mapping.container_id + mapping.size:
            uid = user.uid - mapping.container_id + mapping.host_id
            outside = [
                gid - each.container_id + each.host_id
                for gid in gids
                for each in linux.gid_mappings
                if each.container_id <= gid < each.container_id + each.size
            ]
            return Who(uid, outside, user.uid)
    return None


class View:
    """The container's files as its processes see them, without them: its root, and the sources of its bind mounts."""

    __slots__ = ("_mounts", "_root")

    def __init__(self, root: int, mounts: "Sequence[Mount]" = ()) -> None:
        self._root, self._mounts = root, mounts

    def open(self, path: str, *, follow: bool = True) -> int:
        """An O_PATH descriptor of an absolute path of the container; OSError."""
        mount = self.covering(path)
        if mount is None:
            return paths.open_in(self._root, path, follow=follow)
        if not mount.bind or not mount.source or not mount.source.startswith("/"):
            raise OSError(ENODATA, "not to be seen from here", path)
        rest = _normal(path)[len(_normal(mount.destination)) :]
        source = posix.open(mount.source, paths.O_PATH | posix.O_CLOEXEC)
        if not rest:
            return source
        with opened(source):
            return paths.open_in(source, rest, follow=follow)

    def covering(self, path: str) -> "Mount | None":
        """The mount that the path lies in, as far as its own words tell (no symlinks)."""
        names = f"{_normal(path)}/"
        found = None
        for mount in self._mounts:
            at = _normal(mount.destination)
            if names.startswith(f"{at}/") and (found is None or len(at) >= len(_normal(found.destination))):
                found = mount
        return found


def _normal(path: str) -> str:
    return "".join(f"/{name}" for name in paths.components(path))


class Who:
    """Whose program it is to be: ids as the file system shows them to us (of the host), and as the container does."""

    __slots__ = ("gids", "inside", "uid")

    def __init__(self, uid: int, gids: "Sequence[int]", inside: int) -> None:
        self.uid, self.gids, self.inside = uid, gids, inside

    def may_execute(self, facts: "posix.stat_result") -> bool:
        """By the permission bits alone: no ACL, no capability."""
        shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid in self.gids else 0
        return bool(facts.st_mode >> shift & 1)


def why_not_found(root: View, candidates: "Sequence[str]", cwd: str, errno: int, who: "Who | None") -> str:
    """Why none of the paths at which the program was looked for (execvp(3)) can be executed; "" if that is not to see.

    root: the container's files; cwd: its working directory.
    """
    if len(candidates) == 1:
        return _why_no_entry(root, _absolute(candidates[0], cwd), errno, who)
    there = [path for path in candidates if _facts(root, _absolute(path, cwd)) is not None]
    if there:
        return _why_no_entry(root, _absolute(there[0], cwd), errno, who)
    if not candidates:
        return "PATH is not set in process.env: name the program by its path"
    return f"PATH is `{':'.join(path.rpartition('/')[0] for path in candidates)}`"


def why_not_executed(root: View, path: str, cwd: str, errno: int, who: "Who | None") -> str:
    """Why execve(2) of a file that was found has failed; "" if that is not to see."""
    if errno == ETXTBSY:
        return "it is open for writing, which execution excludes: close it first"
    if errno == E2BIG:
        return "process.args and process.env together are longer than the kernel takes: a quarter of RLIMIT_STACK"
    return _why_file(root, _absolute(path, cwd), errno, who, _DEPTH)


def _absolute(path: str, cwd: str) -> str:
    return path if path.startswith("/") else f"{cwd}/{path}"


def _facts(root: View, path: str) -> "posix.stat_result | None":
    try:
        with opened(root.open(path)) as fd:
            return posix.fstat(fd)
    except OSError:
        return None


def _why_no_entry(root: View, path: str, errno: int, who: "Who | None") -> str:
    if errno in {ENOENT, ENOTDIR, ELOOP}:
        return first_bad_component(root, path)
    facts = _facts(root, path)
    if errno == EISDIR or (facts is not None and S_ISDIR(facts.st_mode)):
        return "it is a directory" if facts is not None and S_ISDIR(facts.st_mode) else "it is not a regular file"
    if errno in {EACCES, EPERM} and facts is not None:
        return _why_forbidden(root, path, facts, who)
    return ""


def first_bad_component(root: View, path: str) -> str:
    """What of a path is missing or leads nowhere, looked at one name at a time, symlinks as inside the root."""
    names, done, links = paths.components(path), "", 0
    while names:
        name = names.pop(0)
        here = f"{done}/{name}"
        try:
            with opened(root.open(here, follow=False)) as fd:
                mode = posix.fstat(fd).st_mode
                target = posix.readlink("", dir_fd=fd) if S_ISLNK(mode) else None
        except FileNotFoundError:
            return f"there is no `{here}` in the container"
        except OSError:
            return ""
        if target is not None:
            links += 1
            if links > _MOST_LINKS:
                return f"`{here}` is part of a loop of symlinks"
            if _facts(root, here) is None and not names:
                end = _end_of_links(root, target if target.startswith("/") else f"{done}/{target}")
                return f"`{here}` is a symlink to `{target}`{end}"
            if target.startswith("/"):
                done = ""
            names[:0] = paths.components(target)
        elif names and not S_ISDIR(mode):
            return f"`{here}` is not a directory"
        else:
            done = here
    return ""


def _end_of_links(root: View, path: str) -> str:
    """What is wrong with the target, behind the words that name it."""
    try:
        posix.close(root.open(path, follow=False))
    except FileNotFoundError:
        return ", which does not exist in the container"
    except OSError:
        return ""
    return ", which leads nowhere in the container"


def _why_forbidden(root: View, path: str, facts: "posix.stat_result", who: "Who | None") -> str:
    """EACCES of execve(2): the mount, the file's mode, or a directory on the way."""
    mount = root.covering(path)
    if mount is not None and "noexec" in mount.options:
        return f"the mount at `{mount.destination}` has the option `noexec`"
    try:
        with opened(root.open(path)) as fd:
            if posix.fstatvfs(fd).f_flag & _ST_NOEXEC:
                return "it lies on a mount with the option `noexec`"
    except OSError:
        return ""
    bits = f"mode {facts.st_mode & 0o7777:04o}"
    if not facts.st_mode & 0o111:
        return f"it is not executable ({bits})"
    if who is None:
        return ""
    if not who.may_execute(facts):
        owner = f"{facts.st_uid}:{facts.st_gid} of the host"
        return f"user {who.inside} of the container may not execute it ({bits}, owned by {owner})"
    directory = path
    while directory := directory.rpartition("/")[0]:
        above = _facts(root, directory)
        if above is not None and not who.may_execute(above):
            return f"user {who.inside} of the container may not enter `{directory}` (mode {above.st_mode & 0o7777:04o})"
    return ""


def _why_file(root: View, path: str, errno: int, who: "Who | None", depth: int) -> str:
    facts = _facts(root, path)
    if facts is None or not S_ISREG(facts.st_mode):
        return _why_no_entry(root, path, errno, who)
    start = _beginning(root, path)
    if start[:2] == b"#!":
        return _why_script(root, start, errno, who, depth)
    if start[:4] == b"\x7fELF":
        return _why_elf(root, path, start, errno, who)
    if errno == ENOEXEC:
        if not start:
            return "the file is empty"
        text = start.replace(b"\n", b"").replace(b"\t", b"").isascii() and b"\0" not in start
        what = "a script without a `#!` line" if text else "neither an ELF program nor a script"
        return f"it is {what}" + (": begin it with `#!/bin/sh`, or run it by a shell" if text else "")
    return _why_no_entry(root, path, errno, who)


def _beginning(root: View, path: str, size: int = _LINE, offset: int = 0) -> bytes:
    """Bytes of a regular file; b"" if they cannot be read."""
    try:
        with opened(root.open(path)) as named:
            if not S_ISREG(posix.fstat(named).st_mode):
                return b""
            with opened(paths.reopen(named, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY)) as fd:
                return posix.pread(fd, size, offset)
    except OSError:
        return b""


def _why_script(root: View, start: bytes, errno: int, who: "Who | None", depth: int) -> str:
    line, newline, _ = start[2:].partition(b"\n")
    words = line.strip(b" \t").replace(b"\t", b" ").split(b" ", 1)
    interpreter = words[0].decode("utf-8", "replace")
    if not interpreter:
        return "its `#!` line names no interpreter"
    if line.endswith(b"\r"):
        meant = interpreter.removesuffix("\r")
        return (
            f"its `#!` line ends in a carriage return, so that the interpreter would be `{meant}\\r`: the file has the"
            " line ends of Windows; convert it, as by dos2unix"
        )
    if not newline and len(start) == _LINE and len(words) == 1:
        return f"its `#!` line is longer than the {_LINE - 1} bytes that the kernel reads"
    if not depth:
        return "interpreters of `#!` lines that are scripts themselves are nested too deeply"
    if errno in {ENOENT, ENOTDIR} and (bad := first_bad_component(root, _absolute(interpreter, "/"))):
        return f"it is a script for `{interpreter}`, but {bad}"
    cause = _why_file(root, _absolute(interpreter, "/"), errno, who, depth - 1)
    return f"it is a script for `{interpreter}`: {cause}" if cause else ""


def _why_elf(root: View, path: str, start: bytes, errno: int, who: "Who | None") -> str:
    wide, order = start[4:5] == b"\2", "<" if start[5:6] == b"\1" else ">"
    if len(start) < (_ELF64_SIZE if wide else _ELF32_SIZE):
        return "the ELF file is cut off" if errno == ENOEXEC else ""
    if errno == ENOEXEC:
        machine, here = unpack_from(f"{order}H", start, 18)[0], posix.uname().machine
        name = _MACHINES.get(machine, f"machine {machine} (elf(5))")
        if name not in _RUN_BY.get(here, {here}):
            return f"it is a program for {name}, and this machine is {here}"
        narrow = not wide and here.endswith("64")
        return "this kernel does not run 32-bit programs" if narrow else "the ELF file is damaged"
    loader = _loader(root, path, start, wide=wide, order=order)
    if not loader:
        return _why_no_entry(root, path, errno, who)
    if errno in {ENOENT, ENOTDIR} and (bad := first_bad_component(root, loader)):
        package = next((what for part, what in _LOADERS.items() if part in loader), "")
        return f"it needs the loader `{loader}`{f' of {package}' if package else ''}; {bad}"
    cause = _why_file(root, loader, errno, who, 0)
    return f"its loader is `{loader}`: {cause}" if cause else _why_no_entry(root, path, errno, who)


def _loader(root: View, path: str, start: bytes, *, wide: bool, order: str) -> str:
    """PT_INTERP of an ELF file (elf(5)); "" if it has none."""
    at = unpack_from(f"{order}Q", start, 32)[0] if wide else unpack_from(f"{order}I", start, 28)[0]
    size, count = unpack_from(f"{order}HH", start, 54 if wide else 42)
    headers = _beginning(root, path, size * min(count, 64), min(at, 1 << 62))
    for i in range(min(count, 64)):
        if i * size + size <= len(headers) and unpack_from(f"{order}I", headers, i * size)[0] == _PT_INTERP:
            form, where = (f"{order}8xQ16xQ", i * size) if wide else (f"{order}4xI8xI", i * size)
            offset, length = unpack_from(form, headers, where)
            name = _beginning(root, path, min(length, 4096), min(offset, 1 << 62))
            return name.partition(b"\0")[0].decode("utf-8", "replace")
    return ""
