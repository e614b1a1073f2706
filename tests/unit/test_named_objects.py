"""Whatever a system call fails for, and wherever: what the user reads names an object beside the kernel's words."""

import importlib
from errno import EIO, EMFILE

import pytest
from pyrunc import cli
from pyrunc.errors import PyruncError
from pyrunc.kernel import syscalls
from pyrunc.stages.channel import Channel, PeerGone, pair
from pyrunc.stages.conversation import CREATED, GO

WORDS = "Input/output error"
VERBS = {name: importlib.import_module(cli.module_of(name)).VERB for name in cli.VERBS}
OF_A_CONTAINER = [name for name, verb in VERBS.items() if verb.operands[:1] == ("ID",)]
MORE = {"exec": ["true"]}


def said(capfd, monkeypatch, verb: str, error: Exception) -> str:
    """What a command says in which this is raised, and nothing was put into words."""

    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(f"{cli.module_of(verb)}.run", fail)
    assert cli.run([verb, "box", *MORE.get(verb, ())]) != 0
    (line,) = capfd.readouterr().err.splitlines()
    return line.removeprefix("pyrunc: ")


def test_most_commands_are_about_a_container():
    assert {"create", "start", "exec", "run", "kill", "delete", "state", "restore"} <= set(OF_A_CONTAINER)


@pytest.mark.parametrize("verb", OF_A_CONTAINER)
def test_of_a_call_that_nobody_has_put_into_words(capfd, monkeypatch, verb):
    line = said(capfd, monkeypatch, verb, OSError(EIO, ""))
    assert line.startswith(f"{verb} of `box`: in `")
    assert line.endswith(f": {WORDS}")


@pytest.mark.parametrize("verb", OF_A_CONTAINER)
def test_of_a_call_that_has_words_but_no_object(capfd, monkeypatch, verb):
    line = said(capfd, monkeypatch, verb, PyruncError("set the umask", errno=EIO))
    assert line == f"container `box`: set the umask: {WORDS}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PyruncError("open `/a`", errno=EIO), f"open `/a`: {WORDS}"),
        (PyruncError("set a", errno=EIO, pointer="/a"), f"set a: {WORDS} (config.json: /a)"),
        (PyruncError("hook #0 exited"), "hook #0 exited"),
    ],
)
def test_an_error_that_names_its_object_is_left_alone(capfd, monkeypatch, error, line):
    assert said(capfd, monkeypatch, "start", error) == line


def raised(error: BaseException) -> PyruncError:
    """What the parent raises for what has ended a child."""
    ours, theirs = pair()
    theirs.send_failure(error, "set up the container", "init")
    with pytest.raises(PyruncError) as info:
        ours.expect(CREATED, "waiting")
    ours.close()
    theirs.close()
    return info.value


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(EMFILE, "", "/a"), "set up the container: `/a`: Too many open files"),
        (MemoryError(), "allocate memory for `set up the container`: Cannot allocate memory"),
        (ImportError("no room", name="a.b"), "set up the container: load the module `a.b`: no room"),
    ],
)
def test_of_a_child(error, line):
    assert str(raised(error)) == line


def test_of_a_child_where_nothing_has_a_name():
    with pytest.raises(OSError, match="9") as info:
        syscalls.setns(-1, 0)
    assert str(raised(info.value)) == "set up the container: in `kernel.syscalls.setns`: Bad file descriptor"


def test_a_bug_of_a_child_is_one():
    assert str(raised(KeyError(1))) == "internal error in init: KeyError: 1"


def test_what_a_process_said_before_its_end_is_heard_though_it_has_not_read_what_it_was_told():
    """The kernel tells of the latter first (unix(7), ECONNRESET)."""
    ours, theirs = pair()
    ours.acknowledge()
    theirs.send_error(PyruncError("read `/a`", errno=EIO))
    theirs.close()
    with pytest.raises(PyruncError, match=f"read `/a`: {WORDS}"):
        ours.expect(CREATED, "waiting")
    assert ours.receive() == b""
    ours.close()


@pytest.mark.parametrize("tell", [Channel.acknowledge, lambda ours: ours.send(GO)])
def test_who_has_ended_and_not_read_what_it_was_told_is_gone(tell):
    ours, theirs = pair()
    ours.acknowledge()
    theirs.close()
    with pytest.raises(PeerGone):
        tell(ours)
    ours.close()
