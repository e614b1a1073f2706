"""SECURITY.md and CHANGELOG.md: each promise, and each hole that was closed, names a test that is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PROMISES = re.split(r"\n- ", (TOP / "SECURITY.md").read_text().split("## What we do about it")[1].split("\n## ")[0])[1:]


HOLES = re.findall(r"^\| (PYR-.*)$", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("text", [*PROMISES, *HOLES], ids=lambda text: text[:40])
def test_names_tests_that_are_there(text: str) -> None:
    named = re.findall(r"`((?:tests/\w+/)?test_\w+\.py|tests/fuzz/\w+)`", text)
    assert named
    for name in named:
        assert (TOP / (name if "/" in name else f"tests/security/{name}")).exists(), name


def test_all_are_seen() -> None:
    assert len(PROMISES) > 10
    assert len(HOLES) > 10
