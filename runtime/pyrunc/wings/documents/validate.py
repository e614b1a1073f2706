"""pyrunc validate: every problem of a bundle's config.json at once."""

from pyrunc import bundle
from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.context import Context, print_lines

from . import schema

VERB = Verb(
    "check the config.json of a bundle, and print all problems at once",
    ("[BUNDLE]",),
    (Option("config", "read FILE instead of the bundle's config.json", "FILE", "f"),),
)


def run(context: Context, arguments: Arguments) -> int:
    """Print a line for each problem and each warning; 1 if there is a problem."""
    directory = bundle.absolute(arguments.operands[0] if arguments.operands else ".")
    path = arguments.text("config") or f"{directory}/config.json"
    text = bundle.read_config(directory, arguments.text("config"))
    context.confine()  # whoever asks whether a config is valid may have it from a stranger
    value = bundle.parse(text, path)
    errors, warnings = schema.report(value)
    print_lines([f"error: {error}" for error in errors] + [f"warning: {warning}" for warning in warnings])
    if not (errors or warnings):
        print_lines([f"{path} is valid"])
    return 1 if errors else 0
