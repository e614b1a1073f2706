"""A bundle: the directory with config.json and, as a rule, the root file system (runtime-spec bundle.md)."""

import posix
from _stat import S_ISREG
from errno import ENOENT

from . import jsontext
from .errors import PyruncError
from .kernel import files
from .kernel.descriptors import opened

MAX_CONFIG = 64 << 20  # bytes
_O_PATH = 0o10000000  # not in `posix`; the same on all architectures that use asm-generic/fcntl.h


def absolute(path: str) -> str:
    """`path` made absolute, without `.` and empty components; `..` is left to the kernel, symlinks may precede it."""
    if not path.startswith("/"):
        try:
            path = f"{posix.getcwd()}/{path}"
        except OSError as error:
            raise PyruncError.from_os("find the working directory", error) from None
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def resolved(path: str) -> str:
    """The bundle at `path` by a name without symlinks and `..`, which may lead elsewhere by the time that a hook reads
    the state; what cannot be opened is `absolute`, and the error of who reads it."""
    try:
        with opened(posix.open(path, _O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)) as fd:
            return posix.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # or there is no /proc here
        return absolute(path)


def read_file(path: str) -> bytes:
    """The content of a regular file of at most MAX_CONFIG bytes: neither a FIFO nor a device can make us wait."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY)
    except OSError as error:
        raise PyruncError.from_os(f"open `{path}`", error) from None
    try:
        with opened(fd):
            facts = posix.fstat(fd)
            if not S_ISREG(facts.st_mode):
                raise PyruncError(f"`{path}` is not a regular file")
            if facts.st_size > MAX_CONFIG:
                raise PyruncError(f"`{path}` is larger than {MAX_CONFIG >> 20} MiB")
            return posix.read(fd, facts.st_size + 1)
    except OSError as error:
        raise PyruncError.from_os(f"read `{path}`", error) from None


def read_given(path: str) -> bytes:
    """The content of a file that the command line names, - for standard input: a pipe, as of `<(...)`, will do."""
    if path == "-":
        return _read_open(0, "standard input")
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY)
    except OSError as error:
        raise PyruncError.from_os(f"open `{path}`", error) from None
    with opened(fd):
        return _read_open(fd, f"`{path}`")


def _read_open(fd: int, what: str) -> bytes:
    try:
        content = files.read_open(fd, MAX_CONFIG + 1)
    except OSError as error:
        raise PyruncError.from_os(f"read {what}", error) from None
    if len(content) > MAX_CONFIG:
        raise PyruncError(f"{what} is larger than {MAX_CONFIG >> 20} MiB")
    return content


def read_config(bundle: str, config: str = "") -> bytes:
    """The text of the bundle's config.json, or of the file `config` in its place."""
    path = config or f"{bundle}/config.json"
    try:
        return read_file(path)
    except PyruncError as error:
        if error.errno == ENOENT and not config:
            error.hint = "is this a bundle? `pyrunc spec` writes a config.json to start from"
        raise


def parse(text: bytes, source: str) -> object:
    """The JSON value of a config."""
    return jsontext.loads(text, source)
