"""What a check is told, what it answers, and how checks read files."""

import posix

from pyrunc.kernel import files
from pyrunc.kernel.ids import subordinate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from pyrunc.planning.facts import HostFacts

OK, DEGRADED, MISSING = "ok", "degraded", "missing"


class Subject:
    """For whom the host is examined. environment: the caller's; root: the state root that the caller has."""

    __slots__ = ("environment", "host", "root")

    def __init__(self, host: "HostFacts", environment: "dict[bytes, bytes]", root: str) -> None:
        self.host, self.environment, self.root = host, environment, root

    @property
    def ordinary(self) -> bool:
        """Whether a container of this user must have a user namespace of its own."""
        return self.host.euid != 0

    def name(self) -> str:
        """The user's login name, or the number."""
        return subordinate.login_name(self.host.euid)


class Finding:
    """The answer of one check.

    status: OK; DEGRADED: some containers go without something; MISSING: some cannot be made.
    text: what was found, with the cause; without the words by which callers classify errors (docs/callers.md).
    repair: a command for root, or what to do, "" if there is nothing to do.
    fatal: for this user no container at all can be made.
    lacking: the parts that are lacking (controllers), if it is not the whole.
    """

    __slots__ = ("fatal", "lacking", "repair", "status", "text")

    def __init__(
        self, status: str, text: str, repair: str = "", *, fatal: bool = False, lacking: "Collection[str]" = ()
    ) -> None:
        self.status, self.text, self.repair, self.fatal, self.lacking = status, text, repair, fatal, lacking


def read(path: str) -> str:
    """The text of a file of the host; "" if it cannot be read."""
    try:
        return files.read(path).decode("utf-8", "replace")
    except OSError:
        return ""


def number(path: str) -> "int | None":
    """The number in a file of /proc/sys; None if there is no such file."""
    text = read(path).strip()
    return int(text) if text.isdecimal() else None


def status_field(name: str) -> str:
    """A field of /proc/self/status (proc(5))."""
    return next((line.split(":", 1)[1].strip() for line in read("/proc/self/status").splitlines()
                 if line.startswith(f"{name}:")), "")  # fmt: skip


def package(debian: str, fedora: str, verb: str = "install") -> str:
    """The command that installs a package; verb: dnf's."""
    return f"dnf {verb} {fedora}" if posix.access("/usr/bin/dnf", posix.X_OK) else f"apt-get install {debian}"
