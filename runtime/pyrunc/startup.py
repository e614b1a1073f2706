"""A command's modules out of one file, which takes a third of the time that importing them one by one does.

`make install` writes such files (runtime/packaging/modules.py) beside the byte code, and they are as trusted:

    __pycache__/NAME.CACHE_TAG.modules    the interpreter's magic number, then a marshalled tuple of entries, each
                                          (module's name, whether it is a package, its path, its code, the hash of its
                                          source, which only `pyrunc doctor` looks at); without code: an extension,
                                          or at "built-in" a module of the interpreter's

The entries stand in the order in which their imports end, so that each finds in `sys.modules` what it imports itself.
Without the file, or with one for another interpreter or cut off, modules are imported as usual.
"""

import marshal
import posix
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec, module_from_spec
from _frozen_importlib_external import MAGIC_NUMBER, ExtensionFileLoader

_Module = type(sys)
_CACHE = f"{__file__.rpartition('/')[0]}/__pycache__"


def path_of(name: str) -> str:
    """Where the modules of a command lie, or those of the command line itself ("cli")."""
    return f"{_CACHE}/{name}.{sys.implementation.cache_tag}.modules"


def load(name: str) -> None:
    """Load the modules of a command, so that importing it finds them."""
    for module_name, is_package, path, code, _ in entries(path_of(name)):
        if module_name in sys.modules:
            continue
        if code is None:
            _load_extension(module_name, path)
        else:
            _execute(module_name, path, code, is_package=is_package)


def entries(file: str) -> "tuple[tuple[str, bool, str, object, bytes], ...]":
    """What the file says; nothing without a whole one for this interpreter."""
    try:
        fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            content = posix.read(fd, posix.fstat(fd).st_size)
        finally:
            posix.close(fd)
        if not content.startswith(MAGIC_NUMBER):
            return ()
        return marshal.loads(memoryview(content)[len(MAGIC_NUMBER) :])  # type: ignore[no-any-return]  # noqa: S302  (code, as in any .pyc)
    except (OSError, EOFError, ValueError, TypeError):  # marshal, of a file that is cut off: all but the first
        return ()


def _load_extension(name: str, path: str) -> None:
    """What an import does once it has looked through all directories, which takes longer than loading does."""
    loader = BuiltinImporter if path == "built-in" else ExtensionFileLoader(name, path)
    try:
        module = module_from_spec(ModuleSpec(name, loader, origin=path))  # type: ignore[arg-type]  # as importlib
    except ImportError:  # not where it was: whoever imports it looks for it
        return
    sys.modules[name] = module
    loader.exec_module(module)
    _tell_parent(name, module)


def _execute(name: str, path: str, code: object, *, is_package: bool) -> None:
    """What an import does with a module once it is found."""
    module = _Module(name)
    spec = module.__spec__ = ModuleSpec(name, None, origin=path, is_package=is_package)
    module.__file__, module.__package__ = path, spec.parent
    if is_package:
        module.__path__ = spec.submodule_search_locations = [path.rpartition("/")[0]]
    sys.modules[name] = module
    exec(code, module.__dict__)  # type: ignore[arg-type]  # noqa: S102  (as importlib does)
    _tell_parent(name, module)


def _tell_parent(name: str, module: object) -> None:
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
