"""Print what pyproject.toml asks for, one requirement a line: `requirements.py build|runtime|test...`.

pip can install a project's dependencies only together with the project.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
GROUPS = {
    "build": PROJECT["build-system"]["requires"],
    "runtime": PROJECT["project"]["dependencies"],
    **PROJECT["project"]["optional-dependencies"],
}

if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for group in sys.argv[1:] for line in GROUPS[group]))
