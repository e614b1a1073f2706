"""The `pyrunc` command: global options, then one verb. The only module that reads argv and the environment."""

import posix
import sys

from . import SPEC_VERSION, __version__, arguments, ending, startup
from .arguments import Arguments, Option
from .context import Context, print_out
from .errors import PyruncError, Terminated, UsageError, place, without_room
from .kernel import files
from .log import LEVELS, Log

GLOBAL_OPTIONS = (
    Option("root", "state directory of the containers (default: /run/pyrunc, or $XDG_RUNTIME_DIR/pyrunc)", "DIR"),
    Option("log", "write messages to FILE (default: standard error), or to journald:ID or syslog:ID", "FILE"),
    Option("log-format", "text (default) or json", "FORMAT"),
    Option("log-level", "error, warning (default) or debug", "LEVEL"),
    Option("debug", "same as --log-level debug; internal errors come with a traceback"),
    Option("systemd-cgroup", "let systemd create the cgroup; cgroupsPath is SLICE:PREFIX:NAME"),
    Option("cgroup-manager", "systemd, cgroupfs (default) or disabled", "NAME"),
    Option("rootless", "accepted for compatibility; pyrunc detects what it may do", "BOOL", hidden=True),
    Option("criu", "accepted for compatibility", "PATH", hidden=True),
    Option("version", "print the version", short="v"),
    Option("V", "same as --version (crun)", hidden=True),
    arguments.HELP,
)

VERBS = {
    "create": "create a container from a bundle",
    "start": "start the program of a created container",
    "exec": "run another program in a running container",
    "state": "print the state of a container",
    "kill": "send a signal to a container",
    "delete": "delete a container",
    "wait": "wait until a container has stopped, and end with its exit status",
    "run": "create and start a container, and wait for it to exit",
    "list": "list containers",
    "gc": "remove what killed commands have left",
    "ps": "list the processes of a container",
    "pause": "pause all processes of a container",
    "resume": "resume a paused container",
    "update": "update the resource limits of a container",
    "events": "print statistics and events of a container",
    "checkpoint": "checkpoint a container into image files",
    "restore": "restore a container from image files",
    "spec": "write a config.json to start from",
    "features": "print what this runtime supports",
    "validate": "check the config.json of a bundle",
    "doctor": "check whether this host and this user can run containers",
}
# The commands that are not of the core -> the wing that each belongs to. No other module of the core names these wings.
WINGS = {
    "gc": "control", "wait": "control", "ps": "control", "pause": "control", "resume": "control", "update": "control",
    "events": "events", "checkpoint": "criu", "restore": "criu", "doctor": "doctor",
    "spec": "documents", "features": "documents", "validate": "documents",
}  # fmt: skip
# Whose messages conmon hands to podman, which puts the runtime's name before them.
_BARE_MESSAGE = frozenset(("create", "run", "exec"))
_LEVEL_OF = {"warn": "warning", "info": "warning"}  # youki's words; no message of ours is of less weight
_EXEC_FAILED = 255  # as runc: the statuses up to 254 are the program's


