"""pyrunc ps: the processes of a container."""

from pyrunc import jsontext
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.cgroup import fs as cgroup_fs
from pyrunc.container import Container
from pyrunc.context import Context, print_out
from pyrunc.errors import PyruncError, UsageError, printable

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
    container = Container.open(context.root, arguments.operands[0])
    pids = cgroup_fs.processes(container.load().own_cgroup("list the processes of"))
    if form == "json":
        print_out(jsontext.dumps(pids) + "\n")
    else:
        print_out(table(pids, arguments.operands[1:] or ["-ef"]))
    return 0


PROGRAM = "/bin/ps"


def table(pids: "list[int]", options: "list[str]") -> str:
    """The lines of ps(1) with these options that are about these processes, under its heading."""
    import subprocess

    try:
        done = subprocess.run([PROGRAM, *options], check=False, capture_output=True)
    except OSError as error:
        raise PyruncError.from_os(f"run `{PROGRAM}`", error, hint="--format json does without") from None
    if done.returncode:
        raise PyruncError(f"ps {' '.join(options)}: {done.stderr.decode('utf-8', 'replace').strip()}")
    # The names of processes are theirs to choose: of what ends a line, ps escapes the line feed alone.
    header, *lines = map(printable, done.stdout.decode("utf-8", "replace").removesuffix("\n").split("\n"))
    titles = header.split()
    if "PID" not in titles:
        raise PyruncError("the output of ps has no PID column", hint="choose options that print one")
    column, wanted = titles.index("PID"), set(map(str, pids))
    kept = [line for line in lines if len(fields := line.split()) > column and fields[column] in wanted]
    return "".join(f"{line}\n" for line in (header, *kept))
