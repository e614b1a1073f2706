"""Write the modules of one command into one file, for `pyrunc.startup`: `modules.py COMMAND LIBRARY INSTALLED`.

LIBRARY is where the modules lie now, INSTALLED where they will be found: their code names that place in tracebacks.
To be run by the interpreter that will run them, started with -IS: what it loads is what is written.
"""

import marshal
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, source_hash
from types import ModuleType

CLI = "cli"
COMMANDS = (CLI, "create", "start", "state", "kill", "delete", "exec", "run")  # those that engines call
_OF_CGROUPS = ("pyrunc.cgroup.control", "pyrunc.cgroup.devices", "pyrunc.cgroup.values")
# What the function that starts every command imports, and commands in functions that nearly every call comes to.
MORE = {
    CLI: ("pyrunc.kernel.descriptors", "pyrunc.host", "pyrunc.bundle"),
    "create": (*_OF_CGROUPS, "pyrunc.commands.delete", "pyrunc.kernel.trees"),  # to undo, when nothing may be loaded
    "run": (*_OF_CGROUPS, "pyrunc.kernel.trees"),
    "state": ("pyrunc.kernel.privileges",),
    "delete": ("pyrunc.cgroup.manager", "pyrunc.cgroup.names", "pyrunc.kernel.trees"),
}


def trace(names: tuple[str, ...]) -> list[ModuleType]:
    """Import modules; those in Python that this has loaded, in the order in which their imports ended."""
    loaded = []
    execute = SourceFileLoader.exec_module

    def noted(self: SourceFileLoader, module: ModuleType) -> None:
        execute(self, module)
        loaded.append(module)

    SourceFileLoader.exec_module = noted  # type: ignore[method-assign]  # (put back below)
    try:
        for name in names:
            import_module(name)
    finally:
        SourceFileLoader.exec_module = execute  # type: ignore[method-assign]
    return [module for module in loaded if module.__name__.partition(".")[0] == "pyrunc"]


def entry(module: ModuleType, library: str, installed: str) -> tuple[str, bool, str, object, bytes]:
    """A module as `pyrunc.startup` wants it."""
    path = str(module.__file__)
    with open(path, "rb") as file:
        source = file.read()
    path = installed + path.removeprefix(library)
    code = compile(source, path, "exec", dont_inherit=True, optimize=2)
    return module.__name__, hasattr(module, "__path__"), path, code, source_hash(source)


def write(command: str, library: str, installed: str) -> None:
    """Write the file of one command."""
    sys.path.append(library)
    startup = import_module("pyrunc.startup")
    names = ("pyrunc.cli", *MORE[CLI])
    if command != CLI:
        trace(names)
        names = (f"pyrunc.commands.{command}", *MORE.get(command, ()))
    content = marshal.dumps(tuple(entry(module, library, installed) for module in trace(names)))
    with open(startup.path_of(command), "wb") as file:
        file.write(MAGIC_NUMBER + content)


if __name__ == "__main__":
    write(*sys.argv[1:])
