"""conformance/MUSTS.md: every MUST of the specification for Linux has a place in the code, and tests that there are."""

import re
from pathlib import Path

import pytest

from tests import tables

ROWS = tables.rows(tables.TOP / "conformance/MUSTS.md")
SOURCES = {
    "runtime.md", "runtime-linux.md", "bundle.md", "config.md", "config-linux.md", "features.md", "features-linux.md",
}  # fmt: skip
PACKAGE = tables.TOP / "runtime/pyrunc"


def test_the_table_is_there() -> None:
    assert len(ROWS) > 140
    assert {row[0].partition(":")[0] for row in ROWS} == SOURCES


def test_ids_differ() -> None:
    ids = [row[0] for row in ROWS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row(row: list[str]) -> None:
    identity, sentence, places, shown = row
    assert re.fullmatch(r"[\w-]+\.md:\d+(-\d+)?", identity)
    assert sentence
    assert [name for name in places.split(", ") if not _module(name).exists()] == []
    tests = tables.names(shown)
    assert tests, "no test shows it"
    assert [name for name in tests if tables.missing(name)] == []


def _module(name: str) -> Path:
    return PACKAGE / f"{name.strip('`')}.py"
