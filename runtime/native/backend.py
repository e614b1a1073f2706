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
CC = os.environ.get("CC", "cc")

LINK = ["-Wl,-z,relro,-z,now,-z,noexecstack"]
# What the compiler does not know is left out: the last two are for x86 and for Arm.
COMPILE = ["-fstack-protector-strong", "-fstack-clash-protection"]
COMPILE += ["-fcf-protection=full", "-mbranch-protection=standard"]
FORTIFIED = ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"]  # counts as 2 where compiler or C library are older
INIT_FLAGS = ["-Os", "-Wall", "-Wextra", "-Werror", "-fPIE", "-static-pie", "-fno-asynchronous-unwind-tables"]
# Without libc where its calling convention is in the source (40 KB less, and nothing that reads the environment). There
# is no stack protector then, whose value is libc's, nor much to protect: the functions end in one that never returns,
# and what comes in is written to static variables and to structs of the kernel's own size.
BARE_FLAGS = ["-nostdlib", "-nostartfiles", "-ffreestanding", "-DBARE", "-fno-stack-protector"]
BARE_FLAGS += ["-Wl,--no-dynamic-linker"]  # some compilers forget it for a static program with a dynamic section


def prepare() -> None:
    """Write the extension's C source and compile the helper; both are inputs of the setuptools build."""
    sys.path.insert(0, str(HERE))
    from syscalls_build import ffibuilder

    EXTENSION_SOURCE.parent.mkdir(parents=True, exist_ok=True)
    ffibuilder.emit_c_code(str(EXTENSION_SOURCE))
    compile_init(HERE / "pyrunc_init.c", PACKAGE / "pyrunc-init")
    shutil.copytree(TOP / "oci-schemas", PACKAGE / "oci-schemas", dirs_exist_ok=True)


def compile_init(source: Path, target: Path) -> None:
    """Compile pyrunc-init."""
    flags = [*INIT_FLAGS, *known(COMPILE), *LINK]
    bare = [CC, *flags, *BARE_FLAGS, "-o", target, source]
    if subprocess.run(bare, check=False, capture_output=True).returncode:
        subprocess.run([CC, *flags, "-o", target, source], check=True)
    subprocess.run(["strip", target], check=False)


def compile_extension(source: Path, target: Path) -> None:
    """Compile the extension, or another with the same flags."""
    include = sysconfig.get_paths()["include"]
    command = [CC, *FORTIFIED, *known(COMPILE), *LINK, "-shared", "-fPIC", f"-I{include}", f"-ffile-prefix-map={TOP}/="]
    subprocess.run([*command, "-o", target, source], check=True)


def compile_launcher(include: str, library: str, header: str, target: str, *options: str) -> None:
    """Compile the program of an installation, with launcher.h from `header`, linked to the interpreter's library.

    options: of the linker, with a static library; -no-pie among them if the interpreter is not PIE itself.
    """
    pie = ["-fno-pie"] if "-no-pie" in options else ["-fPIE", "-pie"]
    flags = [*FORTIFIED, "-Wall", "-Wextra", "-Werror", *known(COMPILE), *LINK, *pie]
    places = ["-isystem", include, "-I", header]  # what the compiler warns of in the interpreter's headers is not ours
    subprocess.run([CC, *flags, *places, "-o", target, HERE / "launcher.c", library, *options], check=True)
    subprocess.run(["strip", target], check=False)


def known(flags: list[str]) -> list[str]:
    """Those that the compiler takes."""
    taken = []
    for flag in flags:
        nothing = [CC, "-Werror", flag, "-x", "c", "-c", "-o", os.devnull, os.devnull]
        if subprocess.run(nothing, check=False, capture_output=True).returncode == 0:
            taken.append(flag)
    return taken


def build_wheel(directory, settings=None, metadata=None):  # noqa: ANN001, ANN201  (PEP 517 fixes the signature)
    prepare()
    harden_setuptools()
    return build_meta.build_wheel(directory, settings, metadata)


def build_editable(directory, settings=None, metadata=None):  # noqa: ANN001, ANN201  (PEP 660 fixes the signature)
    prepare()
    harden_setuptools()
    return build_meta.build_editable(directory, settings, metadata)


def harden_setuptools() -> None:
    """Have setuptools compile and link the extension with our flags; a packager's come after them."""
    for name, flags in (("CFLAGS", [*FORTIFIED, *known(COMPILE)]), ("LDFLAGS", LINK)):
        os.environ[name] = " ".join([*flags, os.environ.get(name, "")])


build_sdist = build_meta.build_sdist
get_requires_for_build_wheel = build_meta.get_requires_for_build_wheel
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel


def build_in_place() -> None:
    """Compile both pieces beside the sources, for running from a checkout."""
    prepare()
    target = PACKAGE / "_native.abi3.so"
    partial = target.with_suffix(".partial")
    compile_extension(EXTENSION_SOURCE, partial)
    partial.rename(target)


if __name__ == "__main__":
    build_in_place()
