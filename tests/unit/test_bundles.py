"""The bundles that we ship: the examples are valid, the broken ones give exactly the message beside them."""

import os
from pathlib import Path

import pytest
from pyrunc import bundle, jsontext
from pyrunc.errors import PyruncError
from pyrunc.spec.config import parse_config
from pyrunc.wings.documents import schema

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
EXAMPLES = sorted(path.parent for path in BUNDLES.glob("*/config.json"))
BROKEN = sorted(path.parent for path in BUNDLES.glob("broken/*/config.json"))


def name(directory: Path) -> str:
    """A test's id."""
    return directory.name


def parse(directory: Path):
    """The bundle's config as `create` reads it."""
    return parse_config(bundle.parse(bundle.read_config(str(directory)), "config.json"))


def test_there_are_examples_and_broken_ones() -> None:
    assert {"hello", "shell", "hooks", "readonly", "userns"} <= {path.name for path in EXAMPLES}
    assert len(BROKEN) > 20


@pytest.mark.parametrize("directory", EXAMPLES, ids=name)
def test_an_example_is_valid_and_gives_no_warning(directory: Path) -> None:
    assert schema.report(jsontext.loads(bundle.read_config(str(directory)), "config.json")) == ([], [])
    assert parse(directory).warnings == []


@pytest.mark.parametrize("directory", EXAMPLES, ids=name)
def test_an_examples_mount_points_are_in_its_root(directory: Path) -> None:
    """An ordinary user could not make them: the checkout may belong to somebody else."""
    config = parse(directory)
    root = directory / config.root.path
    made = [mount.destination for mount in config.mounts if mount.type in ("tmpfs", "devpts")]
    for mount in config.mounts:
        if not any(mount.destination.startswith(f"{above}/") for above in made):
            assert (root / mount.destination.lstrip("/")).is_dir(), mount.destination


@pytest.mark.parametrize("directory", EXAMPLES, ids=name)
def test_an_examples_program_is_there(directory: Path) -> None:
    args = parse(directory).process.args
    assert args[0] == "sh"
    for script in args[1:]:
        assert os.path.isfile(directory / os.path.relpath(script, "/bundle"))


@pytest.mark.parametrize("directory", BROKEN, ids=name)
def test_a_broken_bundle_is_refused_with_its_message(directory: Path) -> None:
    with pytest.raises(PyruncError) as caught:
        parse(directory)
    assert str(caught.value) + "\n" == (directory / "expected").read_text()


@pytest.mark.parametrize("directory", BROKEN, ids=name)
def test_validate_reports_it_too(directory: Path) -> None:
    """At the same place; the words are the schema's where that is the one to refuse it."""
    with pytest.raises(PyruncError) as caught:
        parse(directory)
    try:
        errors, _ = schema.report(jsontext.loads(bundle.read_config(str(directory)), "config.json"))
    except PyruncError as not_json:
        errors = [not_json]
    assert caught.value.pointer in [error.pointer for error in errors]
