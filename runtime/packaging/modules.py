"""Write the modules of one command into one file, for `pyrunc.startup`: `modules.py COMMAND LIBRARY INSTALLED`.

LIBRARY is where the modules lie now, INSTALLED where they will be found: their code names that place in tracebacks.
To be run by the interpreter that will run them, started with -IS: what it loads is what is written.
"""

import marshal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from importlib.util import MAGIC_NUMBER, source_hash
from types import CodeType, ModuleType
from typing import Any

Entry = tuple[str, bool, str, CodeType | None, bytes]  # as startup.py says

BUILT_IN = "built-in"  # as the interpreter names the place of what it is made with
CLI = "cli"
COMMANDS = (CLI, "create", "start", "state", "kill", "delete", "exec", "run")  # those that engines call
_OF_CGROUPS = ("pyrunc.cgroup.limits", "pyrunc.cgroup.devices", "pyrunc.cgroup.oom", "pyrunc.cgroup.values")
# What the function that starts every command imports, and commands in functions that nearly every call comes to.
MORE = {
    CLI: ("pyrunc.kernel.descriptors", "pyrunc.host", "pyrunc.bundle"),
    "create": (*_OF_CGROUPS, "pyrunc.kernel.trees"),
    "run": (*_OF_CGROUPS, "pyrunc.kernel.trees"),
    "state": ("pyrunc.kernel.process.privileges", "_prctl"),
    "kill": ("pyrunc.kernel.syscalls",),
    "delete": ("pyrunc.kernel.trees",),
}


def trace(names: tuple[str, ...]) -> list[ModuleType]:
    """Import modules; those that this has loaded, ours and extensions, in the order in which their imports ended."""
    loaded: list[ModuleType] = []
    for name in names:
        with noting(SourceFileLoader, loaded), noting(ExtensionFileLoader, loaded):
            import_module(name)
    return [module for module in loaded if _is_extension(module) or module.__name__.partition(".")[0] == "pyrunc"]


@contextmanager
def noting(loader: type[SourceFileLoader] | type[ExtensionFileLoader], loaded: list[ModuleType]) -> Iterator[None]:
    """Note each module that a loader has executed."""
    execute = loader.exec_module

    def noted(self: Any, module: ModuleType) -> None:
        execute(self, module)
        loaded.append(module)

    loader.exec_module = noted  # type: ignore[method-assign]  # (put back below)
    try:
        yield
    finally:
        loader.exec_module = execute  # type: ignore[method-assign]


def _is_extension(module: ModuleType) -> bool:
    return isinstance(module.__loader__, ExtensionFileLoader)


def entry(module: ModuleType, library: str, installed: str) -> Entry:
    """A module as `pyrunc.startup` wants it."""
    path = str(module.__file__)
    where = path.replace(library, installed, 1) if path.startswith(f"{library}/") else path
    if _is_extension(module):
        return module.__name__, False, where, None, b""
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, where, "exec", dont_inherit=True, optimize=2)
    return module.__name__, hasattr(module, "__path__"), where, code, source_hash(source)


def built_in(entries: list[Entry]) -> list[Entry]:
    """The interpreter's own modules that these import. One that a function imports, or an attribute of such a name,
    may be among them: that costs some microseconds.
    """
    names = {name for *_, code, _ in entries if code for name in code.co_names}
    return [(name, False, BUILT_IN, None, b"") for name in sorted(names.intersection(sys.builtin_module_names))]


def write(command: str, library: str, installed: str) -> None:
    """Write the file of one command."""
    sys.path.append(library)
    loaded = trace(("pyrunc.startup", "pyrunc.cli", *MORE[CLI]))
    if command != CLI:
        loaded = trace((f"pyrunc.commands.{command}", *MORE.get(command, ())))
    entries = [entry(module, library, installed) for module in loaded]
    content = marshal.dumps((*built_in(entries), *entries))
    with open(import_module("pyrunc.startup").path_of(command), "wb") as file:
        file.write(MAGIC_NUMBER + content)


if __name__ == "__main__":
    write(*sys.argv[1:])
