"""Numbers in texts of others: digits that are not ASCII, or too many of them, are no numbers and no internal errors."""

from pathlib import Path

import pytest
from pyrunc.errors import UsageError
from pyrunc.kernel.ids import subordinate
from pyrunc.kernel.process import signals
from pyrunc.wings import resctrl
from pyrunc.wings.control import update

NONE = ["\u00b2", "1\u00b2", "\u0663", "9" * 5000, "1_0", " 1", "", "+-1"]


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize("before", ["", "RTMIN+", "SIGRTMAX-"])
def test_signal(text: str, before: str) -> None:
    with pytest.raises(UsageError, match="unknown signal"):
        signals.number(before + text)


@pytest.mark.parametrize("text", NONE)
def test_limit_of_update(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        update._number("pids-limit", text)
    assert "expected an integer" in caught.value.message


@pytest.mark.parametrize("text", NONE[:5])
def test_line_of_subuid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(f"a:{text}:10\na:10:{text}\na:5:6\n")
    assert [(grant.first, grant.count) for grant in subordinate.lines(str(file))] == [(5, 6)]


@pytest.mark.parametrize("text", NONE[:2])
def test_counter_of_resctrl(text: str, tmp_path: Path) -> None:
    file = tmp_path / "llc_occupancy"
    file.write_text(text)
    assert resctrl._counter(str(file)) == 0
