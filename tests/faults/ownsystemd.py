"""A systemd of our own, in the private view of the host, for scopes: a machine that tests may not have one that runs.

It is a user's manager (no other starts beside a first process), of root, and its bus lies where the system's would.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.waiting import comes_true, eventually

MANAGER = Path("/lib/systemd/systemd")
SLICE = "system.slice"  # its bus is in there, so that it is not emptied and removed again and again
_BUS = "/run/dbus/system_bus_socket"
_UNITS = {
    "basic.target": "[Unit]\nDefaultDependencies=no\nWants=dbus.service\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n",
    "dbus.service": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nSlice=system.slice\n"
    "ExecStart=dbus-daemon --config-file=%t/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation\n",
}
_BUS_CONFIGURATION = """<busconfig>
<type>session</type><auth>EXTERNAL</auth><listen>unix:path=/run/no-bus</listen>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy>
</busconfig>
"""


def impossible() -> str:
    """Why there can be none here, "" if there can."""
    if not MANAGER.exists():
        return "needs systemd"
    lacking = [program for program in ("dbus-daemon", "busctl") if not shutil.which(program)]
    return f"needs {' and '.join(lacking)}" if lacking else ""


@contextlib.contextmanager
def running(area: Path) -> Iterator[None]:
    """Start it, and wait until it answers; at the end it is stopped, and its cgroups are gone."""
    runtime_dir, own = Path("/run/own-systemd"), CGROUP_ROOT / CGROUP_PARENT.strip("/") / "own-systemd"
    for directory in (runtime_dir, runtime_dir / "units", Path(_BUS).parent, Path("/run/systemd/system"), own):
        directory.mkdir(parents=True)
    for name, text in _UNITS.items():
        (runtime_dir / "units" / name).write_text(text)
    (runtime_dir / "bus.conf").write_text(_BUS_CONFIGURATION)
    os.symlink(runtime_dir / "bus", _BUS)
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(area), "XDG_RUNTIME_DIR": str(runtime_dir),
        "SYSTEMD_UNIT_PATH": str(runtime_dir / "units"), "SYSTEMD_GENERATOR_PATH": "/run/none",
        "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/run/none", "SYSTEMD_LOG_TARGET": "null",
    }  # fmt: skip
    start = f'echo $$ > "{own}/cgroup.procs"; exec {MANAGER} --user --unit=basic.target'
    manager = subprocess.Popen(["sh", "-c", start], env=environment, stdin=-3, stdout=-3, stderr=-3)
    try:
        eventually(_answers, "systemd's answer")
        yield
    finally:
        comes_true(lambda: _stopped(own), 10)
        manager.wait()
        comes_true(lambda: _removed(own), 10)
        for directory in (runtime_dir, Path(_BUS).parent, Path("/run/systemd")):
            shutil.rmtree(directory)


def _answers() -> bool:
    words = ["busctl", f"--address=unix:path={_BUS}", "list", "--acquired", "--no-legend"]
    listed = subprocess.run(words, check=False, capture_output=True, text=True)
    named = [line.split() for line in listed.stdout.splitlines() if line.startswith("org.freedesktop.systemd1 ")]
    return any(words[1].isdecimal() for words in named)  # "-": it could be asked to start


def _stopped(cgroup: Path) -> bool:
    with contextlib.suppress(OSError):
        (cgroup / "cgroup.kill").write_text("1")
    return "populated 0" in (cgroup / "cgroup.events").read_text()


def _removed(cgroup: Path) -> bool:
    for directory, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return not cgroup.exists()
