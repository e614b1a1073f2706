"""Write the completions of bash, zsh and fish into a directory, from the tables of the command line."""

import sys
from pathlib import Path

from commandline import CHOICES, GLOBAL_OPTIONS, Option, Verb, shown, verbs

SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM STOP CONT WINCH"
# What to offer for an operand or an option's value, by its placeholder in the help.
BY_PLACEHOLDER = {"DIR": "directory", "BUNDLE": "directory", "FILE": "file", "PATH": "file", "SIGNAL": "signal"}
NEW_ID = ("create", "run")  # their ID must not exist yet

BASH = """\
# bash completion of pyrunc, generated from the tables of its command line
_pyrunc_ids() {
    local i root=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == --root ]] && root=(--root "${COMP_WORDS[i + 1]}")
    done
    "${COMP_WORDS[0]}" "${root[@]}" list --quiet 2>/dev/null
}

_pyrunc_offer() {
    case $1 in
    directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    container) mapfile -t COMPREPLY < <(compgen -W "$(_pyrunc_ids)" -- "$2") ;;
    signal) mapfile -t COMPREPLY < <(compgen -W "@SIGNALS@" -- "$2") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2") ;;
    esac
}

# What the value of an option is: a kind above, or the words themselves; fails for a switch.
_pyrunc_value() {
    case $1 in
@VALUES@
    *) return 1 ;;
    esac
}

_pyrunc() {
    local current=${COMP_WORDS[COMP_CWORD]} verb='' operands=0 i kind
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -* ]]; then
            _pyrunc_value "$verb ${COMP_WORDS[i]}" >/dev/null && ((i++))
        elif [[ -z $verb ]]; then
            verb=${COMP_WORDS[i]}
        else
            ((operands++))
        fi
    done
    COMPREPLY=()
    if ((i > COMP_CWORD)) && kind=$(_pyrunc_value "$verb ${COMP_WORDS[COMP_CWORD - 1]}"); then
        _pyrunc_offer "$kind" "$current"
        return
    fi
    case $verb:$current:$operands in
@CASES@
    esac
}

complete -F _pyrunc pyrunc
"""

ZSH = """\
#compdef pyrunc
# zsh completion of pyrunc, generated from the tables of its command line
_pyrunc_ids() {
    local -a ids
    ids=(${(f)"$(_call_program containers pyrunc list --quiet 2>/dev/null)"})
    compadd -a ids
}

_pyrunc() {
    local curcontext=$curcontext state line
    local -a commands=(
@COMMANDS@
    )
    _arguments -C \\
@GLOBAL@
        '1:command:->command' \\
        '*::argument:->argument'
    [[ $state != command ]] || _describe command commands
    [[ $state == argument ]] || return
    case $words[1] in
@CASES@
    esac
}

_pyrunc "$@"
"""
# zsh's actions for the kinds of values.
ZSH_ACTIONS = {"directory": "_directories", "file": "_files", "container": "_pyrunc_ids", "signal": f"({SIGNALS})"}


def kind_of(option: Option) -> str:
    """What to offer for the option's value."""
    if option.name in CHOICES:
        return " ".join(CHOICES[option.name])
    return BY_PLACEHOLDER.get(option.value, "")


def operand_kinds(name: str, verb: Verb) -> list[str]:
    """What to offer for each operand."""
    known = BY_PLACEHOLDER if name in NEW_ID else BY_PLACEHOLDER | {"ID": "container"}
    return [known.get(operand.strip("[]."), "") for operand in verb.operands]


def words(options: list[Option]) -> str:
    """The options as they are typed."""
    return " ".join(f"--{option.name}" for option in options)


