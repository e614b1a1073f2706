"""Single system calls that fail, where to pass over it would make another container than was asked for."""

import re
import shutil
from errno import EMFILE, EPERM
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.bundle import Bundle
from tests.faults.calls import Call, Striker
from tests.peers import only_pyrunc
from tests.runtime import Runtime, new_id
from tests.waiting import eventually

pytestmark = [
    only_pyrunc("makes other system calls"),
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler"),
]
INIT = 1


@pytest.fixture(scope="module")
def striker(tmp_path_factory: pytest.TempPathFactory) -> Striker:
    """What lets a system call fail."""
    return Striker(tmp_path_factory.mktemp("striker"))


def calls_of_init(runtime: Runtime, bundle: Bundle, striker: Striker) -> list[Call]:
    """What the container's first process does until create has come to its end."""
    for _ in range(2):  # the first one fills caches
        container_id = new_id()
        assert create(runtime, bundle, striker.words(0, 0, "list"), container_id, bundle.path / "output") == 0
        assert runtime.delete(container_id, "--force").returncode == 0
    return [call for call in striker.calls() if call.process == INIT]


def create(runtime: Runtime, bundle: Bundle, words: list[str], container_id: str, output: Path) -> int:
    """The status of a create behind these words; what the container says goes to `output`."""
    with output.open("wb") as stdout:
        return runtime.behind(*words).create(bundle, container_id, stdout=stdout, stderr=stdout).returncode


def test_root_of_the_host_does_not_evade_a_security_module(runtime: Runtime, bundle: Bundle, striker: Striker) -> None:
    """To an ordinary user the kernel forbids a new sysfs, and the host's stands in; to root only a module does."""
    opened = [call for call in calls_of_init(runtime, bundle, striker) if call.name == "fsopen"]
    assert {"sysfs", "proc", "mqueue"} <= {call.path for call in opened}
    for call in opened:
        said = bundle.path / "said"
        words = striker.words(INIT, call.number, f"error={EPERM}")
        assert create(runtime, bundle, words, new_id(), said) == 1, call
        assert "`/" in said.read_text()
        assert re.search(r"`: Operation not permitted( \(config.json: /.*\))?\n$", said.read_text())


def test_a_capability_that_cannot_be_asked_about_is_not_left_out(
    runtime: Runtime, bundle: Bundle, striker: Striker
) -> None:
    bundle.shell("grep Cap /proc/self/status; sleep 0")
    asked = [call for call in calls_of_init(runtime, bundle, striker) if call.name == "prctl"]
    with runtime.created(bundle) as container:
        wanted = container.finish()
    assert "CapBnd" in wanted
    outcomes = set()
    for call in asked[::5]:
        container_id, output = new_id(), bundle.path / "output"
        status = create(runtime, bundle, striker.words(INIT, call.number, f"error={EPERM}"), container_id, output)
        outcomes.add(status)
        if status == 0:
            assert runtime.start(container_id).returncode == 0
            eventually(lambda name=container_id: '"stopped"' in runtime.state(name).stdout, "the container's end")
            assert output.read_text() == wanted
            assert runtime.delete(container_id).returncode == 0
    assert 1 in outcomes


def test_home_is_not_lost_for_want_of_descriptors(runtime: Runtime, bundle: Bundle, striker: Striker) -> None:
    opened = [call for call in calls_of_init(runtime, bundle, striker) if call.path.endswith("etc/passwd")]
    assert opened
    for call in opened:
        said = bundle.path / "said"
        assert create(runtime, bundle, striker.words(INIT, call.number, f"error={EMFILE}"), new_id(), said) == 1
        assert "`/etc/passwd`: Too many open files" in said.read_text()


def test_created_container_is_not_taken_for_running(runtime: Runtime, bundle: Bundle, striker: Striker) -> None:
    with runtime.created(bundle) as container:
        said = bundle.path / "said"

        def state(*words: str) -> int:
            with said.open("wb") as file:
                return runtime.behind(*words).call("state", container.id, stdout=file, stderr=file).returncode

        assert state(*striker.words(0, 0, "list")) == 0
        fifos = [call for call in striker.calls() if call.path.endswith("exec.fifo")]
        assert len(fifos) == 1
        assert state(*striker.words(0, fifos[0].number, f"error={EMFILE}")) == 1
        assert "exec.fifo`: Too many open files" in said.read_text()


def test_a_signal_beside_the_pid_file_leaves_none(runtime: Runtime, bundle: Bundle, striker: Striker) -> None:
    said, pid_file = bundle.path / "said", bundle.path / "pid"

    def status(*words: str) -> int:
        container_id = new_id()
        bundle.save(container_id)
        with said.open("wb") as file:
            result = runtime.behind(*words).call(
                "create", "--bundle", bundle.path, "--pid-file", pid_file, container_id, stdout=file, stderr=file
            )
        assert runtime.delete(container_id, "--force").returncode == 0
        return result.returncode

    for _ in range(2):  # the first one fills caches
        pid_file.unlink(missing_ok=True)
        assert status(*striker.words(0, 0, "list")) == 0
    ours = [call for call in striker.calls() if call.process == 0]
    linked = next(i for i, call in enumerate(ours) if call.name == "linkat")
    for call in ours[linked - 2 : linked + 2]:
        pid_file.unlink(missing_ok=True)
        assert status(*striker.words(0, call.number, f"signal={SIGTERM:d}")) == 128 + SIGTERM, call
        assert not pid_file.exists(), call
