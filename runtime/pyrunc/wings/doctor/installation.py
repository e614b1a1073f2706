"""Check of pyrunc's own files: that what is executed was made of the sources beside it, and who else could change it.

`make install` writes byte code that is used without a look at the sources' times (ADR 6), so that an edited source has
no effect until it is installed anew.
"""

import posix
import sys
from _stat import S_ISLNK, S_ISVTX

from pyrunc import startup, stateroot
from pyrunc.kernel.process import processes, programs

from .finding import DEGRADED, OK, Finding, Subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = startup.__file__.rpartition("/")[0]
_UNCHECKED = 1  # PEP 552: flags of a cache file that holds a hash of the source, which imports do not look at


def installation(subject: Subject) -> Finding:
    """The sources are compared by the hash that the byte code holds."""
    files = list(_files(_PACKAGE))
    if loose := sorted(path for path in files if _is_loose(posix.stat(path), subject.host.euid)):
        text = f"users other than root and this one can change {_some(loose)}, which is executed"
        return Finding(DEGRADED, text, f"chown -R root: {_PACKAGE} && chmod -R go-w {_PACKAGE}")
    # Whoever can rename a parent directory can put another installation in place of this one.
    places = {path: facts for start in (_PACKAGE, _program()) for path, facts in stateroot.way(start)}
    if loose := sorted(path for path, facts in places.items() if _is_loose(facts, subject.host.euid)):
        text = f"users other than root and this one can change {_some(loose)}, on the path to what is executed"
        return Finding(DEGRADED, text, "install to a prefix that only root can change: make install PREFIX=/usr/local")
    if stale := sorted({source for path in files for source in _changed_since(path)}):
        return Finding(DEGRADED, f"{_some(stale)} differs from the byte code, which is what runs", "make install")
    if (there := _version_of_interpreter()) not in ("", sys.version):
        here, there = (version.partition(" [")[0] for version in (sys.version, there))
        text = f"pyrunc has Python {here} built in; `{sys.executable}` is {there} by now"
        return Finding(DEGRADED, text, "make install")
    return Finding(OK, "the byte code matches the sources, and nobody else can change it")


def _version_of_interpreter() -> str:
    """What the interpreter that pyrunc was installed for says of itself today; "" if it cannot be asked, or runs us.
    A program that is linked to it statically does not get its updates (docs/adr/0011)."""
    try:
        if posix.readlink("/proc/self/exe") == sys.executable:
            return ""
        status, text = programs.run([sys.executable, "-IS", "-c", "import sys; sys.stdout.write(sys.version)"], 4096)
    except OSError:
        return ""
    return "" if status else text


def _files(directory: str) -> "Iterator[str]":
    yield directory
    with posix.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry.path


def _program() -> str:
    """The launcher, as it was called; the package, if it was found in another way."""
    path = processes.program("self")
    return path if path.startswith("/") and posix.access(path, posix.F_OK) else _PACKAGE


def _is_loose(facts: "posix.stat_result", euid: int) -> bool:
    writable = facts.st_mode & 0o022 and not facts.st_mode & S_ISVTX and not S_ISLNK(facts.st_mode)
    return facts.st_uid not in (0, euid) or bool(writable)


def _changed_since(path: str) -> "Iterator[str]":
    """The sources that differ from this file of byte code."""
    if path.endswith(".modules"):
        for _, _, source, code, digest in startup.entries(path):
            if code is not None and _digest(source) != digest:
                yield source
    elif path.endswith(".pyc"):
        from importlib.util import source_from_cache

        with open(path, "rb") as file:
            header = file.read(16)
        source = source_from_cache(path)
        if len(header) < 16 or (header[4] == _UNCHECKED and _digest(source) != header[8:]):
            yield source


def _digest(source: str) -> bytes:
    from importlib.util import source_hash

    try:
        with open(source, "rb") as file:
            return source_hash(file.read())
    except FileNotFoundError:
        return b""


def _some(paths: "list[str]") -> str:
    return f"`{paths[0]}`" if len(paths) == 1 else f"`{paths[0]}` and {len(paths) - 1} more"
