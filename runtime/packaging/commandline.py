"""The command line as data, read from the tables that the parser uses: for the man pages and the completions."""

import importlib
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "runtime"))

from pyrunc import __version__, cli  # noqa: E402  (the path comes first)
from pyrunc.arguments import HELP, Option, Verb  # noqa: E402

__all__ = ["CHECKOUT", "CHOICES", "GLOBAL_OPTIONS", "Option", "Verb", "__version__", "shown", "verbs"]

GLOBAL_OPTIONS = cli.GLOBAL_OPTIONS
# Values that an option takes; a test compares them with the option's help.
CHOICES = {
    "log-format": ("text", "json"),
    "log-level": ("error", "warning", "debug"),
    "cgroup-manager": ("systemd", "cgroupfs", "disabled"),
    "format": ("table", "json"),
}


def verbs() -> dict[str, Verb]:
    """Each command's definition, in the order of the help."""
    return {name: importlib.import_module(cli.module_of(name)).VERB for name in cli.VERBS}


def shown(options: tuple[Option, ...]) -> list[Option]:
    """The options to speak of: all but the hidden ones, and --help."""
    visible = [option for option in options if not option.hidden]
    return visible if HELP in visible else [*visible, HELP]
