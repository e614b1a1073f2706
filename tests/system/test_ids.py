"""Which container ids are accepted; a refused id leaves nothing anywhere."""

import pytest

from tests.bundle import Bundle
from tests.peers import differs, only_pyrunc
from tests.privatehost import ID_PREFIX
from tests.runtime import Runtime, error_text


@pytest.mark.parametrize("suffix", ["a", "a+b-c_d.e", "A" * 64, "0", "_x", "+x", "x."])
def test_good_id(runtime: Runtime, bundle: Bundle, suffix: str) -> None:
    assert runtime.run(bundle, container_id=ID_PREFIX + suffix).returncode == 0


BAD = [".", "..", "a/b", "../x", "/x", "é", "a b", "a\n", "a:b", "a\\b", "\x1b[31m", "a*"]
COMMA = pytest.param("a,b", marks=differs(runc="its pattern [\\w+-\\.] lets a comma in"))


@pytest.mark.parametrize("container_id", [*BAD, COMMA])
@differs(crun="1.8.1 refuses only names that the kernel refuses")
def test_bad_id(runtime: Runtime, bundle: Bundle, container_id: str) -> None:
    bundle.save("x")
    message = error_text(runtime.call("create", "--bundle", bundle.path, container_id), "container id")
    assert "\x1b" not in message


@pytest.mark.parametrize("container_id", ["", "-x", "--root"])
def test_id_that_looks_like_an_option(runtime: Runtime, bundle: Bundle, container_id: str) -> None:
    bundle.save("x")
    assert runtime.call("create", "--bundle", bundle.path, container_id).returncode != 0


@pytest.mark.parametrize("command", ["start", "state", "kill", "delete", "delete --force"])
@pytest.mark.parametrize("container_id", ["..", "../x", "a/b", "/no/such"])
@differs(crun="takes any name and looks for its file", runc="1.1.5 deletes by force without looking at the name")
def test_bad_id_in_the_other_commands(runtime: Runtime, command: str, container_id: str) -> None:
    outside = runtime.root.parent / "x"
    outside.mkdir()
    runtime.root.mkdir()
    error_text(runtime.call(*command.split(), container_id))
    assert outside.is_dir()


@pytest.mark.parametrize("length, good", [(64, True), (128, True), (300, False), (1025, False)])
def test_length(runtime: Runtime, bundle: Bundle, length: int, good: bool) -> None:
    result = runtime.run(bundle, container_id=ID_PREFIX.ljust(length, "x"))
    assert (result.returncode == 0) is good, result.stderr
    if not good:
        error_text(result)


@only_pyrunc("have other limits")
@pytest.mark.parametrize("length, good", [(229, True), (230, False)])
def test_longest(runtime: Runtime, bundle: Bundle, length: int, good: bool) -> None:
    """There must be room for the words that a directory on its way out is renamed with."""
    result = runtime.run(bundle, container_id=ID_PREFIX.ljust(length, "x"))
    assert (result.returncode == 0) is good, result.stderr
    if not good:
        error_text(result, "invalid container id", "229")
