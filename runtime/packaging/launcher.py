"""Write the `pyrunc` program: `launcher.py TARGET PYTHON DIRECTORY...`, the directories being those of its modules.

-I: neither PYTHON* of the caller's environment nor the working directory has a say (podman's cwd is the bundle, and
conmon hands down a user's whole environment to root). -S: no site-packages and no .pth files, which cost 2 ms.
The interpreter is named by its real path: the compiled modules beside us fit this version and no other.
"""

import os
import sys
from pathlib import Path

# Ctrl-C first: the interpreter's own handler would print a traceback. Until pyrunc has one, there is nothing to undo,
# so the signal may end us as it ends any program. Who calls us with SIGINT ignored wants it so.
# The library comes after the standard library, which it therefore cannot shadow. (Measured: no slower than before it.)
# The collector of cycles would look 40 times at modules being loaded, and find nothing: a command that lives long gets
# to its threshold later.
# What cannot be loaded (EMFILE, ENOMEM, half an installation) is told in one line, by what needs no loading itself.
STUB = """\
#!{python} -IS
import _signal

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import posix
import sys

gc.set_threshold(100_000)
sys.path += {directories!r}
try:
    from pyrunc.startup import load

    load("cli")

    from pyrunc.cli import main
except Exception as error:
    what = f"`{{error.filename}}`" if getattr(error, "filename", "") else "the modules of pyrunc"
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    posix.write(2, f"pyrunc: load {{what}}: {{why}}\\n".encode(errors="replace"))
    posix._exit(1)

main()
"""


def write(target: Path, python: str, directories: list[str]) -> None:
    """Write the program, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_text(STUB.format(python=os.path.realpath(python), directories=directories))
    partial.chmod(0o755)
    partial.rename(target)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], [os.path.abspath(directory) for directory in sys.argv[3:]])
