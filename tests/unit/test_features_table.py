"""conformance/FEATURES.md: every row is done, and names tests that there are, or is refused with a reason."""

import re

import pytest

from tests import tables

ROWS = tables.rows(tables.TOP / "conformance/FEATURES.md")


def test_the_table_is_there() -> None:
    assert len(ROWS) > 180
    assert {len(row) for row in ROWS} == {3}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_row(row: list[str]) -> None:
    feature, answer, shown = row
    assert feature
    assert answer in ("done", "refused")
    tests = tables.names(shown)
    if answer == "done":
        assert tests, "no test shows it"
    else:
        assert re.search(r"\w+ \w+ \w+", shown), "there is no reason"
    assert [name for name in tests if tables.missing(name)] == []


def test_rows_differ() -> None:
    sections: dict[str, int] = {}
    for row in ROWS:
        sections[row[0]] = sections.get(row[0], 0) + 1
    assert [name for name, count in sections.items() if count > 2] == []


@pytest.mark.parametrize(
    "name", ["tests/unit/test_size.py::test_nothing", "tests/nowhere.py::test_x", "podman: no such check"]
)
def test_a_test_that_does_not_exist_is_seen(name: str) -> None:
    assert tables.names(f"`{name}`") == [name]
    assert tables.missing(name)
