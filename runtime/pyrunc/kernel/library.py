"""Shared libraries that only some configurations need (libsystemd, libseccomp): opened by dlopen(3) when they do."""

from pyrunc._native import ffi, lib
from pyrunc.errors import PyruncError, strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RTLD_NOW = 2


class NotInstalled(PyruncError):
    """The library is not installed."""


class Library:
    """One library. name: its soname, "libsystemd.so.0"; need: what it is needed for; check: `PyruncError.check`."""

    __slots__ = ("_handle", "_name")

    def __init__(self, name: str, need: str, check: str = "") -> None:
        self._name = name
        self._handle = lib.dlopen(name.encode(), _RTLD_NOW)
        if self._handle == ffi.NULL:
            raise _failure(name, need, check)

    def function(self, name: str, type_: str) -> "Any":
        """A function of the library; type_: its C pointer type, "int(*)(void *)"."""
        address = lib.dlsym(self._handle, name.encode())
        if address == ffi.NULL:
            raise PyruncError(f"{self._name} has no function `{name}`", hint="it is too old")
        return ffi.cast(type_, address)


_OF_THE_KERNEL = (5, 12, 13, 23, 24)  # EIO, ENOMEM, EACCES, ENFILE, EMFILE


def _failure(name: str, need: str, check: str) -> PyruncError:
    """Why a library could not be opened: in the loader's words, or in the kernel's if they end in those. Not if it is
    not there: callers would take it for an error of the container by the kernel's words for that."""
    said, what = lib.dlerror(), f"{need} needs {name}, which cannot be loaded"
    text = "" if said == ffi.NULL else ffi.string(said).decode("utf-8", "replace").removeprefix(f"{name}: ")
    if not text or "No such file" in text:
        return NotInstalled(what, hint="install it", check=check)
    for number in _OF_THE_KERNEL:
        if text.endswith(strerror(number)):
            return PyruncError(what, errno=number, check=check)
    return PyruncError(f"{what}: {text}", check=check)
