"""What `make soak` is made of: when a figure has grown, and which words of a command in a storm are no failure."""

import pytest

from tests.soak import gauges, work


@pytest.mark.parametrize(
    ("before", "after", "exact", "grows"),
    [
        ({"mounts": 7}, {"mounts": 7}, True, False),
        ({"mounts": 7}, {"mounts": 6}, True, False),
        ({"mounts": 7}, {"mounts": 8}, True, True),
        ({}, {"mounts": 1}, True, True),
        ({"slab pid": 500}, {"slab pid": 1800}, False, False),  # others work here, too
        ({"slab pid": 500}, {"slab pid": 10_500}, False, True),
        ({"bytes in slabs": 40 << 20}, {"bytes in slabs": 60 << 20}, False, False),
        ({"bytes in slabs": 40 << 20}, {"bytes in slabs": 90 << 20}, False, True),
    ],
)
def test_growth(before: gauges.Figures, after: gauges.Figures, *, exact: bool, grows: bool) -> None:
    assert bool(gauges.growth(before, after, 10_000, exact=exact)) == grows


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("", ""),
        ("create: container with id `x` already exists", ""),
        ("create: the container's cgroup is not empty", "create: the container's cgroup is not empty"),
    ],
)
def test_words_of_a_storm(monkeypatch: pytest.MonkeyPatch, said: str, failure: str) -> None:
    monkeypatch.setattr(work, "said", lambda *_: said)
    assert work.Storm("x")(None, type("Bundle", (), {"path": "/b"})()) == failure  # type: ignore[arg-type]  # not looked at
