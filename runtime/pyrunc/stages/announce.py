"""How a caller learns of the process that was made: by the file of --pid-file, or over the socket of --pidfd-socket."""

import posix
from errno import EINVAL, EISDIR, EOPNOTSUPP

from pyrunc.errors import PyruncError
from pyrunc.kernel.descriptors import opened

_O_TMPFILE = 0o20000000 | posix.O_DIRECTORY
_NO_TMPFILE = (EISDIR, EINVAL, EOPNOTSUPP)  # a kernel or a file system that has them not


def write_pid_file(path: str, pid: int) -> None:
    """Whole or not at all: conmon reads it as soon as we are gone.

    The file has no name before it is whole: a command that is killed leaves none, and nobody can have prepared it.
    """
    directory, slash, _ = path.rpartition("/")
    linked = False
    try:
        try:
            unnamed = posix.open(f"{directory}{slash}.", _O_TMPFILE | posix.O_WRONLY | posix.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            _write_and_rename(path, pid)
            return
        with opened(unnamed):
            posix.write(unnamed, str(pid).encode())
            _link(unnamed, path)
            linked = True
    except OSError as error:
        if linked:  # close(2) has the last word on what was written
            remove_pid_file(path)
        raise PyruncError.from_os(f"write the pid file `{path}`", error) from None


def _link(fd: int, path: str) -> None:
    """Give an unnamed file its name, in the place of a file of that name (open(2), O_TMPFILE)."""
    source = f"/proc/self/fd/{fd}"
    try:
        posix.link(source, path, src_dir_fd=fd)  # without any, CPython calls link(2), which does not follow
    except FileExistsError:
        posix.unlink(path)
        posix.link(source, path, src_dir_fd=fd)


def _write_and_rename(path: str, pid: int) -> None:
    """On a file system without unnamed files, such as NFS. A temporary file that is there is not written into but
    removed: its owner could change what it says afterwards."""
    directory, slash, name = path.rpartition("/")
    partial = f"{directory}{slash}.{name}.{posix.getpid()}"
    try:
        remove_pid_file(partial)
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        with opened(posix.open(partial, flags, 0o644)) as fd:
            posix.write(fd, str(pid).encode())
        posix.rename(partial, path)
    except BaseException:
        remove_pid_file(partial)
        raise


def remove_pid_file(path: str) -> None:
    """Nobody is to look for a process that failed; the command may not have come to the file."""
    try:
        posix.unlink(path)
    except OSError:
        return


def send_pidfd(path: str, pid: int) -> None:
    """Send a pidfd of the process to the AF_UNIX socket at `path`, with SCM_RIGHTS (`--pidfd-socket`)."""
    from pyrunc.kernel import syscalls, unixsocket

    with opened(syscalls.pidfd_open(pid)) as pidfd:
        unixsocket.send_descriptor(path, pidfd, b"pidfd", "pidfd socket")
