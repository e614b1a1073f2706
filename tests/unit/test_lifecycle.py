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
    "kill --all":      "nyyyy",
    "delete":          "nynny",
    "delete --strict": "nnnny",
    "exec":            "nyynn",
    "pause":           "nyynn",
    "resume":          "nnnyn",
    "checkpoint":      "nnyyn",
    "update":          "nyyyn",
}  # fmt: skip
# Scripts and engines look for runc's words.
REFUSALS = {
    "start": "cannot start a container in the {} state",
    "kill": "container not running",
    "kill --all": "container not running",
    "delete": "cannot delete container `c1` that is not stopped: {}; use --force, or stop it first",
    "delete --strict": "cannot delete container `c1` that is not stopped: {}; stop it first",
    "exec": "cannot exec in a {} container",
    "pause": "container not running: it is {}",
    "resume": "container not paused: it is {}",
    "checkpoint": "container not running: it is {}",
    "update": "container not running: it is {}",
}
PARTICULAR = {
    ("start", "running"): "cannot start an already running container",
    ("start", "stopped"): "cannot start a container that has stopped",
    ("exec", "paused"): "cannot exec in a paused container (use --ignore-paused to override)",
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
    assert caught.value.message == PARTICULAR.get((command, status), REFUSALS[command].format(status))
    assert caught.value.hint == (
        "`create` is still in progress; `delete --force` ends it" if status == "creating" else ""
    )


@pytest.mark.parametrize("facts", FACTS)
def test_what_the_facts_mean(facts: tuple[bool, bool, bool, bool]) -> None:
    saved, alive, waiting, frozen = facts
    assert lifecycle.derive(saved=saved, alive=alive, waiting=waiting, frozen=frozen) == FACTS[facts]
