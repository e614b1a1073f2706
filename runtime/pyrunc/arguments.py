"""The command line: tables of options, one parser for all of them, and the help that is printed from the tables.

argparse would cost more than the whole of `pyrunc state`, and its texts are not those that callers parse.
"""

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Option:
    """One option. `value` is the placeholder of its argument in the help, "" for a switch.

    Names are given without dashes. repeat: may be given several times; its value is then a list.
    """

    __slots__ = ("help", "hidden", "name", "repeat", "short", "value")

    def __init__(
        self, name: str, help_: str, value: str = "", short: str = "", *, repeat: bool = False, hidden: bool = False
    ) -> None:
        self.name, self.help, self.value, self.short = name, help_, value, short
        self.repeat, self.hidden = repeat, hidden


class Verb:
    """A command: its summary, its options, its operands ("ID", "[SIGNAL]", "[ARG...]")."""

    __slots__ = ("operands", "options", "stop_at_operand", "summary")

    def __init__(
        self,
        summary: str,
        operands: "tuple[str, ...]" = (),
        options: "tuple[Option, ...]" = (),
        *,
        stop_at_operand: bool = False,
    ) -> None:
        self.summary, self.operands, self.options = summary, operands, options
        self.stop_at_operand = stop_at_operand  # what follows the first operands belongs to the container's program


class Arguments:
    """What was given: `options[name]` (str, bool or a list) and `operands`."""

    __slots__ = ("operands", "options")

    def __init__(self) -> None:
        self.options: dict[str, str | bool | list[str]] = {}
        self.operands: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The value of an option that takes one."""
        value = self.options.get(name, default)
        return value if isinstance(value, str) else default

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.options.get(name) is True

    def texts(self, name: str) -> list[str]:
        """The values of an option that may be repeated."""
        value = self.options.get(name)
        return value if isinstance(value, list) else []

    def natural(self, name: str) -> int:
        """The value of an option that takes a whole number from 0 up; 0 if it is not given."""
        if name not in self.options:
            return 0
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise UsageError(f"invalid value `{text}` for flag -{name}: expected an integer")
        return int(text)


_TRUE, _FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")


def take_options(
    argv: list[str], options: "tuple[Option, ...]", into: Arguments, *, until_operand: bool = False, operands: int = 0
) -> int:
    """Sort `argv` into options and operands; how many words were used.

    until_operand: stop before the first operand (global options). operands: after so many of them the rest is not
    looked at (the program of `exec` has options of its own); 0 for no such limit.
    """
    named = {option.name: option for option in options} | {option.short: option for option in options if option.short}
    i = 0
    while i < len(argv):
        word = argv[i]
        if word == "--":
            into.operands += argv[i + 1 :]
            return len(argv)
        if word == "-" or not word.startswith("-"):
            if until_operand:
                return i
            into.operands.append(word)
            i += 1
            if len(into.operands) == operands:
                into.operands += argv[i:]
                return len(argv)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        option = named.get(name) if len(word) - len(word.lstrip("-")) <= 2 else None
        if option is None:
            switches, option, value = _apart(word, named)
            equals = value
            for switch in switches:
                _set(into, switch, "", given=False)
        i += 1
        if option.value and not equals:
            if i == len(argv):  # podman probes for these very words (docs/callers.md)
                raise UsageError(f"flag needs an argument: -{option.name} (option requires an argument)")
            value = argv[i]
            i += 1
        _set(into, option, value, given=bool(equals))
    return i


def _apart(word: str, named: "dict[str, Option]") -> "tuple[list[Option], Option, str]":
    """What is joined in a word, as getopt(3) takes it (`-dt` is `-d -t`, `-bDIR` is `-b DIR`): switches, the last
    option, and its value if the word holds it."""
    options: list[Option] = []
    for i, letter in enumerate(word[1:], 2):
        option = named.get(letter)
        if option is None:  # a dash, too
            break
        if option.value or i == len(word):
            return options, option, word[i:]
        options.append(option)
    flag, known = word.partition("=")[0], [f"--{name}" for name in named if len(name) > 1]
    raise UsageError(f"unknown flag `{flag}`", hint=did_you_mean(flag, known))


def did_you_mean(word: str, known: "Iterable[str]") -> str:
    """The hint for a word that is none of the known ones; "" if none is near."""
    try:
        import difflib
    except (ImportError, OSError):  # no descriptor is left, say: the error is the same without
        return ""
    near = difflib.get_close_matches(word, list(known), 1, 0.7)
    return f"did you mean `{near[0]}`?" if near else ""


def _set(into: Arguments, option: Option, value: str, *, given: bool) -> None:
    if not option.value:
        if given and value not in _TRUE + _FALSE:
            raise UsageError(f"invalid boolean value `{value}` for flag -{option.name}")
        into.options[option.name] = not given or value in _TRUE
    elif option.repeat:
        values = into.options.setdefault(option.name, [])
        assert isinstance(values, list)
        values.append(value)
    else:
        into.options[option.name] = value


def check_operands(verb_name: str, verb: Verb, into: Arguments) -> None:
    """Compare the operands with those that the verb names."""
    required = sum(not operand.startswith("[") for operand in verb.operands)
    if len(into.operands) < required:
        raise UsageError(f"`{verb_name}` needs {' '.join(verb.operands)}", hint=f"see `pyrunc {verb_name} --help`")
    if not (verb.operands and verb.operands[-1].endswith("...]")) and len(into.operands) > len(verb.operands):
        raise UsageError(f"`{verb_name}`: unexpected argument `{into.operands[len(verb.operands)]}`")


def usage(verb_name: str, verb: Verb) -> str:
    """The text of `pyrunc VERB --help`."""
    lines = [f"usage: pyrunc [GLOBAL OPTION...] {verb_name} [OPTION...] {' '.join(verb.operands)}".rstrip(), ""]
    lines += [verb.summary[0].upper() + verb.summary[1:] + ".", ""]
    return "\n".join([*lines, "options:", *option_lines(verb.options), *option_lines((HELP,))]) + "\n"


HELP = Option("help", "print this help", short="h")


def option_lines(options: "tuple[Option, ...]") -> list[str]:
    """The lines of the help for these options."""
    lines = []
    for option in options:
        if option.hidden:
            continue
        left = f"  {'-' + option.short + ', ' if option.short else '    '}--{option.name}"
        left += f" {option.value}" if option.value else ""
        lines.append(f"{left:<32}{option.help}" if len(left) < 31 else f"{left}\n{'':<32}{option.help}")
    return lines
