"""pyrunc spec: a config.json to start from."""

import posix

from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.context import Context
from pyrunc.errors import PyruncError
from pyrunc.kernel.descriptors import opened

from .default import default_config

VERB = Verb(
    "write a config.json to start from into the bundle's directory",
    (),
    (
        Option("bundle", "bundle directory (default: the working directory)", "DIR", "b"),
        Option("file", "write to FILE, relative to the bundle (default: config.json)", "FILE", "f"),
        Option("rootless", "for an ordinary user: with a user namespace that maps one id"),
    ),
)


def run(_: Context, arguments: Arguments) -> int:
    """Write it; an existing one stays."""
    import json

    rootless = arguments.flag("rootless")
    value = default_config(rootless, uid=posix.geteuid(), gid=posix.getegid())
    path = arguments.text("file") or "config.json"
    if not path.startswith("/"):
        path = f"{arguments.text('bundle', '.')}/{path}"
    try:
        fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise PyruncError(f"`{path}` exists", hint="remove it first") from None
    except OSError as error:
        raise PyruncError.from_os(f"write `{path}`", error) from None
    with opened(fd):
        posix.write(fd, (json.dumps(value, indent="\t") + "\n").encode())
    return 0
