"""What every command gets: the caller's environment and global options, the state root, the log, standard output."""

import posix

from . import jsontext
from .arguments import Arguments
from .errors import PyruncError, UsageError, printable
from .log import Log


class Context:
    """What every verb may use: the log, the state root, the environment as the caller gave it, the global options.

    own_process: this process is there for the command alone.
    """

    __slots__ = ("environment", "log", "options", "own_process", "root")

    def __init__(
        self, options: Arguments, log: Log, environment: "dict[bytes, bytes]", *, own_process: bool = False
    ) -> None:
        self.options, self.log, self.environment, self.own_process = options, log, environment, own_process
        root = options.text("root")
        if root:
            from . import bundle

            self.root = bundle.absolute(root)
        else:
            from . import host

            self.root = host.state_root(environment)

    def confine(self) -> None:
        """Give up all privilege that only reading does not take, for good (`privileges`), in a process of our own."""
        if not self.own_process:
            return
        from pyrunc.kernel.process import privileges

        try:  # noqa: SIM105  (contextlib costs a millisecond of start-up)
            self.log.open()  # it may lie where root's privilege is needed
        except OSError:
            pass  # said when there is something to write
        privileges.give_up()

    @property
    def cgroup_manager(self) -> str:
        """ "systemd", "cgroupfs" or "disabled"."""
        name = self.options.text("cgroup-manager") or ("systemd" if self.options.flag("systemd-cgroup") else "cgroupfs")
        if name not in ("systemd", "cgroupfs", "disabled"):
            raise UsageError(f"unknown cgroup manager `{name}`", hint="use systemd, cgroupfs or disabled")
        return name


def print_lines(lines: "list[str]") -> None:
    """Write lines of a table to standard output: names in them are of others' choosing, and stay in their line."""
    print_out("".join(f"{printable(line)}\n" for line in lines))


def print_json(value: object, *, indented: bool = False) -> None:
    """Write a value to standard output as JSON, on one line or indented."""
    print_out((jsontext.dumps_indented if indented else jsontext.dumps_to_show)(value) + "\n")


def print_out(text: str) -> None:
    """Write to standard output, now: `sys.stdout` would find out at the very end that the disk is full.

    What of it was not written here goes through `print_lines` or `print_json`.
    """
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[posix.write(1, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PyruncError.from_os("write to standard output", error) from None
