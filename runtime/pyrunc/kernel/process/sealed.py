"""pyrunc-init as a file that nobody can write to, whatever a container does with /proc/PID/exe (CVE-2019-5736)."""

import fcntl
import posix
from errno import EINVAL

from pyrunc.errors import PyruncError
from pyrunc.kernel import files, syscalls
from pyrunc.kernel.descriptors import opened

_MFD_EXEC = 0x10  # Linux 6.3; older kernels say EINVAL and make every memory file executable
_F_ADD_SEALS, _ALL_SEALS = 1033, 0xF  # SEAL, SHRINK, GROW, WRITE
_O_PATH, _ST_RDONLY = 0o10000000, 1
_WRITABLE_BY_OTHERS = 0o022


def helper() -> int:
    """An executable descriptor of pyrunc-init, close-on-exec: a sealed copy in memory (it is 13 KB).

    Where the kernel forbids executable memory files (vm.memfd_noexec=2), the file itself: through a private read-only
    copy of its mount, which takes CAP_SYS_ADMIN, or, for an ordinary user, if it is another's and he may not write it.
    """
    path = f"{__file__.rsplit('/', 3)[0]}/pyrunc-init"
    try:
        return _in_memory(path)
    except PermissionError:
        return _read_only(path)
    except FileNotFoundError:
        raise PyruncError(f"`{path}` is missing from the installation", hint="reinstall pyrunc") from None
    except OSError as error:
        raise PyruncError.from_os(f"make a copy of `{path}` in memory", error) from None


def data(name: str, content: bytes) -> int:
    """A sealed memory file with this content, close-on-exec."""
    try:
        fd = posix.memfd_create(name, posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING)
        posix.write(fd, content)
        fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
    except OSError as error:
        raise PyruncError.from_os(f"make a memory file for the {name}", error) from None
    return fd


def protect_interpreter(environment: "dict[bytes, bytes]") -> None:
    """Go on as the same command in an interpreter that cannot be written to, before any process of ours enters a pid
    namespace that others are in: who may trace it there could write to /proc/PID/exe. Costs a start of the interpreter.

    It runs from a private read-only copy of the mount that it lies on. Returns at once in that second run.
    """
    try:
        with opened(posix.open("/proc/self/exe", _O_PATH | posix.O_CLOEXEC)) as executable:
            if syscalls.mount_flags(executable) & _ST_RDONLY:
                return
        directory, _, name = posix.readlink("/proc/self/exe").rpartition("/")
        clone = syscalls.open_tree(syscalls.AT_FDCWD, directory, syscalls.OPEN_TREE_CLONE)
        syscalls.mount_setattr(clone, set_=syscalls.MOUNT_ATTR_RDONLY)
        interpreter = posix.open(name, _O_PATH | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=clone)
        variables = [f"{_text(key)}={_text(value)}" for key, value in environment.items()]
        syscalls.execveat(interpreter, "", _command_line(), variables)
    except OSError as error:
        raise PyruncError.from_os("protect the interpreter from being overwritten", error) from None


def _command_line() -> "list[str]":
    return [_text(word) for word in files.read("/proc/self/cmdline").split(b"\0")[:-1]]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _in_memory(path: str) -> int:
    content = files.read(path)
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        fd = posix.memfd_create("pyrunc-init", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        fd = posix.memfd_create("pyrunc-init", flags)
    posix.write(fd, content)
    fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
    # A process that executes a file it may not read cannot be traced without privilege over the file's owner
    # (would_dump() in fs/exec.c), as root of a user namespace: the process has neither seccomp filter nor label yet.
    # Nor could an ordinary user, who has to fetch a seccomp listener from it.
    if posix.geteuid() == 0:
        posix.fchmod(fd, 0o111)
    return fd


def _read_only(path: str) -> int:
    directory, _, name = path.rpartition("/")
    try:
        with opened(syscalls.open_tree(syscalls.AT_FDCWD, directory, syscalls.OPEN_TREE_CLONE)) as clone:
            syscalls.mount_setattr(clone, set_=syscalls.MOUNT_ATTR_RDONLY)
            return posix.open(name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW, dir_fd=clone)
    except OSError as error:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        status = posix.fstat(fd)
        if status.st_uid != posix.geteuid() and not status.st_mode & _WRITABLE_BY_OTHERS:
            return fd
        posix.close(fd)
        hint = "install pyrunc as root: with vm.memfd_noexec=2 its files must not be owned by this user"
        text = "protect pyrunc-init from being overwritten"
        raise PyruncError.from_os(text, error, hint=hint, check="memory-files") from None
