"""`make install`: who else can change what it has put, and how podman learns of pyrunc."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "runtime/packaging"


def test_umask_of_the_caller_does_not_let_others_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGING))
    import install

    def make(layout: "install.Layout", *_: str) -> None:
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


@pytest.mark.parametrize(
    "options, place",
    [((), "etc/containers/containers.conf.d"), (("--vendor",), "usr/share/containers/containers.conf.d")],
)
def test_podman_learns_of_pyrunc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], place: str
) -> None:
    """The vendor's place and `append` are for podman 6; an older one gets lists that are whole."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    import install

    for part in ("_library", "_copy", "_program"):
        monkeypatch.setattr(install, part, lambda *_: None)
    words = ["install.py", "--prefix=/usr", "--sysconfdir=/etc", f"--destdir={tmp_path}", *options]
    monkeypatch.setattr(sys, "argv", words)
    install.main()
    assert [path.name for path in tmp_path.rglob("*.conf")] == ["60-pyrunc.conf"]
    engine = tomllib.loads((tmp_path / place / "60-pyrunc.conf").read_text())["engine"]
    assert engine["runtimes"] == {"pyrunc": ["/usr/bin/pyrunc"]}
    for key in ("runtime_supports_json", "runtime_supports_nocgroup"):
        assert (engine[key] == ["pyrunc", {"append": True}]) == bool(options)
        assert ("crun" in engine[key]) != bool(options)
    monkeypatch.setattr(sys, "argv", [*words, "--remove"])
    install.main()
    assert list(tmp_path.rglob("*.conf")) == []


def lacks_a_library(*_: object) -> None:
    """What building a native launcher comes to where that cannot be."""
    import native_launcher

    raise native_launcher.CannotBuildError("the interpreter has no shared library")


@pytest.mark.parametrize("can", [True, False])
@pytest.mark.parametrize("kind", ["auto", "native", "script"])
def test_kind_of_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, can: bool
) -> None:
    """By itself the fastest that can be built; a packager gets what he asks for, or an error."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    import install

    def native(target: Path, *_: str) -> None:
        target.write_text("native")

    monkeypatch.setattr(install.native_launcher, "write", native if can else lacks_a_library)
    layout = install.Layout("/usr", "/etc", str(tmp_path))
    program = layout.on_disk(layout.program)
    program.parent.mkdir(parents=True)
    if kind == "native" and not can:
        with pytest.raises(SystemExit, match="no native launcher can be built: the interpreter has no shared library"):
            install._program(layout, sys.executable, kind)
        return
    install._program(layout, sys.executable, kind)
    script = kind == "script" or not can
    assert program.read_text().startswith(f"#!{os.path.realpath(sys.executable)} -IS\n") == script
    assert (program.read_text() == "native") != script
    assert capsys.readouterr().out.endswith("no shared library\n") == (kind == "auto" and not can)
