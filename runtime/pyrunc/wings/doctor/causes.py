"""From a `create` that failed to the cause on the host: the error names the checks that may know it (`check`).

It is loaded when something has failed, and never before.
"""

from errno import ENOSYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.errors import PyruncError
    from pyrunc.planning.facts import HostFacts

    from .finding import Finding


def explain(error: "PyruncError", host: "HostFacts", environment: "dict[bytes, bytes]", root: str) -> None:
    """Put the cause, the repair and the name of the check into the error's hint, if a check that may know finds one.

    The error only tells which checks to run: the host is examined anew, so that no cause is named that is none.
    """
    # Any system call may be one that the kernel does not have.
    named = f"{'system-calls ' if error.errno == ENOSYS else ''}{error.check}".split()
    if not named:
        return
    from .checks import CHECKS, examine
    from .finding import DEGRADED, MISSING, Subject

    parts = {name: part for name, _, part in (word.partition("=") for word in named) if name in CHECKS}
    findings = examine(Subject(host, environment, root), parts)
    for status in (MISSING, DEGRADED):
        for name, finding in findings.items():
            if finding.status == status and _concerns(finding, parts[name]):
                cause = "" if error.message in finding.text else finding.text
                repair = f"repair: {finding.repair}" if finding.repair else ""
                error.hint = f"{'; '.join(filter(None, (cause, repair)))} (pyrunc doctor: {name})".lstrip()
                return


def _concerns(finding: "Finding", parts: str) -> bool:
    """Whether a finding is about the parts that an error names: a controller, say, that others lack does not matter."""
    return not finding.lacking or any(part in finding.lacking for part in parts.split(","))
