"""Compiled seccomp filters, kept in a directory: compiling podman's profile takes libseccomp as long as all of create.

A file's name is its key, a hash of all that went into the compiler. Its content is a checksum over key and
instructions, then the instructions. A file counts only if it and the directory are ours and nobody else can write to
them, and if the checksum is right; else it is as if it were not there. Losing the cache costs time, nothing else: every
failure here is passed over.
"""

import posix
from _stat import S_IFDIR, S_IFMT, S_IFREG

from pyrunc.kernel.descriptors import opened

_MOST_FILES = 64  # filters of different profiles on one machine are few: one a pod at the very most
_MOST_BYTES = 4096 * 8  # BPF_MAXINSNS instructions
_CHECKSUM_SIZE = 32
_OTHERS_WRITE = 0o022
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK


def key(*parts: str) -> str:
    """The name under which the filter that these texts determine is kept."""
    from _blake2 import blake2b

    return blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=_CHECKSUM_SIZE).hexdigest()


def _checksum(name: str, instructions: bytes) -> bytes:
    from _blake2 import blake2b

    return blake2b(name.encode() + instructions, digest_size=_CHECKSUM_SIZE).digest()


def load(path: str, name: str) -> "bytes | None":
    """The instructions kept under a key in the directory `path`; None if there are none that can be trusted."""
    try:
        with opened(_open(path)) as directory, opened(posix.open(name, _READ, dir_fd=directory)) as fd:
            content = posix.read(fd, _CHECKSUM_SIZE + _MOST_BYTES + 1) if _is_ours(fd, S_IFREG) else b""
    except OSError:
        return None
    checksum, instructions = content[:_CHECKSUM_SIZE], content[_CHECKSUM_SIZE:]
    if not 0 < len(instructions) <= _MOST_BYTES or len(instructions) % 8 or checksum != _checksum(name, instructions):
        return None
    return instructions


def store(path: str, name: str, instructions: bytes) -> None:
    """Keep the instructions under a key; the oldest files go when there are too many."""
    try:
        try:
            directory = _open(path)
        except FileNotFoundError:
            posix.mkdir(path, 0o700)
            directory = _open(path)
        with opened(directory):
            _drop_oldest(directory)
            _write(directory, name, _checksum(name, instructions) + instructions)
    except OSError:  # a full or read-only file system, or another command's mkdir between ours
        return


def _open(path: str) -> int:
    fd = posix.open(path, _READ | posix.O_DIRECTORY)
    if _is_ours(fd, S_IFDIR):
        return fd
    posix.close(fd)
    raise PermissionError(1, "")


def _is_ours(fd: int, kind: int) -> bool:
    facts = posix.fstat(fd)
    return S_IFMT(facts.st_mode) == kind and facts.st_uid == posix.geteuid() and not facts.st_mode & _OTHERS_WRITE


def _write(directory: int, name: str, content: bytes) -> None:
    """Write a file whole or not at all: under a name of our own, then renamed."""
    partial = f".{posix.getpid()}-{posix.urandom(4).hex()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    with opened(posix.open(partial, flags, 0o600, dir_fd=directory)) as fd:
        written = posix.write(fd, content)
    if written == len(content):
        posix.rename(partial, name, src_dir_fd=directory, dst_dir_fd=directory)
    else:
        posix.unlink(partial, dir_fd=directory)


def _drop_oldest(directory: int) -> None:
    """Make room for one more; what a killed command left half written goes with the rest, by its age."""
    names = posix.listdir(directory)
    if len(names) < _MOST_FILES:
        return
    ages = sorted((posix.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns, name) for name in names)
    for _, name in ages[: len(names) - _MOST_FILES + 1]:
        posix.unlink(name, dir_fd=directory)
