"""A command's modules out of one file: used where it fits, and passed over where it does not."""

import json
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pyrunc.wings.doctor import installation as doctor_of_installation

from tests import launchers
from tests.imports import interpreter

CHECKOUT = Path(__file__).resolve().parents[2]
NATIVE = "_native.abi3.so"
SITE = sysconfig.get_paths()["platlib"]  # of the tests' environment: what `make install` puts beside the library
# What the launcher does; which modules an import has found is in -X importtime, those of a file are not.
RUN = """
import sys
sys.path += sys.argv.pop(1).split(":")
from pyrunc.startup import load
load("cli")
from pyrunc.cli import main
main()
"""
# Built-in modules that the interpreter imports itself before any program, and that pyrunc.startup does.
ALWAYS = {"_io", "_thread", "_weakref", "posix", "time", "_codecs", "_signal", "_abc", "_imp", "_warnings", "marshal"}
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library as `make install` lays it out, with the files of two commands."""
    library = tmp_path / "library"
    ignored = shutil.ignore_patterns("__pycache__", "oci-schemas", NATIVE)
    shutil.copytree(CHECKOUT / "runtime/pyrunc", library / "pyrunc", ignore=ignored)
    (library / "pyrunc" / NATIVE).symlink_to(CHECKOUT / "runtime/pyrunc" / NATIVE)
    (prctl,) = Path(SITE).glob("_prctl.*.so")
    (library / prctl.name).symlink_to(prctl)
    (library / "pyrunc/__pycache__").mkdir()
    for command in ("cli", "state"):
        script = [str(CHECKOUT / "runtime/packaging/modules.py"), command, str(library), str(library)]
        subprocess.run([interpreter()[0], "-IS", *script], check=True)
    return library


def file_of(command: str, library: Path) -> Path:
    """Where a command's modules lie."""
    (found,) = library.glob(f"pyrunc/__pycache__/{command}.*.modules")
    return found


def imported(library: Path, *arguments: str) -> set[str]:
    """The modules of pyrunc and of the interpreter that `pyrunc ARGUMENTS` has imported one by one."""
    words = [*interpreter(), "-X", "importtime", "-c", RUN, f"{library}:{SITE}", "--root", str(library / "state")]
    words += arguments
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "container `nobody` does not exist" in result.stderr, result.stderr
    names = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    names -= ALWAYS
    return {name for name in names if name.partition(".")[0] == "pyrunc" or name in sys.builtin_module_names}


def test_modules_come_from_the_files(library: Path) -> None:
    assert imported(library, "state", "nobody") == {"pyrunc", "pyrunc.startup"}


def program(library: Path, kind: str) -> Path:
    """The launcher of this installation."""
    target = library / "program"
    launchers.write(kind, target, launchers.launcher.body([str(library), SITE], library))
    return target


def searched(library: Path, kind: str = "script") -> set[str]:
    """Directories of the library that the installed program looks through to answer `state nobody`."""
    words = ["strace", "-e", "trace=openat", str(program(library, kind)), "--root", str(library / "state")]
    result = subprocess.run([*words, "state", "nobody"], capture_output=True, text=True, check=False)
    assert "container `nobody` does not exist" in result.stderr, result.stderr
    opened = [line.split('"')[1] for line in result.stderr.splitlines() if "O_DIRECTORY" in line]
    return {path for path in opened if path == str(library) or path.startswith(f"{library}/")}


@needs_strace
@pytest.mark.parametrize("kind", launchers.KINDS)
def test_an_installed_program_searches_for_nothing(library: Path, kind: str) -> None:
    py_compile.compile(str(library / "pyrunc/startup.py"))
    assert searched(library, kind) == set()


@needs_strace
@pytest.mark.parametrize("kind", launchers.KINDS)
@pytest.mark.parametrize("damage", ["none", "empty", "other", "all"])
def test_an_installed_program_without_its_byte_code_is_imported(library: Path, damage: str, kind: str) -> None:
    compiled = Path(py_compile.compile(str(library / "pyrunc/startup.py")) or "")
    content = compiled.read_bytes()
    if damage == "all":  # somebody tidied up
        shutil.rmtree(compiled.parent)
    elif damage == "none":
        compiled.unlink()
    else:
        compiled.write_bytes(b"" if damage == "empty" else bytes([content[0] ^ 1]) + content[1:])
    assert f"{library}/pyrunc" in searched(library, kind)


