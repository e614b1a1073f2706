"""create with ever fewer descriptors: it succeeds, or nothing is left, in spite of what undoing takes itself."""

from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.peers import differs
from tests.privatehost import CGROUP_PARENT, CGROUP_ROOT
from tests.runtime import Runtime, error_text, new_id, runtime_name

FEWEST = 5 if runtime_name() == "pyrunc" else 12  # below, the interpreter (runc: Go's runtime) does not start


@differs(crun="1.8.1 leaves the state directory and the cgroup", runc="1.1.5 leaves its init process")
@pytest.mark.parametrize("kind", ["plain", "user namespace", "no mount namespace"])
def test_create_with_few_descriptors(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    bundle.process["rlimits"] = []  # more would be refused
    if kind == "user namespace":
        bundle.user_namespace()
    elif kind == "no mount namespace":
        bundle.share("mount").drop_mounts("/dev/mqueue", "/sys", "/sys/fs/cgroup")
        del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
    outcomes = []
    for most in range(FEWEST, 36):
        container_id = new_id()
        limited = runtime.behind("sh", "-c", f'ulimit -n {most}; exec "$@"', "sh")
        bundle.linux.pop("cgroupsPath", None)  # a new one, named after the id
        result = limited.create(bundle, container_id)
        outcomes.append(result.returncode)
        if result.returncode == 0:
            assert runtime.delete(container_id, "--force").returncode == 0
        else:
            error_text(result, "too many open files")
        assert not (runtime.root / container_id).exists(), f"{most}: {result.stderr}"
        assert not list(runtime.root.glob(".deleted*")), most
        assert not Path(f"{CGROUP_ROOT}{CGROUP_PARENT}/{container_id}").exists(), f"{most}: {result.stderr}"
    assert (outcomes[0], outcomes[-1]) == (1, 0)
