"""The life cycle: what status the facts mean, and which command each status allows (runtime.md, "Lifecycle")."""

import itertools

import pytest
from pyrunc import lifecycle
from pyrunc.errors import NotPermitted

STATUSES = ("creating", "created", "running", "paused", "stopped")
# Command -> a letter for each status: yes or no.
TABLE = {
    "start":           "nynnn",
    "kill":            "nyyyn",
    "delete":          "nynny",
    "delete --strict": "nnnny",
    "exec":            "nyynn",
    "pause":           "nyynn",
    "resume":          "nnnyn",
    "checkpoint":      "nnyyn",
    "update":          "nyyyn",
}  # fmt: skip
REFUSALS = {
    "start": "cannot start a container that is {}",
    "kill": "container not running",  # callers look for these words
    "delete": "cannot delete container `c1` that is not stopped but {}; use --force, or stop it first",
    "delete --strict": "cannot delete container `c1` that is not stopped but {}; stop it first",
    "exec": "cannot exec in a container that is {}",
    "pause": "cannot pause a container that is {}",
    "resume": "cannot resume a container that is {}",
    "checkpoint": "cannot checkpoint a container that is {}",
    "update": "cannot update a container that is {}",
}
# saved, alive, waiting, frozen -> status. A frozen container that was not started is paused, too.
FACTS = {
    (True, True, True, True): "paused",
    (True, True, True, False): "created",
    (True, True, False, True): "paused",
    (True, True, False, False): "running",
    **dict.fromkeys(itertools.product([True], [False], [True, False], [True, False]), "stopped"),
    **dict.fromkeys(itertools.product([False], [True, False], [True, False], [True, False]), "creating"),
}


def test_the_tables_are_complete() -> None:
    assert list(TABLE) == list(REFUSALS) == list(lifecycle._ALLOWED)
    assert set(FACTS) == set(itertools.product([True, False], repeat=4))
    assert set(FACTS.values()) == set(STATUSES)


@pytest.mark.parametrize("command", TABLE)
@pytest.mark.parametrize("status", STATUSES)
def test_what_a_status_allows(command: str, status: str) -> None:
    if TABLE[command][STATUSES.index(status)] == "y":
        lifecycle.require(command, status, "c1")
        return
    with pytest.raises(NotPermitted) as caught:
        lifecycle.require(command, status, "c1")
    assert str(caught.value) == REFUSALS[command].format(status)


@pytest.mark.parametrize("facts", FACTS)
def test_what_the_facts_mean(facts: tuple[bool, bool, bool, bool]) -> None:
    saved, alive, waiting, frozen = facts
    assert lifecycle.derive(saved=saved, alive=alive, waiting=waiting, frozen=frozen) == FACTS[facts]
