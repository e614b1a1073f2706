"""Write the `pyrunc` program: `launcher.py TARGET PYTHON DIRECTORY...`, the directories being those of its modules.

-I: neither PYTHON* of the caller's environment nor the working directory has a say (podman's cwd is the bundle, and
conmon hands down a user's whole environment to root). -S: no site-packages and no .pth files, which cost 2 ms.
The interpreter is named by its real path: the compiled modules beside us fit this version and no other.
"""

import os
import sys
from pathlib import Path

# The library comes after the standard library, which it therefore cannot shadow. (Measured: no slower than before it.)
STUB = """\
#!{python} -IS
import sys

sys.path += {directories!r}

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
