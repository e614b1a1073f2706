"""A child that fails when its parent is gone ends there: in the parent's code it would undo what others have made."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from pyrunc.stages import exec_child, init, middle
from pyrunc.stages.channel import pair

STAGES: dict[str, Callable[[Any], None]] = {
    "init": lambda channel: init.run(None, None, channel, None),
    "middle": lambda channel: middle.run(None, None, channel, None),
    "exec_child": lambda channel: exec_child.run(None, None, None, channel, -1),
}
CAME_BACK = 99


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_passes_into_the_parents_code(stage: str) -> None:
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            STAGES[stage](theirs)  # there is no plan, so that it fails, and nobody to be told
        finally:
            os._exit(CAME_BACK)
    ours.close()
    theirs.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
