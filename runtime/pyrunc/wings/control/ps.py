"""pyrunc ps: the processes of a container."""

from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.cgroup import cgroupfs as cgroup_fs
from pyrunc.container import Container
from pyrunc.context import Context, print_json, print_lines
from pyrunc.errors import PyruncError, UsageError

VERB = Verb(
    "list the processes of a container",
    ("ID", "[PS-OPTION...]"),
    (Option("format", "table (default) or json", "FORMAT", "f"),),
    stop_at_operand=True,
)


def run(context: Context, arguments: Arguments) -> int:
    """Print their pids as JSON, or the lines of ps(1) that are about them."""
    form = arguments.text("format", "table")
    if form not in ("table", "json"):
        raise UsageError(f"unknown format `{form}`", hint="use table or json")
    context.confine()
    container = Container.open(context.root, arguments.operands[0])
    pids = cgroup_fs.members(container.load().own_cgroup("list the processes of"))
    if form == "json":
        print_json(pids)
    else:
        print_lines(table(pids, arguments.operands[1:] or ["-ef"]))
    return 0


PROGRAM = "/bin/ps"
_BEFORE_PID = frozenset(("F", "S", "STAT", "UID", "USER", "PPID"))  # titles of columns without names of processes


def table(pids: "list[int]", options: "list[str]") -> "list[str]":
    """The lines of ps(1) with these options that are about these processes, under its heading.

    A process may call itself `x 1`, so that what stands behind a name cannot be told from it. Where the options put the
    pid there, ps prints it before everything else as well, and this is what is looked at, and taken off again.
    """
    header, *lines = _output(options)
    titles = header.split()
    if "PID" not in titles:
        raise PyruncError("the output of ps has no PID column", hint="choose options that print one")
    column, wanted = titles.index("PID"), set(map(str, pids))
    if _BEFORE_PID.issuperset(titles[:column]):
        return [header, *(line for line in lines if wanted.intersection(line.split()[column : column + 1]))]
    first, *lines = _output(["-o", "pid=", *options])
    if first.split() != titles:
        raise PyruncError("a process's name in the output of ps could be taken for a PID", hint="print PID first")
    rows = [line.lstrip(" ").partition(" ") for line in lines]
    return [header, *(rest for pid, _, rest in rows if pid in wanted)]


def _output(options: "list[str]") -> "list[str]":
    """What ps prints, a line with the heading and one for each process."""
    import subprocess  # noqa: TID251  (ps is not called often, and runs a program of the host)

    try:
        done = subprocess.run([PROGRAM, *options], check=False, capture_output=True)
    except OSError as error:
        raise PyruncError.from_os(f"run `{PROGRAM}`", error, hint="--format json needs no ps") from None
    if done.returncode:
        raise PyruncError(f"ps {' '.join(options)}: {done.stderr.decode('utf-8', 'replace').strip()}")
    # The names of processes are theirs to choose: of what ends a line, ps escapes the line feed alone.
    return done.stdout.decode("utf-8", "replace").removesuffix("\n").split("\n")
