"""The file that --pid-file names."""

import os
from pathlib import Path

from pyrunc.kernel import procs


def test_nobody_can_have_prepared_the_file(tmp_path: Path) -> None:
    """Its name until it is whole can be guessed, and a directory such as /tmp lets others make one."""
    with open(tmp_path / f".pid.{os.getpid()}", "w", encoding="ascii") as prepared:
        procs.write_pid_file(str(tmp_path / "pid"), 4711)
        prepared.write("1")
    assert (tmp_path / "pid").read_text(encoding="ascii") == "4711"
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]
