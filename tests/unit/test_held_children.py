"""pyrunc.kernel.process.trial.Held: a child that waits in other namespaces, and who looks into it."""

import errno
import os
from pathlib import Path

import _prctl
import pytest
from pyrunc.kernel import syscalls
from pyrunc.kernel.ids import idmap
from pyrunc.kernel.process.trial import Held

from tests.waiting import eventually

SOMEBODY = 65534


def become_traceable() -> None:
    """As setns(2) into a user namespace with fs.suid_dumpable=1: other credentials, which reset PR_SET_DUMPABLE."""
    if os.geteuid() == 0:
        os.setresgid(SOMEBODY, SOMEBODY, SOMEBODY)
        os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
    _prctl.prctl(_prctl.PR_SET_DUMPABLE, 1)


def hidden(pid: int) -> bool:
    """Whether others may not trace a process of an ordinary user: its files in /proc are root's (proc(5))."""
    return os.stat(f"/proc/{pid}/environ").st_uid == 0


def test_who_has_become_another_hides_again() -> None:
    with Held(0, become_traceable) as pid:
        assert hidden(pid)


def test_what_joins_a_user_namespace_hides_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root of the namespace could otherwise trace it, and take the descriptors of the host that it has."""
    seen = []
    monkeypatch.setattr(syscalls, "setns", lambda *_: become_traceable())
    monkeypatch.setattr(idmap, "read", lambda kind, pid: seen.append(hidden(pid)) or ((0, kind, 1),))
    assert idmap.of_namespace(-1) == (((0, "uid", 1),), ((0, "gid", 1),))
    assert seen == [True, True]


def test_it_is_gone_after_the_block() -> None:
    with Held(0) as pid:
        assert os.path.exists(f"/proc/{pid}")
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_why_it_could_not_enter_is_told() -> None:
    def refuse() -> None:
        raise OSError(errno.EPERM, "")

    with pytest.raises(PermissionError), Held(0, refuse):
        pytest.fail("the block must not run")


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    parent = os.fork()
    if parent == 0:
        with Held(0, become_traceable) as pid:
            (tmp_path / "pid").write_text(str(pid))
            os._exit(0)
    os.waitpid(parent, 0)
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in Path(f"/proc/{pid}/stat").read_text(), "its end")
