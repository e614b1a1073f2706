"""The program around the interpreter's library starts that as `python3 -IS` does, in UTF-8 mode, but for a thin
`encodings` and a thin `io`, which become the standard library's when that is wanted."""

import os
import pty
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from tests import launchers
from tests.imports import interpreter
from tests.runtime import Result


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that executes its first argument."""
    target = tmp_path_factory.mktemp("native") / "program"
    launchers.write("native", target, "import sys\nexec(sys.argv[1])\n")
    return target


def run(native: Path, code: str, *more: "str | bytes", **options: object) -> Result:
    """What the program says to this."""
    return subprocess.run([native, code, *more], check=False, capture_output=True, text=True, timeout=60, **options)


def told(native: Path, code: str, *more: "str | bytes", **options: object) -> str:
    """What it prints, without anything going wrong."""
    result = run(native, code, *more, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def without_addresses(text: str) -> str:
    """The same, whatever lies where."""
    return re.sub(r"0x[0-9a-f]+", "", text)


FACTS = """
import sys, _signal
print(sys.flags)
print(sys.path, sys.meta_path, sys.path_hooks, sys.warnoptions)
print(sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sys.executable, sys._stdlib_dir, sys.version)
print(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.dont_write_bytecode, sys.builtin_module_names)
streams = sys.stdin, sys.stdout, sys.stderr
print([(f.encoding, f.errors, f.line_buffering, f.write_through) for f in streams], __name__)
print([(n, _signal.getsignal(n)) for n in range(1, 65) if n not in (32, 33)])
"""


def test_looks_like_the_isolated_interpreter(native: Path) -> None:
    python, *options = interpreter()
    words = [os.path.realpath(python), *options, "-X", "utf8", "-c", FACTS]
    expected = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert without_addresses(told(native, FACTS)) == without_addresses(expected)


def test_nothing_of_the_caller_has_a_say(native: Path, tmp_path: Path) -> None:
    for name in ("sitecustomize", "usercustomize", "encodings", "io", "site", "posix"):
        (tmp_path / f"{name}.py").write_text("import posix; posix._exit(9)\n")
    hostile = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONSTARTUP": f"{tmp_path}/site.py"}
    hostile |= {"PYTHONINSPECT": "1", "PYTHONDEBUG": "1", "PYTHONVERBOSE": "1", "PYTHONIOENCODING": "latin-1"}
    hostile |= {"PYTHONHASHSEED": "0", "PYTHONUTF8": "0", "PYTHONEXECUTABLE": "/no/such", "PYTHONPLATLIBDIR": "no"}
    asked = "import encodings.idna; print(sys.path, sys.prefix, sys.flags, sys.stdout.encoding)"
    usual = told(native, asked, env={})
    assert told(native, asked, env=hostile, cwd=tmp_path) == usual
    assert len({told(native, "print(hash('a'))", env=hostile) for _ in range(3)}) > 1


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LANG": "de_DE.ISO-8859-1"}, {"LC_ALL": "C.UTF-8"}])
def test_arguments_are_utf_8_or_bytes(native: Path, locale: dict[str, str]) -> None:
    environment = {name.encode(): value.encode() for name, value in locale.items()}
    code = "import os, posix; os.write(1, b' '.join(map(os.fsencode, sys.argv[2:]))); print(ascii(sys.argv[2:]))"
    expected = "é".encode() + b" \xff\xfe " + b"['\\xe9', '\\udcff\\udcfe', '']\n" + f"{environment}\n".encode()
    code += "; print(posix.environ)"
    result = subprocess.run([native, code, "é", b"\xff\xfe", ""], check=True, capture_output=True, env=locale)
    assert result.stdout == expected


def test_options_of_the_interpreter_are_arguments(native: Path) -> None:
    words = ("-c", "--help", "-V", "-m", "x", "--", "-")
    assert told(native, "print(sys.argv[2:], sys.argv == sys.orig_argv)", *words) == f"{list(words)} True\n"


LOADED = "print(sorted(name for name in sys.modules if name in ('codecs', 'abc', 'os', 'site', 'encodings.aliases')))"


def test_little_is_loaded(native: Path) -> None:
    assert told(native, LOADED) == "[]\n"


@pytest.mark.parametrize("before", ["", "import io; io.IOBase", "import encodings; encodings.aliases", "import codecs"])
@pytest.mark.parametrize("code", [
    "print(b'\\xe9'.decode('cp1252'), 'x'.encode('utf-16-le'), 'ü.de'.encode('idna'))",
    "import codecs; i = codecs.lookup('UTF8'); print(i.name, i.encode('é'), i.decode(b'a'), i.streamreader)",
    "import codecs; print(codecs.getincrementaldecoder('utf-8')().decode(b'\\xc3'), codecs.getwriter('utf-8'))",
    "import io; print(isinstance(sys.stdout, io.TextIOBase), isinstance(sys.stdout.buffer, io.IOBase), io.__all__)",
    "from io import *; print(RawIOBase, SEEK_END, BytesIO(b'x').read())",
    "import io\ntry: io.nothing\nexcept AttributeError as e: print(e)",
    "import encodings\ntry: encodings.nothing\nexcept AttributeError as e: print(e)",
    "from encodings import utf_8, idna, normalize_encoding; print(utf_8, idna, normalize_encoding('a-b'))",
    "import encodings, io; print(encodings.__path__, encodings.__name__, io.__name__, io.open is open)",
    "try: 'x'.encode('no-such')\nexcept LookupError as e: print(e)",
    "import tempfile\nf = tempfile.TemporaryFile('w+', newline='')\nf.write('é€' * 9000); f.seek(0); print(f.read())",
    "f = open(0, closefd=False); print(f.read(3), f.tell(), f.read())",
    "import json, subprocess, tokenize, email, locale, xml.dom.minidom, http.client, zipfile, inspect; print(1)",
])  # fmt: skip
def test_whoever_wants_more_gets_the_standard_library(native: Path, tmp_path: Path, before: str, code: str) -> None:
    text = tmp_path / "text"
    text.write_text("é€x\r\n" * 5000)
    answers = []
    for words in ([*interpreter(), "-X", "utf8", "-c", f"import sys\n{before}\n{code}"], [native, f"{before}\n{code}"]):
        with text.open("rb") as stdin:
            done = subprocess.run(words, check=False, capture_output=True, text=True, stdin=stdin, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        answers.append(without_addresses(done.stdout))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("wanted", ["'x'.encode('cp1252')", "io.IOBase", "encodings.aliases"])
def test_nothing_is_loaded_once_importing_is_switched_off(native: Path, wanted: str) -> None:
    """As the stages do before they enter an image, whose standard library it would be."""
    off = "import io, encodings; sys.path.clear(); sys.meta_path.clear()\n"
    code = f"{off}try: {wanted}\nexcept ImportError as error: print(error)"
    assert told(native, code) == "importing is switched off\n"
    assert told(native, f"{off}print('é'.encode().decode())") == "é\n"


def test_standard_output_that_is_a_file_is_gone_on_with(native: Path, tmp_path: Path) -> None:
    """Its encoder is told that this is not the file's beginning."""
    with (tmp_path / "file").open("w") as file:
        file.write("one é\n")
        file.flush()
        subprocess.run([native, LOADED + "; print('two é')"], check=True, stdout=file)
    assert (tmp_path / "file").read_text() == "one é\n[]\ntwo é\n"


