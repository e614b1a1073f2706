"""The annotation `run.oci.delegate-cgroup`: processes in a cgroup of the container's, limits above it."""

from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.privatehost import CGROUP_ROOT
from tests.runtime import Container, Runtime

HOST = 100000  # what `Bundle.user_namespace` maps 0 to
RUNC = differs(runc="knows none of crun's annotations")


def delegating(bundle: Bundle, name: str = "payload") -> Bundle:
    bundle.config["annotations"] = {"run.oci.delegate-cgroup": name}
    return bundle


def above(container: Container) -> Path:
    """The cgroup that the config names."""
    return CGROUP_ROOT / str(container.bundle.linux["cgroupsPath"]).lstrip("/")


def processes(cgroup: Path) -> list[str]:
    return (cgroup / "cgroup.procs").read_text().split()


@RUNC
@pytest.mark.parametrize("name", ["payload", "a/b"])
def test_processes_are_below_and_limits_above(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.linux["resources"] = {"unified": {"cgroup.max.descendants": "77"}}
    with runtime.running(delegating(bundle, name).shell("exec sleep 1000")) as container:
        assert processes(above(container)) == []
        assert processes(above(container) / name) == [str(container.pid)]
        assert (above(container) / "cgroup.max.descendants").read_text() == "77\n"


@differs(runc="knows none of crun's annotations", crun="1.8.1 makes the namespace before it moves the process")
def test_it_is_the_root_of_the_cgroup_namespace(runtime: Runtime, bundle: Bundle) -> None:
    assert "0::/\n" in runtime.output(delegating(bundle), "cat /proc/self/cgroup")


@differs(runc="knows none of crun's annotations", crun="1.8.1 runs it in the cgroup above")
def test_exec_goes_there(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(delegating(bundle).shell("exec sleep 1000")) as container:
        result = runtime.call("exec", container.id, "cat", "/proc/self/cgroup")
        assert "0::/\n" in result.stdout, result.stderr


@differs(runc="knows none of crun's annotations", crun="1.8.1 gives the one above away, too")
def test_it_belongs_to_the_containers_root(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(delegating(bundle.user_namespace()).shell("exec sleep 1000")) as container:
        for path, owner in ((above(container), 0), (above(container) / "payload", HOST)):
            assert (path.stat().st_uid, (path / "cgroup.procs").stat().st_uid) == (owner, owner)


@differs(runc="knows none of crun's annotations", crun="1.8.1 leaves it to the host's root")
def test_without_a_root_it_belongs_to_the_containers_user(runtime: Runtime, bundle: Bundle) -> None:
    delegating(bundle.user_namespace().drop_mounts("/dev/pts")).process["user"] = {"uid": 1000, "gid": 1000}
    for key in ("uidMappings", "gidMappings"):
        bundle.linux[key][0]["containerID"] = 1000
    with runtime.running(bundle.shell("exec sleep 1000")) as container:
        assert (above(container) / "payload").stat().st_uid == HOST


@only_pyrunc("asked for the kernel's answers: peers have their own order of writing")
def test_pause_and_kill_reach_it(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.running(delegating(bundle).shell("exec sleep 1000")) as container:
        assert runtime.call("pause", container.id).returncode == 0
        assert container.status == "paused"
        assert runtime.call("ps", container.id).stdout.count("sleep") == 1
        assert runtime.delete(container.id, "--force").returncode == 0
        assert not above(container).exists()


@only_pyrunc("has no cgroup manager of this name, or ignores the annotation")
def test_without_a_cgroup_it_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    runtime.flags.append("--cgroup-manager=disabled")
    runtime.create_fails(delegating(bundle), "no cgroup can be delegated", "run.oci.delegate-cgroup")
