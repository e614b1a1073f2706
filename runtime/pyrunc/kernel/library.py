"""Shared libraries that only some configurations need (libsystemd, libseccomp): opened by dlopen(3) when they do."""

from pyrunc._native import ffi, lib
from pyrunc.errors import PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RTLD_NOW = 2


class Library:
    """One library. name: its soname, "libsystemd.so.0"; need: what it is needed for, for the error."""

    __slots__ = ("_handle", "_name")

    def __init__(self, name: str, need: str) -> None:
        self._name = name
        self._handle = lib.dlopen(name.encode(), _RTLD_NOW)
        if self._handle == ffi.NULL:
            raise PyruncError(f"{need} needs {name}, which cannot be loaded", hint=_reason())

    def function(self, name: str, type_: str) -> "Any":
        """A function of the library; type_: its C pointer type, "int(*)(void *)"."""
        address = lib.dlsym(self._handle, name.encode())
        if address == ffi.NULL:
            raise PyruncError(f"{self._name} has no function `{name}`", hint="it is too old")
        return ffi.cast(type_, address)


def _reason() -> str:
    text = lib.dlerror()
    # dlopen(3) repeats libc's words for an errno, by which callers would take this for an error about the container.
    return "install it" if text == ffi.NULL or b"No such file" in ffi.string(text) else "it does not fit this machine"
