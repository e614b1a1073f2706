"""pyrunc doctor: what this host lacks for containers of this user, and the commands that repair it."""

from pyrunc.arguments import Arguments, Option, Verb
from pyrunc.context import Context, print_lines, print_out
from pyrunc.errors import UsageError
from pyrunc.planning import facts

from .checks import CHECKS, examine
from .finding import OK, Finding, Subject

VERB = Verb(
    "check whether this host and this user can run containers, and how to repair what is missing",
    ("[CHECK...]",),
    (Option("json", "print the findings as JSON"),),
)


def run(context: Context, arguments: Arguments) -> int:
    """Print the findings; 1 if no container at all can be made."""
    unknown = next((name for name in arguments.operands if name not in CHECKS), "")
    if unknown:
        raise UsageError(f"unknown check `{unknown}`", hint=f"there are {', '.join(CHECKS)}")
    subject = Subject(facts.gather(context.environment), context.environment, context.root)
    findings = examine(subject, arguments.operands or CHECKS)
    if arguments.flag("json"):
        print_out(_json(subject, findings))
    else:
        print_lines(_table(findings) + ([] if arguments.operands else _verdict(subject, findings)))
    return 1 if _fatal(findings) else 0


def _fatal(findings: "dict[str, Finding]") -> "list[str]":
    return [name for name, finding in findings.items() if finding.fatal]


def _table(findings: "dict[str, Finding]") -> "list[str]":
    lines = []
    for name, finding in findings.items():
        lines.append(f"{finding.status:<10}{name:<18}{finding.text}")
        if finding.repair and finding.status != OK:
            lines.append(f"{'':<28}repair: {finding.repair}")
    return lines


def _verdict(subject: Subject, findings: "dict[str, Finding]") -> "list[str]":
    fatal = _fatal(findings)
    verdict = f"cannot run any container: {', '.join(fatal)}" if fatal else "can run containers"
    return ["", f"{subject.name()} {verdict}"]


def _json(subject: Subject, findings: "dict[str, Finding]") -> str:
    import json

    checks = [
        {"name": name, "status": each.status, "finding": each.text, "repair": each.repair, "fatal": each.fatal}
        for name, each in findings.items()
    ]
    value = {"user": subject.name(), "runnable": not _fatal(findings), "checks": checks}
    return json.dumps(value, indent="\t") + "\n"
