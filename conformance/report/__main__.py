"""Makes all conformance checks in the test VM with pyrunc, crun and runc, and writes build/report.md and report.json.

    python3 -m conformance.report [--part NAME]... [--merge]

Exit status 1 when pyrunc fails what a peer passes, or when a part could not be made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.report import document
from conformance.report.document import Part

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build"
TABLES = BUILD / "report"  # what each command writes, kept for --merge
VM = CHECKOUT / "conformance/vm/vm"
TEST_VM = CHECKOUT / "conformance/test-vm"
SUBJECT, CRUN, RUNC = "/usr/bin/pyrunc", "/usr/bin/crun", "/usr/sbin/runc"
CHECKS = ("podman", "podman-user", "docker", "containerd")  # the engine, and that an ordinary user calls it
# name -> what prints its version in the guest
VERSIONS = {
    "system": ". /etc/os-release; echo $PRETTY_NAME",
    "kernel": "uname -r",
    "pyrunc": f"{SUBJECT} --version | head -n 1",
    "crun": f"{CRUN} --version | head -n 1",
    "runc": f"{RUNC} --version | head -n 1",
    "podman": "podman --version",
    "containerd": "containerd --version",
    "docker": "dockerd --version",
}


@dataclass(frozen=True)
class Source:
    """A part: its files below TABLES, the commands that write them in this order, how they are read."""

    title: str
    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    read: Callable[..., Part] = document.read_checks


def programs(suite: str) -> Source:
    # The guest has one slow processor, but the programs mostly sleep.
    words = ["python3", "-B", "-m", "conformance.runtime_tools", "--strict", "--jobs", "6", "--timeout", "120"]
    for runtime in (SUBJECT, CRUN, RUNC):
        words += ["--runtime", runtime]
    words += ["--json", str(TABLES / "programs.json")]
    install = ("python3", "-m", "conformance.runtime_tools", "--install-only")
    call = (str(VM), "run", "--suite", suite, "--timeout", "3000", "--", *words)
    return Source("opencontainers' programs", ("programs.json",), (install, call), document.read_programs)


def checks(suite: str, name: str) -> Source:
    """The checks of one engine: with pyrunc and crun in one run, with runc in another."""
    engine, _, player = name.partition("-")
    common = (str(TEST_VM), engine, "--suite", suite, "--keep", "--no-install", *(["--rootless"] if player else []))
    files = (f"{name}.json", f"{name}-runc.json")
    runs = (("--control", CRUN, "--subject", SUBJECT), ("--control", "", "--subject", RUNC))
    commands = tuple((*common, *run, "--json", str(TABLES / file)) for run, file in zip(runs, files, strict=True))
    return Source(f"{engine}, as {'an ordinary user' if player else 'root'}", files, commands)


def sources(suite: str) -> dict[str, Source]:
    return {"programs": programs(suite)} | {name: checks(suite, name) for name in CHECKS}


def make(source: Source) -> str:
    """Runs the commands; which of them did not come to its end, if any. Failed checks are no problem but a result."""
    for file in source.files:
        (TABLES / file).unlink(missing_ok=True)
    for command in source.commands:
        print(f"report: {' '.join(command)}", flush=True)
        status = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
        if status not in (0, 1):
            return f"`{' '.join(command[:3])}` ended with status {status}"
    return ""


def collect(source: Source, problem: str) -> Part:
    missing = [file for file in source.files if not (TABLES / file).exists()]
    if problem or len(missing) == len(source.files):
        return Part(source.title, problem=problem or f"no {', '.join(missing)}")
    return source.read(source.title, *(TABLES / file for file in source.files if file not in missing))


def versions(suite: str) -> dict[str, str]:
    """What is in the guest. Starts the VM, if it does not run."""
    found = {}
    for name, script in VERSIONS.items():
        words = [str(VM), "run", "--suite", suite, "--", "sh", "-c", f"({script}) 2>/dev/null || true"]
        text = subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.strip()
        found[name] = text.replace(f"{name} version ", "").replace("Docker version ", "") or "not installed"
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=("programs", *CHECKS))
    parser.add_argument("--merge", action="store_true", help="make nothing, merge the tables that are there")
    parser.add_argument("--suite", default="trixie", help="Debian suite of the guest (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the VM up")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    TABLES.mkdir(parents=True, exist_ok=True)
    chosen = {name: source for name, source in sources(args.suite).items() if not args.part or name in args.part}
    try:
        if not args.merge:
            subprocess.run([TEST_VM, "--suite", args.suite, "--keep", "--install-only"], check=True)
        problems = {name: "" if args.merge else make(source) for name, source in chosen.items()}
        parts = [collect(source, problems[name]) for name, source in chosen.items()]
        found = versions(args.suite)
    finally:
        if not args.keep:
            subprocess.run([VM, "down", "--suite", args.suite], cwd=CHECKOUT, check=False)
    subject = Path(SUBJECT).name
    (BUILD / "report.json").write_text(document.as_json(found, parts, subject))
    (BUILD / "report.md").write_text(document.as_markdown(found, parts, subject))
    print(f"report: {BUILD}/report.md and report.json")
    bad = [f"{part.title}: {part.problem or ', '.join(part.worse(subject))}" for part in parts]
    bad = [line for part, line in zip(parts, bad, strict=True) if part.problem or part.worse(subject)]
    print(*bad, sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
