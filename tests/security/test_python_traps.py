"""Nothing of the caller's environment or of the image is ever imported or loaded by the runtime's interpreter."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyrunc
import pytest
from pyrunc.stages import exec_child, init

from tests.bundle import Bundle
from tests.peers import only_pyrunc
from tests.runtime import Runtime, caller_environment, new_id

pytestmark = only_pyrunc("is not written in Python")

MODULES = (
    "json os re argparse subprocess traceback encodings/__init__ encodings/utf_8 linecache errno enum posixpath site "
    "sitecustomize usercustomize pwd grp locale pyrunc/__init__ pyrunc/errors"
)


def lay_traps(directory: Path, marker: Path) -> None:
    """Write modules that betray their import by making the marker."""
    for name in MODULES.split():
        path = directory / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(marker)!r}, 'w').close()\n")


@pytest.fixture
def marker(area: Path) -> Path:
    """The file that a sprung trap on the host would make."""
    return area / "sprung"


def environments(trap: Path) -> dict[str, dict[str, str]]:
    """Variables by which Python's start-up can be turned aside."""
    return {
        "PYTHONPATH": {"PYTHONPATH": str(trap)},
        "PYTHONHOME": {"PYTHONHOME": str(trap)},
        "PYTHONSTARTUP": {"PYTHONSTARTUP": str(trap / "site.py"), "PYTHONINSPECT": "1"},
        "PYTHONUSERBASE": {"PYTHONUSERBASE": str(trap), "HOME": str(trap)},
        "PYTHONPLATLIBDIR": {"PYTHONPLATLIBDIR": str(trap), "PYTHONWARNINGS": "error", "PYTHONVERBOSE": "1"},
        "current directory": {},
    }


@pytest.mark.parametrize("name", environments(Path("/")))
def test_environment_and_current_directory(runtime: Runtime, bundle: Bundle, marker: Path, name: str) -> None:
    lay_traps(bundle.path, marker)  # podman and buildah call the runtime in the bundle's directory
    environment = caller_environment(**environments(bundle.path)[name])
    container_id = new_id()
    bundle.shell("exec sleep 1000").save(container_id)
    for command in (
        ["--version"],
        ["features"],
        ["create", container_id],
        ["start", container_id],
        ["state", container_id],
        ["list"],
        ["kill", container_id, "KILL"],
        ["delete", "--force", container_id],
        ["create", "--bundle", "/no/such/bundle", new_id()],
        ["nonsense"],
    ):
        result = runtime.call(*command, cwd=bundle.path, env=environment)
        assert "import" not in result.stderr
        assert (result.returncode == 0) is (command[0] != "nonsense" and "/no/such/bundle" not in command)
    assert not marker.exists()


PYTHON_PATHS = ("usr/lib/python3", "usr/lib/python3.11", "usr/lib/python3/dist-packages", "usr/lib/pyrunc", "")


@pytest.mark.parametrize("failure", ["none", "missing program", "missing cwd", "startContainer hook"])
def test_image_full_of_traps(runtime: Runtime, bundle: Bundle, failure: str) -> None:
    for directory in PYTHON_PATHS:
        lay_traps(bundle.rootfs / directory, Path("/sprung"))
    (bundle.rootfs / "etc/ld.so.preload").write_text("/lib/trap.so\n")
    (bundle.rootfs / "etc/nsswitch.conf").write_text("passwd: trap\ngroup: trap\n")
    bundle.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [7]}
    if failure == "missing program":
        bundle.process["args"] = ["no-such-program"]
    elif failure == "missing cwd":
        bundle.process["cwd"] = "/etc/passwd"
    elif failure == "startContainer hook":
        bundle.hook("startContainer", "exit 1")
    result = runtime.run(bundle)
    assert (result.returncode == 0) is (failure == "none")
    assert not (bundle.rootfs / "sprung").exists()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kinds", [["mount"], ["mount", "pid"]])
def test_mount_namespace_full_of_traps(runtime: Runtime, make_bundle: Callable[[], Bundle], kinds: list[str]) -> None:
    """Who joins a container's mount namespace sees its files in place of the host's."""
    package = Path(pyrunc.__file__).parent
    attacker, victim = make_bundle().shell("exec sleep 1000"), make_bundle()
    for module in package.rglob("*.py"):
        trap = attacker.rootfs / module.relative_to("/")
        trap.parent.mkdir(parents=True, exist_ok=True)
        trap.write_text("open('/sprung', 'w').close()\n")
    shutil.copytree(victim.rootfs, attacker.rootfs / "victim", symlinks=True)
    victim.config["root"]["path"] = "/victim"
    victim.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    victim.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    victim.mount("/tmp", "tmpfs", "tmpcopyup", fstype="tmpfs").hook("startContainer", "true")
    with runtime.running(attacker) as container:
        for kind in kinds:
            victim.namespace(kind, f"/proc/{container.pid}/ns/{'mnt' if kind == 'mount' else kind}")
        result = runtime.run(victim)
        assert result.returncode == 0, result.stderr
    assert not (attacker.rootfs / "sprung").exists()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("program", ["true", "no-such-program"])
def test_no_code_is_opened_after_the_root_has_changed(
    runtime: Runtime, bundle: Bundle, area: Path, program: str
) -> None:
    bundle.process["args"] = [program]
    container_id = new_id()
    bundle.save(container_id)
    argv = runtime.argv("run", "--bundle", bundle.path, container_id)
    trace = area / "trace"
    calls = "trace=openat,openat2,open,pivot_root,chroot"
    subprocess.run(["strace", "-ff", "-o", trace, "-e", calls, *argv], check=False, timeout=120, stderr=-3)
    changed = [path for path in area.glob("trace.*") if "pivot_root(" in path.read_text()]
    assert changed
    for path in changed:
        after = path.read_text().partition("pivot_root(")[2]
        assert not re.search(r"\"[^\"]*(\.py|\.pyc|\.so|\.so\.\d+|ld\.so\.\w+|nsswitch\.conf)\"", after), after


def set_up(plan: SimpleNamespace) -> None:
    init.load_what_is_needed(plan, plan)  # type: ignore[arg-type]  # what it looks at of a plan


def join(plan: SimpleNamespace) -> None:
    exec_child._prepare(plan, plan)  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize("prepare", [set_up, join])
def test_nothing_can_be_imported_where_the_image_is_the_root(
    prepare: Callable[[SimpleNamespace], None], tmp_path: Path
) -> None:
    """Whoever writes an import there has to be told: a name that is found would be the image's."""
    (tmp_path / "trap.py").write_text("")
    process = SimpleNamespace(terminal=False, oom_score_adj=None)
    hooks = SimpleNamespace(create_container=(), start_container=())
    plan = SimpleNamespace(
        attributes=(), filter=None, final_cpus=(), hooks=hooks, mounts=(), process=process, sysctl=()
    )
    if (child := os.fork()) == 0:
        found = 2
        try:
            warnings.simplefilter("ignore")  # Python says that nothing can be found any more
            prepare(plan)
            sys.path.append(str(tmp_path))
            import trap  # type: ignore[import-not-found]  # noqa: F401  (it is the trap)
        except ModuleNotFoundError:
            found = 0
        finally:
            os._exit(found)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
