"""An exception that nobody has foreseen: one line for a user, all of it for who asks with --debug."""

import pytest
from pyrunc import cli
from pyrunc.container import Container


@pytest.fixture
def fault(monkeypatch):
    def fail(*_, **__):
        raise ValueError("a fault")

    monkeypatch.setattr(cli, "_run_verb", fail)


@pytest.mark.parametrize(("verb", "status"), [("list", 1), ("exec", 255)])
@pytest.mark.usefixtures("fault")
def test_is_one_line(capfd, verb, status):
    assert cli.run([verb]) == status
    (line,) = capfd.readouterr().err.splitlines()
    assert "internal error: ValueError: a fault" in line


@pytest.mark.parametrize("option", ["--debug", "--log-level=debug"])
@pytest.mark.usefixtures("fault")
def test_is_shown_whole_with_debug(option):
    with pytest.raises(ValueError, match="a fault"):
        cli.run([option, "list"])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(5, "Input/output error"), "pyrunc: list: in `cli._run`: Input/output error"),
        (OSError(5, "Input/output error", "/a/file"), "pyrunc: list: `/a/file`: Input/output error"),
        (OSError(5, "Input/output error", b"/a/\xff"), "pyrunc: list: `/a/\ufffd`: Input/output error"),
        (OSError(5, "Input/output error", 7), "pyrunc: list: in `cli._run`: Input/output error"),
        (MemoryError(), "pyrunc: allocate memory for `list`: Cannot allocate memory"),
        (ImportError("no room", name="a.b"), "pyrunc: list: load the module `a.b`: no room"),
    ],
)
def test_what_nobody_has_put_into_words_names_an_object_or_a_place(capfd, monkeypatch, error, text):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli, "_run_verb", fail)
    assert cli.run(["list"]) == 1
    assert capfd.readouterr().err == text + "\n"


def test_an_error_in_a_command_names_its_container(capfd, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Container, "open", fail)
    assert cli.run(["--root", str(tmp_path), "state", "box"]) == 1
    assert capfd.readouterr().err == "pyrunc: state of `box`: in `commands.state.run`: No space left on device\n"
