"""What is downloaded and built, by root at times, is pinned: versions in the ranges of pyproject.toml, and hashes."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[2]
PACKAGING = TOP / "runtime/packaging"
GROUPS = ("build", "runtime", "test", "fuzz")
ENTRY = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.+!]+)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def locked(group: str) -> dict[str, str]:
    """Versions by name. The file must have nothing else than pinned requirements with hashes, so no index's address."""
    lines = (PACKAGING / f"requirements-{group}.txt").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if line.strip() and not line.startswith("#"))
    entries = list(ENTRY.finditer(text))
    assert "".join(match.group() for match in entries) == text
    return {canonicalize_name(match["name"]): match["version"] for match in entries}


def asked(group: str) -> list[Requirement]:
    """The requirements of pyproject.toml, for this interpreter."""
    command = [sys.executable, str(PACKAGING / "requirements.py"), group]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("group", GROUPS)
def test_lock_satisfies_the_ranges(group: str) -> None:
    versions = locked(group)
    for requirement in asked(group):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_groups_agree() -> None:
    """All of them are installed into one environment."""
    seen: dict[str, str] = {}
    for group in GROUPS:
        for name, version in locked(group).items():
            assert seen.setdefault(name, version) == version, name


@pytest.mark.parametrize("group", GROUPS)
def test_what_runs_here_is_what_is_locked(group: str) -> None:
    """`make build tools` installs the lock's versions, and what they need is locked as well."""
    if group == "fuzz" and importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is installed by `make fuzz`, where it has a wheel")
    versions = locked(group)
    for name, version in versions.items():
        assert metadata.version(name) == version
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in versions, f"{name} needs {needed}"


def test_every_group_is_locked() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert {"build", "runtime", *project["optional-dependencies"]} == set(GROUPS)
