"""The model of a container's life: what commands at the same time may come to, and what they may not."""

import pytest

from tests.lifemodel import DONE, KILLED, REFUSED, Command, after


@pytest.mark.parametrize(
    ("before", "commands", "possible"),
    [
        ("none", ["create done"], {"created"}),
        ("none", ["create refused"], set()),
        ("none", ["create done", "create refused"], {"created"}),
        ("none", ["create done", "create done"], set()),
        ("none", ["create done", "delete --force done", "create done"], {"created"}),
        ("none", ["create killed"], {"none", "half", "created"}),
        ("none", ["create refused", "delete --force done"], {"none"}),
        ("none", ["create done", "start done"], {"running"}),
        ("none", ["create done", "start refused"], {"created"}),
        ("created", ["start done", "start done"], set()),
        ("created", ["start refused", "kill done"], {"stopped"}),
        ("created", ["start killed"], {"created", "running"}),
        ("created", ["pause done", "start refused"], {"held"}),
        ("created", ["pause done", "start done"], {"paused"}),
        ("running", ["exec refused"], set()),
        ("running", ["exec refused", "pause done"], {"paused"}),
        ("running", ["kill done", "kill done"], set()),
        ("running", ["delete done"], set()),
        ("running", ["delete --force refused"], set()),
        ("running", ["delete --force killed"], {"running", "stopped", "half", "none"}),
        ("paused", ["resume done", "exec done"], {"running"}),
        ("paused", ["kill done", "resume refused"], {"stopped"}),
        ("stopped", ["delete done", "create done"], {"created"}),
        ("half", ["start done"], set()),
    ],
)  # fmt: skip
def test_after(before: str, commands: list[str], possible: set[str]) -> None:
    ends = [Command(*command.rsplit(" ", 1)) for command in commands]
    assert {command.end for command in ends} <= {DONE, REFUSED, KILLED}
    assert after({before}, ends) == possible
