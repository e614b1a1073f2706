"""linux.intelRdt: groups of the resctrl file system, which few machines have.

So the logic is tested on a folder: pyrunc is started with its module `wings.resctrl` looking at one where a new
directory gets the files that the kernel would make. What needs no resctrl is tested with the runtime as it is.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import DEFAULT_RUNTIME, Runtime, error_text, new_id

pytestmark = only_pyrunc("they look for the file system itself")

DEFAULT = "    L3:0=fff;1=fff\n    MB:0=100;1=100\n"
STAND_IN = '''
import posix

from pyrunc.wings import resctrl


class Folder:
    """`posix`, where a directory comes and goes with its files, and what is written to them can be read later."""

    def __getattr__(self, name):
        return getattr(posix, name)

    def mkdir(self, path, mode):
        posix.mkdir(path, mode)
        for name in ("tasks", "schemata"):
            posix.close(posix.open(path + "/" + name, posix.O_WRONLY | posix.O_CREAT))
        if "mon_groups" not in path:
            posix.mkdir(path + "/mon_groups")

    def rmdir(self, path):
        if "mon_groups" not in path:
            posix.rmdir(path + "/mon_groups")
        for name in ("tasks", "schemata"):
            posix.unlink(path + "/" + name)
        posix.rmdir(path)


class Files:
    """`files`, whose writes follow each other."""

    read = staticmethod(resctrl.files.read)

    @staticmethod
    def write(path, data, really=resctrl.files.write):
        really(path, data, flags=posix.O_APPEND)


resctrl.mount_point = lambda: FOLDER
resctrl.posix, resctrl.files = Folder(), Files
main()
'''


ANOTHER_COMES = """
checked = resctrl.Group.check


def check(group):
    checked(group)
    resctrl.posix.mkdir(group.directory, 0o755)


