"""The life of a container as a table, and what commands on it at the same time may come to.

Commands that run at once must come out as in some order, one after another. Where a command may fail only because
another was at work, `DISTURBS` says so. A command that was killed has done its work, or not, or some of it (`_CUT`).
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

# "held": paused before it was started. "half": of a create that was killed.
NONE, HALF, CREATED, HELD, RUNNING, PAUSED, STOPPED = "none", "half", "created", "held", "running", "paused", "stopped"
SEEN_AS = {  # what `state` says, and what it may be
    "creating": {HALF},
    "created": {CREATED},
    "running": {RUNNING},
    "paused": {HELD, PAUSED},
    "stopped": {STOPPED, HALF},
}
DONE, REFUSED, KILLED = "done", "refused", "killed"
_ANY = (NONE, HALF, CREATED, HELD, RUNNING, PAUSED, STOPPED)

# command -> state -> the next one; in a state that is not named the command is refused, and changes nothing
Table = dict[str, dict[str, str]]
TABLE: Table = {
    "create": {NONE: CREATED},
    "start": {CREATED: RUNNING},
    "kill": dict.fromkeys((CREATED, HELD, RUNNING, PAUSED), STOPPED),
    "pause": {CREATED: HELD, RUNNING: PAUSED},
    "resume": {HELD: CREATED, PAUSED: RUNNING},
    "exec": {CREATED: CREATED, RUNNING: RUNNING},
    "delete": dict.fromkeys((HALF, CREATED, STOPPED), NONE),
    "delete --force": dict.fromkeys(_ANY, NONE),
}
# Beside which others a command may fail although the container was, at every moment, in a state that takes it.
_ENDINGS = {"kill", "delete", "delete --force"}
DISTURBS = {
    "create": {"delete", "delete --force"},
    "start": _ENDINGS,
    "exec": _ENDINGS | {"pause"},
    "pause": _ENDINGS,
    "resume": _ENDINGS,
}
# What a command that is cut off may leave, but for what it found and what it makes.
_CUT = {
    "create": {NONE: {HALF}},
    "delete": {state: {STOPPED, HALF} for state in (HALF, CREATED, STOPPED)},
    "delete --force": {state: {STOPPED, HALF} for state in _ANY if state != NONE},
}


class Command(NamedTuple):
    """A command on a container, and how it ended: DONE, REFUSED or KILLED."""

    name: str
    end: str


def after(states: set[str], commands: Sequence[Command], table: Table = TABLE) -> set[str]:
    """In which states the container may be after these commands at once; empty if they cannot have ended so."""
    names = [command.name for command in commands]
    found: set[str] = set()
    for order in itertools.permutations(range(len(commands))):
        now = states
        for number in order:
            others = {name for index, name in enumerate(names) if index != number}
            now = {state for before in now for state in _step(before, commands[number], others, table)}
        found |= now
    return found


def _step(state: str, command: Command, others: set[str], table: Table) -> set[str]:
    """The states after one command that ended in this way; none if it cannot have."""
    takes = table[command.name]
    if command.end == KILLED:
        return {state, takes.get(state, state)} | _CUT.get(command.name, {}).get(state, set())
    if command.end == DONE:
        return {takes[state]} if state in takes else set()
    return {state} if state not in takes or others & DISTURBS.get(command.name, set()) else set()
