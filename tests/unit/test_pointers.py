"""Modules of the kernel and of cgroups know no configuration: an error gets its JSON pointer from the plan."""

import ast
import re
from pathlib import Path

import pytest
from pyrunc.errors import ConfigError, PyruncError, within

SOURCES = Path(__file__).resolve().parents[2] / "runtime/pyrunc"
POINTER = re.compile(r"/(process|linux|mounts|root|hooks|annotations|hostname|domainname)(/|$)")


@pytest.mark.parametrize("pattern", [
    "kernel/**/*.py", "cgroup/*.py", "wings/seccomp/*.py", "wings/systemd/*.py", "wings/resctrl.py",
    "wings/netdevices.py",
])  # fmt: skip
def test_no_pointer_of_a_config_is_written_there(pattern: str) -> None:
    files = sorted(SOURCES.glob(pattern))
    assert files
    assert [
        (path.name, node.value)
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and POINTER.match(node.value)
    ] == []


def test_the_place_of_an_error_is_put_before_what_it_points_into() -> None:
    with pytest.raises(ConfigError) as caught, within("/linux/seccomp"):
        raise ConfigError("it is too large", pointer="/syscalls/0")
    assert caught.value.pointer == "/linux/seccomp/syscalls/0"
    with pytest.raises(PyruncError) as caught, within("/root"), within("/path"):
        raise PyruncError("it is gone")
    assert caught.value.pointer == "/root/path"


def test_other_errors_have_no_place() -> None:
    with pytest.raises(OSError, match="no") as caught, within("/linux"):
        raise OSError("no")
    assert not hasattr(caught.value, "pointer")


def test_an_error_can_be_about_another_document() -> None:
    error = PyruncError("it is too large", pointer="/linux/resources/cpu").about("/cpu", "limits.json")
    assert str(error) == "it is too large (limits.json: /cpu)"
