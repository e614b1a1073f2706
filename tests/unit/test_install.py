"""`make install`: who else can change what it has put."""

import os
import sys
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "runtime/packaging"


def test_umask_of_the_caller_does_not_let_others_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGING))
    import install

    def make(layout: "install.Layout", _: str) -> None:
        layout.on_disk(layout.library).mkdir(parents=True)

    monkeypatch.setattr(install, "install", make)
    monkeypatch.setattr(sys, "argv", ["install.py", f"--prefix={tmp_path}/prefix"])
    before = os.umask(0)
    try:
        install.main()
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / "prefix").rglob("*") if path.is_dir()]
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o755"] * len(made)
    assert made
