"""Names that others choose, in what the kernel and programs say: they must not pass for lines of it."""

from pathlib import Path

import pytest
from pyrunc.cgroup import fs
from pyrunc.commands import ps
from pyrunc.kernel import procs

from tests import kernelcalls


@pytest.mark.usefixtures("private_host")
def test_mount_point_with_white_space(area: Path) -> None:
    """An ordinary user can make one by FUSE, below root's eyes."""
    point = area / "a\r7\f1 \n\t\\040\v"
    point.mkdir()
    kernelcalls.mount("tmpfs", str(point), "tmpfs")
    try:
        assert ("tmpfs", str(point)) in [entry[1:] for entry in procs.mount_table()]
    finally:
        kernelcalls.umount(str(point))


def test_cgroup_with_a_line_separator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that owns its cgroup names those below; the kernel forbids the line feed alone."""
    monkeypatch.setattr(fs, "read", lambda path: "1:name=x:/a\u20280::/forged\n0::/a\x85b\n")
    assert fs.path_of(7) == "/a\x85b"


def test_name_of_a_process_makes_no_line_of_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a byte that is no UTF-8 end the command."""
    program = tmp_path / "ps"
    program.write_bytes(b"#!/bin/sh\nprintf 'PID CMD\\n7 a\xe2\x80\xa87 forged\\n8 b\\n7 \xff\\n'\n")
    program.chmod(0o755)
    monkeypatch.setattr(ps, "PROGRAM", str(program))
    assert ps.table([7], []) == "PID CMD\n7 a\\u20287 forged\n7 \ufffd\n"