@needs_strace
@pytest.mark.parametrize("kind", launchers.KINDS)
def test_an_extension_that_was_moved_is_searched_for(library: Path, kind: str) -> None:
    py_compile.compile(str(library / "pyrunc/startup.py"))
    (extension,) = library.glob("_prctl.*")
    extension.unlink()
    assert searched(library, kind) == {str(library)}


def test_without_a_file_modules_are_imported(library: Path) -> None:
    assert {"pyrunc.container", "pyrunc.commands.kill"} <= imported(library, "kill", "nobody", "9")
    file_of("cli", library).unlink()
    assert "pyrunc.cli" in imported(library, "state", "nobody")


def test_a_file_for_another_interpreter_is_passed_over(library: Path) -> None:
    file = file_of("state", library)
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + b"what marshal must not see")
    assert {"pyrunc.container", "pyrunc.commands.state"} <= imported(library, "state", "nobody")


def test_an_empty_file_is_passed_over(library: Path) -> None:
    file_of("state", library).write_bytes(b"")
    assert "pyrunc.commands.state" in imported(library, "state", "nobody")


@pytest.mark.parametrize("part", [0.001, 0.3, 0.999])
def test_a_file_that_is_cut_off_is_passed_over(library: Path, part: float) -> None:
    file = file_of("state", library)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    assert "pyrunc.commands.state" in imported(library, "state", "nobody")


def test_modules_look_as_if_they_were_imported(library: Path) -> None:
    """Their code names the installed place, and a module that is in no file finds its package."""
    look = """
import sys
sys.path.append(sys.argv[1])
from pyrunc.startup import load
load("cli")
from pyrunc import kernel, cli
import pyrunc.kernel.process.signals
assert kernel.descriptors is sys.modules["pyrunc.kernel.descriptors"]
print(cli.run.__code__.co_filename, cli.__spec__.name, cli.__package__, cli.__file__)
print(kernel.__spec__.submodule_search_locations == kernel.__path__, kernel.process.signals.__name__)
"""
    words = [*interpreter(), "-c", look, str(library)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    where = f"{library}/pyrunc/cli.py"
    assert lines == [f"{where} pyrunc.cli pyrunc {where}", "True pyrunc.kernel.process.signals"]


def installation(library: Path) -> dict[str, str]:
    """What doctor finds of these files, byte code being all of it."""
    path = f"{library}:{sysconfig.get_path('purelib')}"
    words = [*interpreter(), "-c", RUN, path, "--root", str(library / "state"), "doctor", "--json", "installation"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    (finding,) = json.loads(result.stdout)["checks"]
    return finding


@pytest.mark.parametrize(("says", "finds"), [("3.99.1 (main)", "3.99.1 (main)"), ("", ""), (sys.version, sys.version)])
def test_doctor_asks_the_interpreter_of_today(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, finds: str
) -> None:
    """One that is built in does not get its updates."""
    program = tmp_path / "python3"
    program.write_text(f"#!/bin/sh\nprintf %s '{says}'\n" if says else "#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert doctor_of_installation._version_of_interpreter() == finds


@pytest.mark.parametrize("kind", ["modules", "unchecked .pyc"])
def test_doctor_says_that_an_edited_source_has_no_effect(library: Path, kind: str) -> None:
    source = library / "pyrunc" / ("commands/state.py" if kind == "modules" else "wings/documents/spec.py")
    if kind != "modules":
        py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert installation(library)["status"] == "ok"
    source.write_text(source.read_text() + "# edited\n")
    finding = installation(library)
    assert (finding["status"], finding["repair"]) == ("degraded", "make install")
    assert f"`{source}` differs" in finding["finding"]


@pytest.mark.parametrize("name", ["pyrunc/__pycache__", "pyrunc/cli.py"])
def test_doctor_says_that_others_can_change_the_code(library: Path, name: str) -> None:
    (library / name).chmod(0o775)
    finding = installation(library)
    assert finding["status"] == "degraded"
    assert f"can change `{library}/{name}`" in finding["finding"]


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_doctor_says_that_others_can_change_what_is_above_the_code(library: Path, mode: int) -> None:
    library.chmod(mode)
    finding = installation(library)
    assert finding["status"] == "degraded"
    assert f"can change `{library}`" in finding["finding"]


def test_doctor_says_that_byte_code_is_cut_off(library: Path) -> None:
    source = library / "pyrunc/wings/documents/spec.py"
    cached = Path(str(py_compile.compile(str(source))))
    cached.write_bytes(cached.read_bytes()[:8])
    assert f"`{source}` differs" in installation(library)["finding"]