def test_a_terminal(native: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, "ü\n".encode())
    subprocess.run([native, "print(sys.stdin.readline())"], stdin=theirs, stdout=theirs, check=True, timeout=60)
    assert "ü".encode() in os.read(ours, 100)
    os.close(ours), os.close(theirs)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_streams_that_are_closed(native: Path, tmp_path: Path, closed: tuple[int, ...]) -> None:
    words = " ".join(f"{number}>&-" for number in closed)
    code = f"import posix; fd = posix.open('{tmp_path}/told', posix.O_WRONLY | posix.O_CREAT, 0o600); "
    code += "posix.write(fd, repr([s is None for s in (sys.stdin, sys.stdout, sys.stderr)]).encode())"
    done = subprocess.run(["sh", "-c", f'"$0" "$1" {words}', native, code], check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert (tmp_path / "told").read_text() == repr([number in closed for number in range(3)])


def test_ends_as_the_interpreter_does(native: Path) -> None:
    ends = {"sys.exit(7)": (7, ""), "sys.exit('why')": (1, "why\n"), "sys.exit()": (0, ""), "raise SystemExit": (0, "")}
    ends |= {"import posix; posix._exit(3)": (3, "")}
    for code, (status, text) in ends.items():
        result = run(native, code)
        assert (result.returncode, result.stderr) == (status, text)
    assert "ZeroDivisionError" in run(native, "1 / 0").stderr
    assert run(native, "1 / 0").returncode == 1


def test_a_reader_that_goes_away_is_an_error_and_no_end(native: Path) -> None:
    code = "import _signal, posix; posix.kill(posix.getpid(), _signal.SIGPIPE); print('goes on')"
    assert told(native, code) == "goes on\n"


def test_want_of_memory_is_told_in_one_line(native: Path) -> None:
    """Whatever the limit is: it runs, or the last line says why not. Below a limit not even its libraries are there."""
    answers = set()
    for megabytes in range(2, 48, 2):
        limit = megabytes << 20
        lower = lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # noqa: B023
        result = run(native, "print('runs')", preexec_fn=lower)
        answers.add(result.returncode)
        if result.returncode == 1:
            *_, line = result.stderr.splitlines()  # CPython itself may have said more
            assert line.startswith("pyrunc: start the interpreter: ")
        elif result.returncode == -signal.SIGABRT:
            assert result.stderr.startswith("Fatal Python error: ")
        else:  # where not even the program fits the kernel ends it; where its libraries do not, ld.so does
            assert result.returncode in (0, 127, -signal.SIGSEGV, -signal.SIGKILL), result
    assert 0 in answers
    assert len(answers) > 1


def test_build_is_reproducible(native: Path, tmp_path: Path) -> None:
    launchers.write("native", tmp_path / "again", "import sys\nexec(sys.argv[1])\n")
    assert (tmp_path / "again").read_bytes() == native.read_bytes()
    assert str(launchers.PACKAGING.parents[1]).encode() not in native.read_bytes()
