"""The build: setuptools, preceded by what it cannot do itself.

Two pieces are native: `_native`, the system calls that CPython lacks (cffi, API mode), and `pyrunc-init`, the static
program that a container's first process becomes before it is the user's (docs/adr/0001).
Build by hand with `python3 runtime/native/backend.py`, which puts both beside the sources.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import build_meta

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
PACKAGE = TOP / "runtime" / "pyrunc"
EXTENSION_SOURCE = TOP / "build" / "native" / "_native.c"
INIT_FLAGS = ["-Os", "-Wall", "-Wextra", "-Werror", "-static", "-fno-stack-protector"]


def prepare() -> None:
    """Write the extension's C source and compile the helper; both are inputs of the setuptools build."""
    sys.path.insert(0, str(HERE))
    from syscalls_build import ffibuilder

    EXTENSION_SOURCE.parent.mkdir(parents=True, exist_ok=True)
    ffibuilder.emit_c_code(str(EXTENSION_SOURCE))
    compiler = os.environ.get("CC", "cc")
    helper = PACKAGE / "pyrunc-init"
    source = HERE / "pyrunc_init.c"
    # Without libc where its calling convention is in the source (40 KB less, and nothing that reads the environment).
    bare = [compiler, *INIT_FLAGS, "-nostdlib", "-nostartfiles", "-ffreestanding", "-DBARE", "-o", helper, source]
    if subprocess.run(bare, check=False, capture_output=True).returncode:
        subprocess.run([compiler, *INIT_FLAGS, "-o", helper, source], check=True)
    subprocess.run(["strip", helper], check=False)
    shutil.copytree(TOP / "oci-schemas", PACKAGE / "oci-schemas", dirs_exist_ok=True)


def build_wheel(directory, settings=None, metadata=None):  # noqa: ANN001, ANN201  (PEP 517 fixes the signature)
    prepare()
    return build_meta.build_wheel(directory, settings, metadata)


def build_editable(directory, settings=None, metadata=None):  # noqa: ANN001, ANN201  (PEP 660 fixes the signature)
    prepare()
    return build_meta.build_editable(directory, settings, metadata)


build_sdist = build_meta.build_sdist
get_requires_for_build_wheel = build_meta.get_requires_for_build_wheel
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel


def build_in_place() -> None:
    """Compile both pieces beside the sources, for running from a checkout."""
    prepare()
    suffix = ".abi3.so"
    include = sysconfig.get_paths()["include"]
    target = PACKAGE / f"_native{suffix}"
    partial = target.with_suffix(".partial")
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", f"-I{include}", f"-ffile-prefix-map={TOP}/="]
    command += ["-o", partial, EXTENSION_SOURCE]
    subprocess.run(command, check=True)
    partial.rename(target)


if __name__ == "__main__":
    build_in_place()