def original_environment() -> "dict[bytes, bytes]":
    """The environment that the caller gave; CPython adds LC_CTYPE to its own (PEP 538)."""
    try:
        content = files.read("/proc/self/environ")
    except OSError:
        return dict(posix.environ)
    pairs = (entry.partition(b"=") for entry in content.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def run(argv: "list[str]", *, process: bool = False) -> int:
    """Run a command line (without the program's name); the exit status. process: this process is there for it alone,
    and is put in order first. The signal that ends it counts once: what follows must not interrupt the undoing."""
    try:
        return _run(argv, process=process)
    except Terminated as by:
        return 128 + by.number
    finally:
        ending.hold()


def _run(argv: "list[str]", *, process: bool) -> int:
    given = Arguments()
    log = Log()
    verb = ""
    try:
        if process:
            _put_in_order()
        used = arguments.take_options(argv, GLOBAL_OPTIONS, given, until_operand=True)
        wanted = _log(given)
        if given.flag("version") or given.flag("V"):
            return _print(_version())
        words = argv[used:]
        if words[:1] == ["help"]:
            words = [*words[1:2], *(["--help"] if words[1:] else [])]
        if given.flag("help") or not words:
            return _print(_help())
        wanted.check()
        log = wanted
        verb = words[0]
        if verb not in VERBS:
            hint = arguments.did_you_mean(verb, VERBS) or "see `pyrunc --help`"
            raise UsageError(f"unknown command `{verb}`", hint=hint)
        status = _run_verb(verb, words[1:], given, log, process=process)
        log.flush()
        return status
    except PyruncError as error:
        log.error(str(error), "" if verb in _BARE_MESSAGE else "pyrunc: ")
    except BrokenPipeError:
        return 1
    except OSError as error:
        log.error(str(PyruncError.from_os(f"{verb or 'pyrunc'}: {place(error)}", error)))
    except (ImportError, MemoryError) as error:
        log.error(str(without_room(error, verb)))
    except Exception as error:  # no traceback ever reaches a user; --debug prints it
        if log.debugging:
            raise
        log.error(f"internal error: {type(error).__name__}: {error} (--debug shows where)")
    return _EXEC_FAILED if verb == "exec" else 1


def _log(given: Arguments) -> Log:
    form = given.text("log-format", "text")
    if form not in ("text", "json"):
        raise UsageError(f"unknown log format `{form}`", hint="use text or json")
    level = "debug" if given.flag("debug") else given.text("log-level", "warning")
    level = _LEVEL_OF.get(level, level)
    if level not in LEVELS:
        raise UsageError(f"unknown log level `{level}`", hint="use error, warning or debug")
    return Log(given.text("log"), form, level)


def module_of(verb: str) -> str:
    """The name of the module with the command."""
    return f"pyrunc.wings.{WINGS[verb]}.{verb}" if verb in WINGS else f"pyrunc.commands.{verb}"


def _run_verb(verb: str, argv: "list[str]", given: Arguments, log: Log, *, process: bool) -> int:
    startup.load(verb)
    module = __import__(module_of(verb), fromlist=["VERB", "run"])
    definition: arguments.Verb = module.VERB
    into = Arguments()
    options = (*definition.options, arguments.HELP)
    limit = len(definition.operands) - 1 if definition.stop_at_operand else 0
    arguments.take_options(argv, options, into, operands=limit)
    if into.flag("help"):
        return _print(arguments.usage(verb, definition))
    arguments.check_operands(verb, definition, into)
    whose = f"`{into.operands[0]}`" if definition.operands[:1] == ("ID",) else ""
    try:
        result: int = module.run(Context(given, log, original_environment(), own_process=process), into)
    except BrokenPipeError:
        raise
    except PyruncError as error:
        if whose:
            error.name_object(f"container {whose}")
        raise
    except OSError as error:
        doing = f"{verb} of {whose}" if whose else verb
        raise PyruncError.from_os(f"{doing}: {place(error)}", error) from None
    return result


def _version() -> str:
    return f"pyrunc version {__version__}\nspec: {SPEC_VERSION}\n"


def _help() -> str:
    lines = ["usage: pyrunc [GLOBAL OPTION...] COMMAND [OPTION...] [ARGUMENT...]", "", "commands:"]
    lines += [f"  {name:<12}{summary}" for name, summary in VERBS.items()]
    return "\n".join([*lines, "", "global options:", *arguments.option_lines(GLOBAL_OPTIONS)]) + "\n"


def _print(text: str) -> int:
    print_out(text)
    return 0


def main() -> None:
    """The installed program: run, then leave without the interpreter's tidying up, which costs a millisecond."""
    posix._exit(run(sys.argv[1:], process=True))  # noqa: SLF001  (posix has no other name for it)


def _put_in_order() -> None:
    """Undo what a careless caller left us: missing standard streams, an ignored SIGCHLD, which eats exit statuses, and
    a umask by which an ordinary user could not go into the directories that he makes."""
    import _signal

    from .kernel import descriptors

    ending.listen()
    descriptors.open_standard_streams()
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    posix.umask(posix.umask(0o077) & 0o077)  # the rest of it is the caller's to say; the container has its own


def console_script() -> int:
    """The entry point of a pip install."""
    return run(sys.argv[1:], process=True)
