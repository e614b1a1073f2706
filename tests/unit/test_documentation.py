"""Man pages and completions are made from the option tables: nothing is missing from them, and they are sound."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGING = TOP / "runtime/packaging"
sys.path.insert(0, str(PACKAGING))

import commandline  # noqa: E402
import completions  # noqa: E402
import manual  # noqa: E402

VERBS = commandline.verbs()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the man pages."""
    directory = tmp_path_factory.mktemp("man")
    manual.write(directory)
    return directory


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the completions."""
    directory = tmp_path_factory.mktemp("completions")
    completions.write(directory)
    return directory


def plain(roff: str) -> str:
    """Roff as text, as far as a search needs it."""
    for mark, character in {"fB": "", "fI": "", "fR": "", "&": "", "(ga": "`", "-": "-", "e": "\\"}.items():
        roff = roff.replace(f"\\{mark}", character)
    return roff


def test_every_command_has_a_page_and_a_text_of_its_own(pages: Path) -> None:
    assert {path.name for path in pages.iterdir()} == {"pyrunc.8"} | {f"pyrunc-{name}.8" for name in VERBS}
    assert {path.stem for path in manual.TEXTS.glob("*.md")} == {"pyrunc", *VERBS}


@pytest.mark.parametrize("name", VERBS)
def test_a_page_has_every_option_and_operand(pages: Path, name: str) -> None:
    text = plain((pages / f"pyrunc-{name}.8").read_text())
    for option in commandline.shown(VERBS[name].options):
        assert f"--{option.name}" in text
        assert f"{option.help[0].upper()}{option.help[1:]}." in text
    synopsis = text.split(".SH SYNOPSIS\n", 1)[1].split("\n", 1)[0]
    assert all(operand in synopsis for operand in VERBS[name].operands)


def test_the_main_page_has_every_global_option_and_command(pages: Path) -> None:
    text = plain((pages / "pyrunc.8").read_text())
    assert all(f"--{option.name}" in text for option in commandline.shown(commandline.GLOBAL_OPTIONS))
    assert all(f".BR pyrunc-{name} (8)" in text for name in VERBS)


def test_hidden_options_stay_hidden(pages: Path) -> None:
    hidden = [option for option in commandline.GLOBAL_OPTIONS if option.hidden]
    text = plain((pages / "pyrunc.8").read_text())
    assert hidden
    assert not any(f"--{option.name} " in text for option in hidden)


def test_pages_are_sound_roff(pages: Path) -> None:
    if not shutil.which("groff"):
        pytest.skip("needs groff")
    for page in pages.iterdir():
        command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(page)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        complaints = [line for line in result.stderr.splitlines() if "man.local" not in line]
        assert complaints == []


def test_choices_are_those_of_the_help() -> None:
    options = [*commandline.GLOBAL_OPTIONS, *(option for verb in VERBS.values() for option in verb.options)]
    for name, values in commandline.CHOICES.items():
        helps = [option.help for option in options if option.name == name]
        assert helps
        assert all(value in text for text in helps for value in values)


def test_scripts_know_every_option(scripts: Path) -> None:
    for script in ("pyrunc.bash", "_pyrunc", "pyrunc.fish"):
        text = (scripts / script).read_text()
        for option in (option for verb in VERBS.values() for option in commandline.shown(verb.options)):
            assert f"--{option.name}" in text or f"-l {option.name}" in text, (script, option.name)


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", "pyrunc.bash"), ("zsh", "_pyrunc"), ("fish", "pyrunc.fish")]
)
def test_scripts_parse(scripts: Path, shell: str, script: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n", str(scripts / script)], check=True)


def complete(scripts: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words; the containers are `one` and `two`."""
    body = """
    source "$1"; shift
    pyrunc() { [[ $* == 'list --quiet' || $* == '--root /x list --quiet' ]] && printf '%s\\n' one two; }
    compopt() { :; }
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _pyrunc
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "-c", body, "bash", str(scripts / "pyrunc.bash"), *words]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pyrunc", ""], list(VERBS)),
        (["pyrunc", "sta"], ["start", "state"]),
        (["pyrunc", "--log-f"], ["--log-format"]),
        (["pyrunc", "--log-format", ""], ["text", "json"]),
        (["pyrunc", "--log-format", "json", "val"], ["validate"]),
        (["pyrunc", "create", "--pid"], ["--pid-file", "--pidfd-socket"]),
        (["pyrunc", "create", ""], []),
        (["pyrunc", "start", ""], ["one", "two"]),
        (["pyrunc", "--root", "/x", "delete", "--force", "t"], ["two"]),
        (["pyrunc", "kill", "one", "KI"], ["KILL"]),
        (["pyrunc", "list", "-f", "j"], ["json"]),
        (["pyrunc", "run", "-b", "/etc/alternat"], ["/etc/alternatives"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_bash_offers(scripts: Path, words: list[str], offered: list[str]) -> None:
    assert complete(scripts, *words) == offered
