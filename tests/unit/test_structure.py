"""The house as docs/architecture.md shows it: the picture is today's, and the core stays small enough to be read."""

from tests import structure

# An evening's reading. What comes into the core beyond it has to go into a wing, or something else has to go.
CORE_LINES = 10_060


def test_the_picture_is_of_today() -> None:
    assert structure.PICTURE.read_text() == structure.draw(), "run `python -m tests.structure`"


def test_every_module_of_the_core_has_a_room() -> None:
    names = {structure.name(path) for path in structure.MODULES}
    assert {name for name in names if not structure.room(name)} == {"__init__"}


def test_the_core_does_not_grow() -> None:
    assert structure.core_lines() <= CORE_LINES


def test_arrows_that_others_say_already() -> None:
    assert structure.necessary({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}
    assert structure.necessary({("a", "b"), ("a", "c")}) == {("a", "b"), ("a", "c")}
