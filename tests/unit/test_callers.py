"""What callers search in our lines, by their own expressions (docs/callers.md)."""

import json
import re
from collections.abc import Callable
from struct import pack

import pytest
from pyrunc import lifecycle
from pyrunc.container import Container
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import lsm
from pyrunc.log import Log
from pyrunc.stages.step_report import CHECK_CWD, EXEC, FIND, WRITE, error_of

from tests.messages import TABLE

EPERM, ENOENT, ENOEXEC, EACCES, EISDIR, EINVAL = 1, 2, 8, 13, 21, 22
# libpod/oci_util.go, getOCIRuntimeError, of podman 5: the first that finds something gives the kind of the error.
PODMAN = (
    ("permission denied", re.compile(r"(?i).*permission denied.*|.*operation not permitted.*")),
    ("not found", re.compile("(?i).*executable file not found in.*|.*no such file or directory.*|.*open executable.*")),
    ("security attribute", re.compile(r"`/proc/[a-z0-9-].+/attr.*`")),
)
# libpod/define/exec_codes.go, ExitCode: 127, in small letters.
PODMAN_127 = ("not found", "no such file")
# daemon/errors.go of moby: with these letters.
DOCKER = {126: ("permission denied",), 127: ("executable file not found", "no such file or directory")}


def podman(line: str) -> str:
    """The kind of error that podman takes a line for."""
    return next((kind for kind, words in PODMAN if words.search(line)), "")


def reported(kind: int, errno: int, label: str) -> PyruncError:
    """The error of a step that pyrunc-init reports."""
    return error_of(pack("@4i", 3, kind, errno, 0) + label.encode() + b"\0")


@pytest.mark.parametrize(("error", "kind"), [
    (reported(FIND, ENOENT, "sh"), "not found"),
    (reported(FIND, ENOENT, "/bin/sh"), "not found"),
    (reported(FIND, EACCES, "/bin/sh"), "permission denied"),
    (reported(FIND, EISDIR, "/etc"), "permission denied"),
    (reported(EXEC, ENOENT, "exec /run.sh"), "not found"),
    (reported(EXEC, EACCES, "exec /run.sh"), "permission denied"),
    (reported(EXEC, ENOEXEC, "exec /run.sh"), ""),
    (reported(CHECK_CWD, 0, "/x"), ""),
    (PyruncError("chdir to `/x`", errno=ENOENT, pointer="/process/cwd"), "not found"),
    (PyruncError("mount `a` to `/b`", errno=EPERM, pointer="/mounts/0", hint="`c`"), "permission denied"),
    (reported(WRITE, EINVAL, lsm.Attribute("attr/exec", b"label").describe()), "security attribute"),
])  # fmt: skip
def test_kinds_of_errors_for_podman(error: PyruncError, kind: str) -> None:
    assert podman(f"pyrunc: {error}\n") == kind


def test_docker_tells_a_program_that_cannot_run_by_its_letters() -> None:
    for errno, status in ((ENOENT, 127), (EACCES, 126)):
        for record in (reported(FIND, errno, "/run.sh"), reported(EXEC, errno, "exec /run.sh")):
            assert any(words in str(record) for words in DOCKER[status])
    assert "executable file" in str(reported(FIND, ENOENT, "sh"))


def test_an_attribute_is_told_by_the_end_of_what_podman_finds() -> None:
    """The expression runs up to the last back quote of the line, and podman looks at what stands before it."""
    for path in ("attr/exec", "attr/apparmor/exec"):
        line = str(reported(WRITE, EINVAL, lsm.Attribute(path, b"label").describe()))
        found = PODMAN[2][1].search(line)
        assert found is not None
        assert found[0].endswith("/exec`")


def test_no_text_has_words_by_which_callers_classify() -> None:
    """But what the kernel says, and what is said where a program is not found."""
    words = [*PODMAN_127, *(word for status in DOCKER.values() for word in status), "operation not permitted"]
    found = [
        (module, line.strip())
        for paragraph in TABLE.read_text().split("\n\n")
        for module, *lines in [paragraph.split("\n")]
        for line in lines
        if podman(line) or any(word in line.lower() for word in words)
    ]
    assert found == [
        ("errors.py", "Operation not permitted"),
        ("errors.py", "No such file or directory"),
        ("errors.py", "Permission denied"),
        ("kernel/library.py", "No such file"),  # looked for in the loader's words
        ("stages/step_report.py", "executable file `{name}` not found in $PATH"),
        ("stages/step_report.py", "open executable `{name}`"),
    ]


def raised(call: Callable[[], object]) -> str:
    with pytest.raises(PyruncError) as caught:
        call()
    return str(caught.value)


def test_a_container_that_is_gone_for_podman_and_containerd(tmp_path) -> None:
    assert "does not exist" in raised(lambda: Container.open(str(tmp_path), "box"))
    assert "container not running" in raised(lambda: lifecycle.require("kill", "stopped", "box"))
    assert "container not running" in raised(lambda: lifecycle.require("pause", "stopped", "box"))
    assert raised(lambda: lifecycle.require("exec", "paused", "box")).startswith("cannot exec in a paused container")
    assert "container not paused" in raised(lambda: lifecycle.require("resume", "running", "box"))


def test_the_log_is_one_object_for_podman_and_its_last_line_for_containerd(tmp_path) -> None:
    """podman: json.Unmarshal of the whole file; containerd's shim: `msg` of the last line whose level is `error`."""
    path = tmp_path / "log"
    log = Log(str(path), "json")
    log.error(str(PyruncError("chdir to `/x`", errno=ENOENT, pointer="/process/cwd")))
    log.flush()
    said = json.loads(path.read_text())
    assert set(said) >= {"level", "msg", "time"}
    assert said["level"] == "error"
    assert podman(said["msg"]) == "not found"
