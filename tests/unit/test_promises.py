"""SECURITY.md: each promise names a test that is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PROMISES = re.split(r"\n- ", (TOP / "SECURITY.md").read_text().split("## What we do about it")[1].split("\n## ")[0])[1:]


@pytest.mark.parametrize("promise", PROMISES, ids=[promise.split("**")[1] for promise in PROMISES])
def test_promise_names_its_tests(promise: str) -> None:
    named = re.findall(r"`((?:tests/\w+/)?test_\w+\.py|tests/fuzz/\w+)`", promise)
    assert named
    for name in named:
        assert (TOP / (name if "/" in name else f"tests/security/{name}")).exists(), name


def test_all_promises_are_seen() -> None:
    assert len(PROMISES) > 10
