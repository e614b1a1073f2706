"""How a container's process came to its program, by what pyrunc-init says to `start` and `exec`."""

import struct

import pytest
from pyrunc.errors import PyruncError
from pyrunc.stages.conversation import FAILURE, LISTENS, STARTED, Ending
from pyrunc.stages.step_report import NAME
from pyrunc.wings.seccomp import listener

TELLS = LISTENS + b" " + struct.pack("@N", 7)
FAILS = FAILURE + b" " + struct.pack("@4i", 3, 0, 2, 0) + b"open `x`\0"


def told(*pieces: bytes) -> "tuple[Ending, list[int | None]]":
    ending = Ending()
    return ending, [ending.take(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("pieces", "numbers"),
    [
        ((STARTED,), [None]),
        ((STARTED, TELLS), [None, 7]),
        ((STARTED + TELLS,), [7]),
        ((TELLS, STARTED), [7, None]),  # as with startContainer hooks, for which the filter holds
        ((STARTED[:3], STARTED[3:] + TELLS[:9], TELLS[9:]), [None, None, 7]),
    ],
)
def test_good_end(pieces: "tuple[bytes, ...]", numbers: "list[int | None]") -> None:
    ending, found = told(*pieces)
    assert found == numbers
    assert ending.error("it", None) is None
    assert ending.error("it", (b"sh", 9)) is None  # a short program, which has ended
    assert "killed" in str(ending.error("it", (NAME, 9)))  # not the program


@pytest.mark.parametrize("pieces", [(FAILS,), (STARTED, FAILS), (STARTED + FAILS,), (STARTED, TELLS, FAILS)])
def test_failure(pieces: "tuple[bytes, ...]") -> None:
    ending, _ = told(*pieces)
    assert ending.failed
    assert str(ending.error("it", None)) == "open `x`: No such file or directory"


@pytest.mark.parametrize(
    "pieces", [(), (TELLS,), (b"star",), (STARTED, STARTED), (STARTED, b"x"), (STARTED, TELLS[:9])]
)
def test_early_end(pieces: "tuple[bytes, ...]") -> None:
    ending, _ = told(*pieces)
    assert not ending.failed
    assert str(ending.error("it", None)) == "it was killed before it ran its program"


@pytest.mark.parametrize("message", [b"", b"started", LISTENS, LISTENS + bytes(8), b"x" * 16])
def test_what_tells_of_no_listener(message: bytes) -> None:
    assert Ending().take(message) is None


def test_a_failure_that_is_cut_off() -> None:
    ending, _ = told(FAILURE + b" x")
    assert "unexpected message" in str(ending.error("it", None))


@pytest.mark.parametrize("agent", [None, (), (None, "metadata")])
def test_a_listener_that_nobody_wants(agent) -> None:
    with pytest.raises(PyruncError, match="unexpected message"):
        listener.give_to_agent(agent, 1, 3, {})
