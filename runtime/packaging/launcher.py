"""Write the `pyrunc` program: `launcher.py TARGET PYTHON DIRECTORY...`, the directories being those of its modules.

An installed program (`body` with `library`) begins with the files that `modules.py` has written; a checkout has none.
Where the interpreter has a library to link to, an installed program is no script (native_launcher.py); it does the
same.

-I: neither PYTHON* of the caller's environment nor the working directory has a say (podman's cwd is the bundle, and
conmon hands down a user's whole environment to root). -S: no site-packages and no .pth files, which cost 2 ms.
The interpreter is named by its real path: the compiled modules beside us fit this version and no other.
"""

import os
import sys
from importlib.util import cache_from_source
from pathlib import Path

# Ctrl-C first: the interpreter's own handler would print a traceback. Until pyrunc has one, there is nothing to undo,
# so the signal may end us as it ends any program. Who calls us with SIGINT ignored wants it so.
# The library comes after the standard library, which it therefore cannot shadow. (Measured: no slower than before it.)
# The collector of cycles would look 40 times at modules being loaded, and find nothing: a command that lives long gets
# to its threshold later.
# What cannot be loaded (EMFILE, ENOMEM, half an installation) is told in one line, by what needs no loading itself.
# Compiling this text is a part of every start: no f-strings, which the parser of 3.11 starts anew for.
BODY = """\
import _signal

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import sys

gc.set_threshold(100_000)
sys.path += {directories!r}
try:
{load}    from pyrunc.cli import main
except Exception as error:
    file = getattr(error, "filename", None)
    what = "`%s`" % file if file else "the modules of pyrunc"
    sys.exit("pyrunc: load %s: %s" % (what, getattr(error, "strerror", None) or str(error) or type(error).__name__))

main()
"""
# `pyrunc.startup` without a search for it, nor for its package: a third of what is loaded here, in time. If it is not
# there (who tidies up removes __pycache__) or for another interpreter, all is imported as usual.
LOAD = """\
    import marshal
    from _frozen_importlib_external import MAGIC_NUMBER

    try:
        with open({compiled!r}, "rb") as file:
            if file.read(16).startswith(MAGIC_NUMBER):
                startup = {{"__name__": "pyrunc.startup", "__file__": {source!r}}}
                exec(marshal.load(file), startup)
                startup["load"]("cli")
    except (OSError, EOFError, ValueError, TypeError):
        pass

"""


def body(directories: list[str], library: Path | None = None) -> str:
    """What the program does, be it a script or not. library: where the package is installed, beside its byte code."""
    load = ""
    if library is not None:
        source = f"{library}/pyrunc/startup.py"
        load = LOAD.format(source=source, compiled=cache_from_source(source))
    return BODY.format(directories=directories, load=load)


def write(target: Path, python: str, body: str) -> None:
    """Write the program as a script, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(f"#!{os.path.realpath(python)} -IS\n{body}")
    partial.chmod(0o755)
    partial.rename(target)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], body([os.path.abspath(directory) for directory in sys.argv[3:]]))
