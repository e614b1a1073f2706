"""Compile the `pyrunc` program around the interpreter's library (docs/adr/0011), if it has one: linked to it as the
interpreter itself is, statically or not.

`native_launcher.py` with the program's lines of Python on standard input prints launcher.h, for the interpreter that
runs it.
"""

import marshal
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
NATIVE = HERE.parent / "native"
# Modules that every start imports, in the place of the standard library's: name, our source, whether it is a package.
FROZEN = (("encodings", "thin_encodings.py", True), ("io", "thin_io.py", False))
# Run by the interpreter: where its headers and its library are, and the options with which to link, or why it cannot be
# linked to. A distribution that has both libraries (Debian) links its interpreter to the static one, which is faster.
ASK = """
import os, sys, sysconfig
value = sysconfig.get_config_var
include = sysconfig.get_path("include")
shared = os.path.join(value("LIBDIR") or "", value("INSTSONAME") or "")
static = os.path.join(value("LIBPL") or "", value("LIBRARY") or "")
if not os.path.isfile(os.path.join(include, "Python.h")):
    sys.exit("the interpreter's headers are missing")
with open("/proc/self/maps") as maps:
    is_shared = "/libpython3" in maps.read()
if is_shared and os.path.isfile(shared):
    print(include, shared, sep="\\n")
elif not is_shared and os.path.isfile(static):
    with open("/proc/self/exe", "rb") as file:
        kind = int.from_bytes(file.read(18)[16:], sys.byteorder)
    words = [value(name) or "" for name in ("LINKFORSHARED", "LIBS", "SYSLIBS", "MODLIBS")]
    print(include, static, "-no-pie" if kind == 2 else "-pie", *" ".join(words).split(), sep="\\n")  # ET_EXEC, elf(5)
else:
    sys.exit("the interpreter has no library to link to")
"""


class CannotBuildError(Exception):
    """Why there can be no native launcher here."""


def write(target: Path, python: str, body: str) -> None:
    """Write the program that executes `body`, whole or not at all.

    Raises CannotBuildError if the interpreter has no library, or what is linked to it does not start.
    """
    include, library, *options = _output([python, "-IS", "-c", ASK]).splitlines()
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        Path(directory, "launcher.h").write_text(_output([python, "-IS", __file__], body))
        program = Path(directory, "pyrunc")
        # The build's environment has what `backend` imports, which knows how whatever is ours is compiled.
        code = f"import sys; sys.path.append({str(NATIVE)!r}); import backend; backend.compile_launcher(*sys.argv[1:])"
        _output([str(BUILD / "venv/bin/python"), "-c", code, include, library, directory, str(program), *options])
        if "not found" in _output([str(program)], LD_TRACE_LOADED_OBJECTS="1"):  # ld.so(8) looks, and runs nothing
            raise CannotBuildError(f"programs do not find `{library}`")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(program.read_bytes())
    partial.chmod(0o755)
    partial.rename(target)


def _output(words: list[str], given: str = "", **environment: str) -> str:
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, input=given, env=os.environ | environment
    )
    if done.returncode:
        raise CannotBuildError(done.stderr.strip().rpartition("\n")[2])
    return done.stdout


def header(body: str) -> Iterator[str]:
    """Lines of C: what launcher.c says that it needs."""
    yield _array("PROGRAM", compile(body, "<pyrunc>", "exec", dont_inherit=True, optimize=2))
    table = []
    for name, source, is_package in FROZEN:
        text = (NATIVE / source).read_text()
        if is_package:
            text += f"__path__ = [{os.path.join(sysconfig.get_path('stdlib'), name)!r}]\n"
        code = compile(text, f"<{name} of pyrunc>", "exec", dont_inherit=True, optimize=2)
        yield _array(f"MODULE_{name}", code)
        facts = f".code = MODULE_{name}, .size = sizeof MODULE_{name}, .is_package = {is_package:d}"
        table.append(f'{{.name = "{name}", {facts}}}')
    yield f"static const struct _frozen FROZEN[] = {{{', '.join(table)}, {{.name = NULL}}}};"
    yield f"static const char EXECUTABLE[] = {_text(os.path.realpath(sys.executable))};"
    yield f"static const char HOME[] = {_text(f'{sys.base_prefix}:{sys.base_exec_prefix}')};"


def _array(name: str, code: CodeType) -> str:
    return f"static const unsigned char {name}[] = {{{','.join(map(str, marshal.dumps(code)))}}};"


def _text(text: str) -> str:
    """A string of C, whatever bytes are in a path."""
    return '"' + "".join(f"\\{byte:03o}" for byte in os.fsencode(text)) + '"'


if __name__ == "__main__":
    sys.stdout.write("\n".join(header(sys.stdin.read())) + "\n")
