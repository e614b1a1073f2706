"""Write the `pyrunc` program: `launcher.py TARGET PYTHON DIRECTORY...`, the directories being those of its modules.

-I: neither PYTHON* of the caller's environment nor the working directory has a say (podman's cwd is the bundle, and
conmon hands down a user's whole environment to root). -S: no site-packages and no .pth files, which cost 2 ms.
The interpreter is named by its real path: the compiled modules beside us fit this version and no other.
"""

import os
import sys
from pathlib import Path

# The library comes after the standard library, which it therefore cannot shadow. (Measured: no slower than before it.)
# The collector of cycles would look 40 times at modules being loaded, and find nothing: a command that lives long gets
# to its threshold later.
STUB = """\
#!{python} -IS
import gc
import sys

gc.set_threshold(100_000)
sys.path += {directories!r}

from pyrunc.startup import load

load("cli")

from pyrunc.cli import main

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
