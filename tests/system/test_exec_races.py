"""exec again and again: into a container that ends meanwhile, and without leaving anything."""

import os
from pathlib import Path

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Runtime, error_text
from tests.system.test_exec import execute

TIMES = 200


@only_pyrunc("others have many words, and statuses, for a container that is gone")
def test_init_that_ends_meanwhile(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """Each ends with the program's status, its signal, or one line: never hung, never a pid file of a failure."""
    endings: set[int] = set()
    rounds = TIMES // 4
    for turn in range(rounds):
        with runtime.running(bundle.shell(f"sleep 0.0{turn % 10}")) as box:
            for number in range(4):
                pid_file = area / f"pid{number}"
                result = execute(box, "--pid-file", pid_file, "ID", "true")
                if result.returncode not in (0, 137):
                    error_text(result)
                    assert result.returncode == 255
                    assert not pid_file.exists()
                pid_file.unlink(missing_ok=True)
                endings.add(result.returncode)
    assert {0, 255} <= endings


def test_many_leave_nothing(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        procs = CGROUP_ROOT / bundle.linux["cgroupsPath"].lstrip("/") / "cgroup.procs"
        descriptors = sorted(os.listdir(f"/proc/{box.pid}/fd"))
        state = sorted(path.name for path in runtime.root.rglob("*"))
        for number in range(TIMES):
            result = execute(box, "ID", "sh", "-c", f"exit {number % 100}")
            assert result.returncode == number % 100, result.stderr
        assert procs.read_text().split() == [str(box.pid)]
        assert sorted(os.listdir(f"/proc/{box.pid}/fd")) == descriptors
        assert sorted(path.name for path in runtime.root.rglob("*")) == state


def test_many_at_once(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as box:
        commands = [runtime.popen("exec", box.id, "sh", "-c", f"exit {number}") for number in range(20)]
        assert [command.wait() for command in commands] == list(range(20))
