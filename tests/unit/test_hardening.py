"""The files that we compile have what compiler and linker can do against exploits; `make check` looks, too."""

import importlib.util
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests import elf, launchers
from tests.imports import interpreter

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "runtime/pyrunc"
EXTENSION, INIT = PACKAGE / "_native.abi3.so", PACKAGE / "pyrunc-init"
# It is copied for each create and exec. Its parts lie on pages of their own, which on Arm can have 64 KB.
LARGEST_INIT = (16 if platform.machine() == "x86_64" else 80) << 10

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="Intel's control-flow enforcement")


def backend_of(checkout: Path) -> ModuleType:
    """The build's module, from a checkout."""
    spec = importlib.util.spec_from_file_location("backend", checkout / "runtime/native/backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def backend() -> ModuleType:
    return backend_of(TOP)


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that `make install` compiles."""
    target = tmp_path_factory.mktemp("launcher") / "pyrunc"
    launchers.write("native", target, launchers.launcher.body([]))
    return target


@pytest.fixture(params=["extension", "pyrunc-init"])
def file(request: pytest.FixtureRequest) -> elf.Elf:
    return elf.Elf(EXTENSION if request.param == "extension" else INIT)


def test_address_is_chosen_by_the_kernel(file: elf.Elf) -> None:
    assert file.kind == elf.ET_DYN
    assert elf.DT_TEXTREL not in file.dynamic
    assert not file.dynamic.get(elf.DT_FLAGS, 0) & elf.DF_TEXTREL


def test_nothing_is_writable_and_executable(file: elf.Elf) -> None:
    loaded = file.of_kind(elf.PT_LOAD)
    assert {segment.flags & (elf.PF_W | elf.PF_X) for segment in loaded} == {0, elf.PF_W, elf.PF_X}
    (stack,) = file.of_kind(elf.PT_GNU_STACK)
    assert not stack.flags & elf.PF_X


@on_x86_64
def test_control_flow_is_marked(file: elf.Elf) -> None:
    """By endbr64 where a jump may go; whether the file is marked as a whole is up to the C library's part of it."""
    (code,) = (segment for segment in file.of_kind(elf.PT_LOAD) if segment.flags & elf.PF_X)
    of_libc = 2 if elf.DT_NEEDED in file.dynamic else 0
    assert file.bytes_of(code).count(bytes.fromhex("f30f1efa")) >= of_libc + 2


def assert_bound_and_guarded(file: elf.Elf) -> None:
    """Symbols are bound before any code runs, and their addresses cannot be written then; frames have a canary."""
    assert file.of_kind(elf.PT_GNU_RELRO)
    assert file.dynamic.get(elf.DT_FLAGS, 0) & elf.DF_BIND_NOW or file.dynamic.get(elf.DT_FLAGS_1, 0) & elf.DF_1_NOW
    assert "__stack_chk_fail" in file.names()


def test_extension() -> None:
    file = elf.Elf(EXTENSION)
    assert_bound_and_guarded(file)
    assert not {elf.DT_RPATH, elf.DT_RUNPATH} & set(file.dynamic)


def test_launcher(launcher: Path) -> None:
    """As the interpreter itself, whose library it is linked to in the same way: as PIE if that is, and statically if
    that is. Else it brings no interpreter of its own."""
    file, python = elf.Elf(launcher), elf.Elf(Path(interpreter()[0]).resolve())
    assert file.of_kind(elf.PT_GNU_RELRO)
    assert file.dynamic.get(elf.DT_FLAGS, 0) & elf.DF_BIND_NOW or file.dynamic.get(elf.DT_FLAGS_1, 0) & elf.DF_1_NOW
    assert "__stack_chk_fail" in file.names()
    assert file.kind == python.kind or file.kind == elf.ET_DYN
    (stack,) = file.of_kind(elf.PT_GNU_STACK)
    assert not stack.flags & elf.PF_X
    linked = [any(name.startswith("libpython3.") for name in of.names()) for of in (file, python)]
    assert linked[0] == linked[1]
    if linked[0]:
        assert {name for name in file.names() if name.startswith("_Py")} == set()
        assert len(file.content) < 64 << 10


def test_extension_that_setuptools_builds(tmp_path: Path) -> None:
    """For `pip install`: from a copy, as the build writes beside the sources."""
    for name in ("runtime", "oci-schemas"):
        shutil.copytree(TOP / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, tmp_path / "source")
    code = "import backend, sys; print(backend.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": "runtime/native"}
    subprocess.run(command, cwd=tmp_path / "source", env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "wheel")
    assert_bound_and_guarded(elf.Elf(tmp_path / "wheel/pyrunc/_native.abi3.so"))
    assert (tmp_path / "wheel/pyrunc/pyrunc-init").read_bytes() == INIT.read_bytes()


def test_length_is_checked_where_the_compiler_cannot_know_it(backend: ModuleType, tmp_path: Path) -> None:
    """The extension has no such call today; one with the same flags has."""
    source = tmp_path / "copy.c"
    source.write_text("#include <string.h>\nextern char room[8];\nchar room[8];\n"
                      "void copy(const char *from, size_t n) { memcpy(room, from, n); }\n")  # fmt: skip
    backend.compile_extension(source, tmp_path / "copy.so")
    assert "__memcpy_chk" in elf.Elf(tmp_path / "copy.so").names()


def test_pyrunc_init_is_alone() -> None:
    """No interpreter would load it, so nothing may be left to relocate; nor is there a library."""
    file = elf.Elf(INIT)
    assert not file.of_kind(elf.PT_INTERP)
    sizes = (elf.DT_RELASZ, elf.DT_RELSZ, elf.DT_RELRSZ, elf.DT_PLTRELSZ)
    assert [file.dynamic.get(size, 0) for size in sizes] == [0] * len(sizes)
    assert elf.DT_NEEDED not in file.dynamic
    assert len(file.content) < LARGEST_INIT


def test_build_is_reproducible(tmp_path: Path) -> None:
    """The same bytes, wherever the checkout is."""
    made = []
    for name in ("one", "another-place"):
        shutil.copytree(TOP / "runtime/native", tmp_path / name / "runtime/native")
        elsewhere = backend_of(tmp_path / name)
        elsewhere.compile_init(elsewhere.HERE / "pyrunc_init.c", tmp_path / name / "pyrunc-init")
        made.append((tmp_path / name / "pyrunc-init").read_bytes())
    assert made[0] == made[1] == INIT.read_bytes()
