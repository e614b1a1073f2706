"""What a command can still do while it reads what others have written."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import COMMAND_DEADLINE, Runtime, error_text

pytestmark = [
    only_pyrunc("keeps all privilege"),
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace"),
]
PTRACE = 1 << 19
STATUS = ("CapInh", "CapPrm", "CapEff", "NoNewPrivs")


def privileges_at(runtime: Runtime, trace: Path, call: str, path: str, *words: str | Path) -> dict[str, str]:
    """The lines of /proc/PID/status when a command makes this system call about this path; it is held there."""
    command = ["strace", "-o", trace, "-e", f"trace={call}", "-P", path, "-e", f"inject={call}:delay_enter=1500000"]
    process = subprocess.Popen([*command, *runtime.argv(*words)], stdin=-3, stdout=-3, stderr=-3)
    try:
        found: dict[str, str] = {}
        while process.poll() is None and not (trace.exists() and call in trace.read_text()):
            pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for line in Path(f"/proc/{children[0]}/status").read_text().splitlines():
            name, _, value = line.partition(":\t")
            found[name] = value
    finally:
        process.wait(COMMAND_DEADLINE)
    return found


@pytest.mark.parametrize("verb", ["state", "list", "ps", "events"])
def test_who_only_reads_has_no_privilege_but_to_see(
    runtime: Runtime, bundle: Bundle, area: Path, verb: str
) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        operands = {"list": (), "events": ("--stats", container.id)}.get(verb, (container.id,))
        path = str(runtime.root / container.id)
        found = privileges_at(runtime, area / "trace", "openat", path, verb, *operands)
    assert int(found["CapEff"], 16) | int(found["CapPrm"], 16) == PTRACE
    assert (int(found["CapInh"], 16), found["NoNewPrivs"]) == (0, "1")


def test_log_that_only_roots_privilege_reaches(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """It is opened before."""
    theirs = area / "theirs"
    theirs.mkdir(mode=0o700)
    shutil.chown(theirs, 4321, 4321)
    result = runtime.behind().call("--log", theirs / "log", "state", "nobody")
    error_text(result)
    assert "does not exist" in (theirs / "log").read_text()


def test_config_of_a_stranger_is_parsed_without_privilege(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """Reading it may have taken some."""
    bundle.save("x")
    bundle.path.chmod(0o700)
    shutil.chown(bundle.path, 4321, 4321)
    assert runtime.call("validate", bundle.path).returncode == 0
    found = privileges_at(runtime, area / "trace", "write", "/dev/null", "validate", bundle.path)
    assert int(found["CapEff"], 16) == PTRACE
