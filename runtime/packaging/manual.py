"""Write the man pages into a directory: names, synopses and options from the tables, the rest from docs/man/*.md.

A text in docs/man starts with the body of DESCRIPTION; sections of its own (##) follow the options.
"""

import sys
from pathlib import Path

from commandline import CHECKOUT, GLOBAL_OPTIONS, Option, Verb, __version__, shown, verbs
from roff import MarkdownError, escaped, roff

TEXTS = CHECKOUT / "docs/man"


def option_entries(options: list[Option]) -> list[str]:
    """A tagged paragraph for each option."""
    lines = []
    for option in options:
        names = ([f"-{option.short}"] if option.short else []) + [f"--{option.name}"]
        tag = ", ".join(rf"\fB{escaped(name)}\fR" for name in names)
        if option.value:
            tag += rf" \fI{escaped(option.value)}\fR"
        sentence = option.help[0].upper() + option.help[1:] + "."
        lines += [".TP", tag, escaped(sentence)]
    return lines


def command_page(name: str, verb: Verb) -> str:
    """The page pyrunc-NAME(8)."""
    operands = " ".join(rf"\fI{escaped(operand)}\fR" for operand in verb.operands)
    synopsis = rf"\fBpyrunc\fR [\fIGLOBAL OPTION\fR...] \fB{name}\fR [\fIOPTION\fR...] {operands}".rstrip()
    description, rest = _text(name)
    lines = [*_head(f"pyrunc-{name}", verb.summary, synopsis), description]
    lines += [".SH OPTIONS", *option_entries(shown(verb.options)), rest, ".SH SEE ALSO", ".BR pyrunc (8)"]
    return "\n".join(filter(None, lines)) + "\n"


def main_page(commands: dict[str, Verb]) -> str:
    """The page pyrunc(8)."""
    synopsis = r"\fBpyrunc\fR [\fIGLOBAL OPTION\fR...] \fICOMMAND\fR [\fIOPTION\fR...] [\fIARGUMENT\fR...]"
    summary = "run containers as the OCI runtime specification describes them"
    description, rest = _text("pyrunc")
    lines = [*_head("pyrunc", summary, synopsis), description, ".SH COMMANDS"]
    for name, verb in commands.items():
        lines += [".TP", rf".BR pyrunc\-{name} (8)", escaped(verb.summary[0].upper() + verb.summary[1:] + ".")]
    others = [rf".BR pyrunc\-{name} (8)" for name in commands]
    lines += [".SH OPTIONS", *option_entries(shown(GLOBAL_OPTIONS)), rest, ".SH SEE ALSO", ",\n".join(others)]
    return "\n".join(filter(None, lines)) + "\n"


def _head(title: str, summary: str, synopsis: str) -> list[str]:
    return [
        rf'.TH {escaped(title.upper())} 8 "" "pyrunc {__version__}" "System Administration"',
        ".SH NAME",
        rf"{escaped(title)} \- {escaped(summary)}",
        ".SH SYNOPSIS",
        synopsis,
        ".SH DESCRIPTION",
    ]


def _text(name: str) -> tuple[str, str]:
    """The hand-written description, and the sections after it."""
    path = TEXTS / f"{name}.md"
    try:
        description, heading, rest = roff(path.read_text()).partition(".SH ")
    except MarkdownError as error:
        raise MarkdownError(f"{path}, {error}") from None
    return description.strip(), heading + rest


def write(directory: Path) -> None:
    """Write all pages, and remove those of commands that are no more."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.8"):
        old.unlink()
    commands = verbs()
    (directory / "pyrunc.8").write_text(main_page(commands))
    for name, verb in commands.items():
        (directory / f"pyrunc-{name}.8").write_text(command_page(name, verb))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