def bash(commands: dict[str, Verb]) -> str:
    """The script for bash."""
    values, cases = [], []
    for name, options in [("", GLOBAL_OPTIONS), *((name, verb.options) for name, verb in commands.items())]:
        for option in shown(options):
            if option.value:
                patterns = [f'"{name} --{option.name}"'] + ([f'"{name} -{option.short}"'] if option.short else [])
                values.append(f"    {' | '.join(patterns)}) echo '{kind_of(option)}' ;;")
    cases.append(f"    :-*:*) _pyrunc_offer '{words(shown(GLOBAL_OPTIONS))}' \"$current\" ;;")
    cases.append(f"    :*) _pyrunc_offer '{' '.join(commands)}' \"$current\" ;;")
    for name, verb in commands.items():
        cases.append(f"    {name}:-*:*) _pyrunc_offer '{words(shown(verb.options))}' \"$current\" ;;")
        for i, kind in enumerate(operand_kinds(name, verb)):
            if kind:
                cases.append(f'    {name}:*:{i}) _pyrunc_offer {kind} "$current" ;;')
    text = BASH.replace("@SIGNALS@", SIGNALS)
    return text.replace("@VALUES@", "\n".join(values)).replace("@CASES@", "\n".join(cases))


def zsh(commands: dict[str, Verb]) -> str:
    """The script for zsh."""
    cases = []
    for name, verb in commands.items():
        specs = [_zsh_option(option) for option in shown(verb.options)]
        for operand, kind in zip(verb.operands, operand_kinds(name, verb), strict=True):
            action = ZSH_ACTIONS.get(kind, " ")
            specs.append(f"'{':' * (2 if operand.startswith('[') else 1)}{operand.strip('[].')}:{action}'")
        cases.append(f"    {name}) _arguments {' '.join(specs)} ;;")
    summaries = "\n".join(f"        '{name}:{_zsh_text(verb.summary)}'" for name, verb in commands.items())
    given = " \\\n".join(f"        {_zsh_option(option)}" for option in shown(GLOBAL_OPTIONS)) + " \\"
    return ZSH.replace("@GLOBAL@", given).replace("@COMMANDS@", summaries).replace("@CASES@", "\n".join(cases))


def _zsh_option(option: Option) -> str:
    names = f"--{option.name}"
    if option.short:
        names = f"'(-{option.short} {names})'{{-{option.short},{names}}}"
    value = f":{option.value}:{_zsh_action(kind_of(option))}" if option.value else ""
    return f"{names}'[{_zsh_text(option.help)}]{value}'"


def _zsh_text(text: str) -> str:
    """Text between single quotes and the marks of a specification."""
    for mark in ":[]":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("'", "'\\''")


def _zsh_action(kind: str) -> str:
    return ZSH_ACTIONS.get(kind, f"({kind})" if kind else " ")


def fish(commands: dict[str, Verb]) -> str:
    """The script for fish."""
    lines = ["# fish completion of pyrunc, generated from the tables of its command line", "complete -c pyrunc -f"]
    names = " ".join(commands)
    lines += [_fish_option(f"not __fish_seen_subcommand_from {names}", option) for option in shown(GLOBAL_OPTIONS)]
    offers = {
        "container": "(pyrunc list --quiet 2>/dev/null)",
        "signal": SIGNALS,
        "directory": "(__fish_complete_directories)",
    }
    for name, verb in commands.items():
        lines.append(
            f"complete -c pyrunc -n 'not __fish_seen_subcommand_from {names}' -a {name} -d {_quoted(verb.summary)}"
        )
        condition = f"__fish_seen_subcommand_from {name}"
        lines += [_fish_option(condition, option) for option in shown(verb.options)]
        lines += [
            f"complete -c pyrunc -n '{condition}' -a '{offers[kind]}'" for kind in operand_kinds(name, verb) if kind
        ]
    return "\n".join(lines) + "\n"


def _fish_option(condition: str, option: Option) -> str:
    line = f"complete -c pyrunc -n '{condition}' -l {option.name}"
    if option.short:
        line += f" -s {option.short}"
    kind = kind_of(option)
    if kind in ("file", "directory"):
        line += " -r -F"
    elif option.value:
        line += f" -x -a '{kind}'" if kind else " -x"
    return f"{line} -d {_quoted(option.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def write(directory: Path) -> None:
    """Write pyrunc.bash, _pyrunc (zsh) and pyrunc.fish."""
    directory.mkdir(parents=True, exist_ok=True)
    commands = verbs()
    (directory / "pyrunc.bash").write_text(bash(commands))
    (directory / "_pyrunc").write_text(zsh(commands))
    (directory / "pyrunc.fish").write_text(fish(commands))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
