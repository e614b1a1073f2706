"""Shared libraries that cannot be opened: which is a matter of the machine, and which of the moment."""

from errno import EIO, EMFILE
from os import strerror
from types import SimpleNamespace

import pytest
from pyrunc._native import ffi
from pyrunc.errors import PyruncError
from pyrunc.kernel import library

NAME, NEED = "libsystemd.so.0", "the systemd cgroup manager"
LACKING = f"{NEED} needs {NAME}, which cannot be loaded"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("cannot open shared object file: No such file or directory", f"{LACKING} (install it)"),
        ("invalid ELF header", f"{LACKING}: invalid ELF header"),
        ("cannot read file data: Input/output error", f"{LACKING}: {strerror(EIO)}"),
        ("cannot open shared object file: Too many open files", f"{LACKING}: {strerror(EMFILE)}"),
        ("failed to map segment from shared object", f"{LACKING}: failed to map segment from shared object"),
    ],
)
def test_why_not(monkeypatch: pytest.MonkeyPatch, said: str, text: str) -> None:
    words = ffi.new("char[]", f"{NAME}: {said}".encode())
    fake = SimpleNamespace(dlopen=lambda *_: ffi.NULL, dlerror=lambda: words)
    monkeypatch.setattr(library, "lib", fake)
    with pytest.raises(PyruncError) as caught:
        library.Library(NAME, NEED)
    assert str(caught.value) == text
