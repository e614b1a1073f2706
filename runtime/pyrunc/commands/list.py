"""pyrunc list: the containers below the state root."""

import posix

from pyrunc import stateroot
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.container import Container
from pyrunc.context import Context, print_json, print_lines
from pyrunc.errors import PyruncError, UsageError, printable
from pyrunc.kernel.descriptors import opened

VERB = Verb(
    "list containers",
    (),
    (Option("format", "table (default) or json", "FORMAT", "f"), Option("quiet", "print only ids", short="q")),
)


def run(context: Context, arguments: Arguments) -> int:
    """Print them. One that cannot be read is shown as broken, and hides no other."""
    form = arguments.text("format", "table")
    if form not in ("table", "json"):
        raise UsageError(f"unknown format `{form}`", hint="use table or json")
    context.confine()
    rows = [row for name in names(context) if (row := _row(context, name))]
    if arguments.flag("quiet"):
        print_lines([str(row["id"]) for row in rows])
    elif form == "json":
        print_json(rows)
    else:
        print_lines(_table(rows))
    return 0


def names(context: Context) -> "list[str]":
    """What is in the state root, in order."""
    try:
        stateroot.check(context.root)
        return sorted(name for name in posix.listdir(context.root) if not name.startswith("."))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not context.options.text("root"):
            return []  # it is made with the first container; in one that was named there may be a slip
        raise PyruncError.from_os(f"open the state root `{context.root}`", error) from None


def _row(context: Context, name: str) -> "dict[str, object] | None":
    """None if the container was deleted meanwhile, or the entry is none of ours."""
    try:
        container = Container.open(context.root, name)
    except PyruncError:
        return None
    with opened(container.fd):
        owner = container.owner()
        try:
            state = container.load()
            status = container.status(state)
        except PyruncError:
            return {"id": name, "pid": 0, "status": "broken", "bundle": "", "created": "", "owner": owner}
    value = state.spec_state(status)
    row: dict[str, object] = {key: value.get(key, "") for key in ("ociVersion", "id")}
    row |= {"pid": state.pid if status != "stopped" else 0, "status": status, "bundle": value.get("bundle", "")}
    row |= {"rootfs": state.rootfs, "created": state.created}
    if value.get("annotations"):
        row["annotations"] = value["annotations"]
    return row | {"owner": owner}


def _table(rows: "list[dict[str, object]]") -> "list[str]":
    columns = ("id", "pid", "status", "bundle", "created", "owner")
    lines = [[column.upper() for column in columns]]
    lines += [[printable(str(row[column])) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return ["  ".join(line).rstrip() for line in padded]
