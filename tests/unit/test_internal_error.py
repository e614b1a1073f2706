"""An exception that nobody has foreseen: one line for a user, all of it for who asks with --debug."""

import pytest
from pyrunc import cli


@pytest.fixture(autouse=True)
def _fault(monkeypatch):
    def fail(*_):
        raise ValueError("a fault")

    monkeypatch.setattr(cli, "_run_verb", fail)


@pytest.mark.parametrize(("verb", "status"), [("list", 1), ("exec", 255)])
def test_is_one_line(capfd, verb, status):
    assert cli.run([verb]) == status
    (line,) = capfd.readouterr().err.splitlines()
    assert "internal error: ValueError: a fault" in line


@pytest.mark.parametrize("option", ["--debug", "--log-level=debug"])
def test_is_shown_whole_with_debug(option):
    with pytest.raises(ValueError, match="a fault"):
        cli.run([option, "list"])
