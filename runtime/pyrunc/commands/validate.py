"""pyrunc validate: every problem of a bundle's config.json at once."""

from pyrunc import bundle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.context import Context, print_out
from pyrunc.errors import printable
from pyrunc.spec import schema

VERB = Verb(
    "check the config.json of a bundle, and print all problems at once",
    ("[BUNDLE]",),
    (Option("config", "read FILE in place of the bundle's config.json", "FILE", "f"),),
)


def run(_: Context, arguments: Arguments) -> int:
    """Print a line for each problem and each warning; 1 if there is a problem."""
    directory = bundle.absolute(arguments.operands[0] if arguments.operands else ".")
    path = arguments.text("config") or f"{directory}/config.json"
    value = bundle.parse(bundle.read_config(directory, arguments.text("config")), path)
    errors, warnings = schema.report(value)
    lines = [f"error: {printable(str(error))}" for error in errors]
    lines += [f"warning: {printable(str(warning))}" for warning in warnings]
    print_out("".join(f"{line}\n" for line in lines) or f"{printable(path)} is valid\n")
    return 1 if errors else 0