resctrl.Group.check = check
"""
KILLED_AT_MKDIR = """
resctrl.posix.mkdir = lambda path, mode: posix.kill(posix.getpid(), 9)
"""


class Resctrl:
    """The folder, and a runtime that takes it for the file system."""

    def __init__(self, area: Path, runtime: Runtime) -> None:
        self.root = area / "resctrl"
        self._group(self.root)
        program = area / "pyrunc"
        program.write_text(
            DEFAULT_RUNTIME.read_text().replace("\nmain()\n", STAND_IN.replace("FOLDER", repr(str(self.root))))
        )
        program.chmod(0o755)
        self.runtime = Runtime(runtime.root, program)

    def insert(self, code: str) -> None:
        """Have the runtime execute this first."""
        self.runtime.path.write_text(self.runtime.path.read_text().replace("\nmain()\n", f"{code}\nmain()\n"))

    def _group(self, path: Path) -> Path:
        path.mkdir()
        (path / "mon_groups").mkdir()
        (path / "tasks").touch()
        (path / "schemata").write_text(DEFAULT)
        return path

    def group(self, name: str) -> Path:
        """A group that somebody has made beforehand."""
        return self._group(self.root / name)

    @property
    def groups(self) -> set[str]:
        return {entry.name for entry in self.root.iterdir() if entry.is_dir()} - {"mon_groups"}


@pytest.fixture
def resctrl(area: Path, runtime: Runtime) -> Resctrl:
    return Resctrl(area, runtime)


def wants(bundle: Bundle, **keys: Any) -> Bundle:
    bundle.linux["intelRdt"] = keys
    return bundle.shell("exec sleep 1000")


def words(path: Path) -> list[str]:
    return path.read_text().split()


def test_without_closid_the_container_has_its_own_group(resctrl: Resctrl, bundle: Bundle) -> None:
    wants(bundle, l3CacheSchema="L3:0=7f0;1=1f", memBwSchema="MB:0=20;1=70", schemata=["L2:0=f"])
    with resctrl.runtime.running(bundle) as container:
        group = resctrl.root / container.id
        assert words(group / "schemata") == ["L3:0=7f0;1=1f", "MB:0=20;1=70", "L2:0=f"]
        assert words(group / "tasks") == [str(container.pid)]
        assert not list((group / "mon_groups").iterdir())
    assert resctrl.groups == set()


def test_without_a_schema_none_is_written(resctrl: Resctrl, bundle: Bundle) -> None:
    with resctrl.runtime.running(wants(bundle)) as container:
        assert words(resctrl.root / container.id / "schemata") == []


@pytest.mark.parametrize("keys", [{}, {"schemata": ["MB:1=0100", "L3:0=0FFF"]}])
def test_closid_of_a_group_that_is_there(resctrl: Resctrl, bundle: Bundle, keys: dict[str, list[str]]) -> None:
    group = resctrl.group("guaranteed")
    with resctrl.runtime.running(wants(bundle, closID="guaranteed", **keys)) as container:
        assert words(group / "tasks") == [str(container.pid)]
        assert (group / "schemata").read_text() == DEFAULT
    assert resctrl.groups == {"guaranteed"}


def test_closid_of_a_group_with_another_schema(resctrl: Resctrl, bundle: Bundle) -> None:
    resctrl.group("guaranteed")
    wants(bundle, closID="guaranteed", l3CacheSchema="L3:0=fff;1=1")
    resctrl.runtime.create_fails(bundle, "a different schema: L3:1 is fff, not 1", "/linux/intelRdt")


def test_closid_of_a_group_that_is_made_and_stays(resctrl: Resctrl, bundle: Bundle) -> None:
    with resctrl.runtime.running(wants(bundle, closID="mine", memBwSchema="MB:0=20")) as container:
        assert words(resctrl.root / "mine/tasks") == [str(container.pid)]
    assert words(resctrl.root / "mine/schemata") == ["MB:0=20"]


def test_closid_without_a_schema_must_exist(resctrl: Resctrl, bundle: Bundle) -> None:
    resctrl.runtime.create_fails(wants(bundle, closID="nosuch"), "does not exist", "/linux/intelRdt/closID")
    assert resctrl.groups == set()


def test_root_group(resctrl: Resctrl, bundle: Bundle) -> None:
    with resctrl.runtime.running(wants(bundle, closID="/")) as container:
        assert words(resctrl.root / "tasks") == [str(container.pid)]
    assert resctrl.groups == set()


@pytest.mark.parametrize("keys", [{}, {"closID": "/"}])
def test_monitoring_group_goes_with_the_container(resctrl: Resctrl, bundle: Bundle, keys: dict[str, str]) -> None:
    with resctrl.runtime.running(wants(bundle, enableMonitoring=True, **keys)) as container:
        group = resctrl.root if keys else resctrl.root / container.id
        assert words(group / "mon_groups" / container.id / "tasks") == [str(container.pid)]
    assert resctrl.groups == set()
    assert not list((resctrl.root / "mon_groups").iterdir())


def test_exec_joins(resctrl: Resctrl, bundle: Bundle) -> None:
    with resctrl.runtime.running(wants(bundle, enableMonitoring=True)) as container:
        pid_file = bundle.path / "exec.pid"
        result = resctrl.runtime.call("exec", "--pid-file", pid_file, container.id, "true")
        assert result.returncode == 0, result.stderr
        group = resctrl.root / container.id
        for tasks in (group / "tasks", group / "mon_groups" / container.id / "tasks"):
            assert words(tasks) == [str(container.pid), pid_file.read_text()]


@pytest.mark.parametrize("monitor", [True, False])
def test_events_tell_what_was_counted(resctrl: Resctrl, bundle: Bundle, monitor: bool) -> None:
    with resctrl.runtime.running(wants(bundle, memBwSchema="MB:0=20", enableMonitoring=monitor)) as container:
        group = resctrl.root / container.id
        data = (group / "mon_groups" / container.id if monitor else group) / "mon_data"
        for number, cache in enumerate(("mon_L3_00", "mon_L3_01")):
            (data / cache).mkdir(parents=True)
            for name in ("mbm_total_bytes", "mbm_local_bytes", "llc_occupancy"):
                (data / cache / name).write_text(f"{1000 + number}\n" if name[0] == "m" else "Unavailable\n")
        result = resctrl.runtime.call("events", "--stats", container.id)
        shutil.rmtree(data)
        assert result.returncode == 0, result.stderr
        counted = [{"mbm_total_bytes": number, "mbm_local_bytes": number} for number in (1000, 1001)]
        assert json.loads(result.stdout)["data"]["intel_rdt"] == {
            "mem_bw_schema": "MB:0=20",
            "mbm_stats": counted,
            "cmt_stats": [{"llc_occupancy": 0}] * 2,
        }


def test_update(resctrl: Resctrl, bundle: Bundle) -> None:
    with resctrl.runtime.running(wants(bundle, memBwSchema="MB:0=20")) as container:
        schemas = ("--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=30")
        result = resctrl.runtime.call("update", *schemas, container.id)
        assert result.returncode == 0, result.stderr
        assert words(resctrl.root / container.id / "schemata") == ["MB:0=20", "L3:0=f", "MB:0=30"]


def test_update_of_a_container_without_a_group(runtime: Runtime, bundle: Bundle) -> None:
    """It is refused before a limit is changed."""
    limits = bundle.path / "limits.json"
    limits.write_text('{"unified": {"cgroup.max.depth": "7"}}')
    with runtime.created(bundle) as container:
        options = ("--resources", limits, "--mem-bw-schema", "MB:0=30")
        error_text(runtime.call("update", *options, container.id), "no resctrl group")
        cgroup = CGROUP_ROOT / bundle.linux["cgroupsPath"].lstrip("/")
        assert (cgroup / "cgroup.max.depth").read_text() == "max\n"


@pytest.mark.parametrize("keys", [{"enableMonitoring": True}, {"closID": "mine", "memBwSchema": "MB:0=20"}])
def test_failed_create_leaves_no_group(resctrl: Resctrl, bundle: Bundle, keys: dict[str, Any]) -> None:
    wants(bundle, **keys).hook("createRuntime", "exit 3")
    resctrl.runtime.create_fails(bundle)
    assert resctrl.groups == set()


def test_create_that_was_killed_leaves_groups_that_delete_finds(resctrl: Resctrl, bundle: Bundle) -> None:
    wants(bundle, enableMonitoring=True).hook("createRuntime", "kill -9 $PPID")
    container_id = new_id()
    assert resctrl.runtime.create(bundle, container_id).returncode == -9
    assert resctrl.groups == {container_id}
    assert resctrl.runtime.delete(container_id, "--force").returncode == 0
    assert resctrl.groups == set()


def test_group_of_the_containers_name_that_is_somebody_elses(resctrl: Resctrl, bundle: Bundle) -> None:
    container_id = new_id()
    resctrl.group(container_id)
    error_text(resctrl.runtime.create(wants(bundle), container_id), "already exists")
    assert resctrl.groups == {container_id}


@pytest.mark.parametrize("keys", [{}, {"closID": "late", "memBwSchema": "MB:0=20"}])
def test_group_of_somebody_else_that_comes_after_the_check(
    resctrl: Resctrl, bundle: Bundle, keys: dict[str, Any]
) -> None:
    """Neither the failed create nor delete removes it; with another schema it is not joined."""
    resctrl.insert(ANOTHER_COMES)
    container_id = new_id()
    reason = "a different schema" if keys else "already exists"
    error_text(resctrl.runtime.create(wants(bundle, **keys), container_id), reason)
    assert resctrl.runtime.delete(container_id, "--force").returncode == 0
    assert resctrl.groups == {"late" if keys else container_id}


@pytest.mark.parametrize("used", [False, True])
def test_create_that_was_killed_at_mkdir(resctrl: Resctrl, bundle: Bundle, *, used: bool) -> None:
    """Whose the group is that is there now is not known: it stays if it has processes."""
    resctrl.insert(KILLED_AT_MKDIR)
    container_id = new_id()
    assert resctrl.runtime.create(wants(bundle), container_id).returncode == -9
    group = resctrl.group(container_id)
    if used:
        (group / "tasks").write_text("1\n")
    assert resctrl.runtime.delete(container_id, "--force").returncode == 0
    assert resctrl.groups == ({container_id} if used else set())


def test_what_the_kernel_complains_of_is_said(resctrl: Resctrl, bundle: Bundle) -> None:
    (resctrl.root / "info").mkdir()
    (resctrl.root / "info/last_cmd_status").write_text("tasks cannot be moved\n")
    os.remove(resctrl.group("guaranteed") / "tasks")
    resctrl.runtime.create_fails(wants(bundle, closID="guaranteed"), "resctrl says `tasks cannot be moved`")


def test_without_resctrl_it_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    mounted = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - resctrl " in line]
    if mounted:
        pytest.skip("this machine has resctrl mounted")
    runtime.create_fails(wants(bundle), "resctrl, which is not mounted", "/linux/intelRdt")
