"""pyrunc-init carries out the lists that stages.step_list composes, and refuses lists that are not whole."""

import itertools
import os
import random
import socket
import struct
import sys

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import sealed
from pyrunc.kernel.syscalls import number
from pyrunc.stages.conversation import FAILURE, Ending
from pyrunc.stages.step_list import IF_REMEMBERED, REMEMBER, StepList
from pyrunc.stages.step_report import CHECK_CWD, EXEC, FIND, HOOK, LISTEN, REPORT_TO, SPLIT, WRITE, error_of

ENOENT, EACCES, EINVAL, EPIPE, EBADMSG = 2, 13, 22, 32, 74
CLONE_VM = 0x100


class Run:
    """What became of a pyrunc-init: its wait status, what it reported, what it printed."""

    def __init__(
        self, content: bytes, report: socket.socket, theirs: int, keep: tuple[int, ...] = (), more: tuple[str, ...] = ()
    ) -> None:
        helper, listing = sealed.helper(), sealed.data("steps", content)
        output = os.memfd_create("output")
        pid = os.fork()
        if pid == 0:
            os.dup2(output, 1)
            os.dup2(output, 2)
            for fd in (listing, theirs, *keep):
                os.set_inheritable(fd, True)
            os.execve(helper, ["pyrunc-init", str(listing), *more], {})
        self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        report.setblocking(False)
        try:
            self.report = report.recv(4096)
        except BlockingIOError:
            self.report = b""
        self.output = os.pread(output, 4096, 0).decode()
        for fd in (helper, listing, output):
            os.close(fd)

    def error(self) -> PyruncError:
        word, _, value = self.report.partition(b" ")
        assert word == FAILURE, (self.report, self.output, self.status)
        return error_of(value)


@pytest.fixture
def carry_out():
    """Run a list that `compose(steps)` fills, with a report channel set up before it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def carry(compose, keep=()):
        steps = StepList()
        steps.step(REPORT_TO, 0, (theirs.fileno(),), "report")
        compose(steps)
        return Run(steps.data(), ours, theirs.fileno(), keep)

    yield carry
    ours.close()
    theirs.close()


def execute(steps: StepList, *argv: str, env: tuple[str, ...] = ()) -> None:
    steps.step(FIND, 0, (steps.strings([argv[0]]),), argv[0])
    steps.step(EXEC, 0, (steps.strings(argv), steps.strings(env)), f"exec {argv[0]}")


def test_execs_with_arguments_and_environment(carry_out):
    run = carry_out(lambda steps: execute(steps, "/bin/sh", "-c", 'echo "$0 $1 $A"; exit 7', "x y", "", env=("A=b c",)))
    assert (run.status, run.output, run.report) == (7, "x y  b c\n", b"")


def test_failed_call_is_reported_with_label_and_errno(carry_out):
    run = carry_out(lambda steps: steps.call("chdir", steps.string("/no/such"), label="chdir to `/no/such`"))
    assert str(run.error()) == "chdir to `/no/such`: No such file or directory"
    assert run.status == 127


def test_tolerated_error_goes_on(carry_out):
    def compose(steps):
        steps.call("chdir", steps.string("/no/such"), label="chdir", tolerated=(EACCES, ENOENT))
        execute(steps, "/bin/true")

    assert carry_out(compose).status == 0


NO_PROGRAM = "as for a path that is not a program in the container"


@pytest.mark.parametrize(("first", "second_runs"), [("/no/such", True), ("/", False)])
def test_remembered_step_runs_only_after_a_tolerated_error(carry_out, first, second_runs):
    def compose(steps):
        steps.call("chdir", steps.string(first), label="first", tolerated=(ENOENT,), flags=REMEMBER)
        steps.call("umask", 0, label="between")
        steps.call("chdir", steps.string("/no/other"), label="second", flags=IF_REMEMBERED)
        execute(steps, "/bin/true")

    run = carry_out(compose)
    assert (run.status == 127) is second_runs
    assert (run.report != b"") is second_runs


def test_unexpected_result_is_an_error(carry_out):
    read, write = os.pipe()
    os.close(write)

    def compose(steps):
        steps.call("read", read, steps.blob(b"\0"), 1, label="the parent is gone", expect=1)

    error = carry_out(compose, (read,)).error()
    os.close(read)
    assert (error.errno, error.message) == (EPIPE, "the parent is gone")


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("nothing", ["/usr/bin/nothing", "/bin/nothing"],
         "executable file `nothing` not found in $PATH: no such file or directory"),
        ("/etc", ["/etc"], "exec `/etc`: permission denied (it is not a regular file)"),
        ("/etc/passwd", ["/etc/passwd"], "open executable `/etc/passwd`: permission denied"),
        ("/etc/passwd/x", ["/etc/passwd/x"], "open executable `/etc/passwd/x`: no such file or directory"),
        ("nothing", [], "executable file `nothing` not found in $PATH: no such file or directory"),
    ],
)  # fmt: skip
def test_program_that_cannot_run(carry_out, name, path, text):
    error = carry_out(lambda steps: steps.step(FIND, 0, (steps.strings(path),), name)).error()
    assert str(error) == text


def test_search_goes_past_directories_and_files_without_permission(carry_out, tmp_path):
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tool").write_text("")
    (tmp_path / "c").mkdir()
    good = tmp_path / "c" / "tool"
    good.write_text("#!/bin/sh\necho found\n")
    good.chmod(0o755)

    def compose(steps):
        steps.step(FIND, 0, (steps.strings([f"{tmp_path}/{d}/tool" for d in "abc"]),), "tool")
        steps.step(EXEC, 0, (steps.strings(["tool"]), steps.strings([])), "exec")

    assert carry_out(compose).output == "found\n"


def test_working_directory_outside_the_root(carry_out, tmp_path):
    """A directory that was detached from the tree has no path: getcwd says "(unreachable)" or fails."""
    gone = tmp_path / "gone"
    gone.mkdir()
    here = os.open(gone, os.O_PATH)
    gone.rmdir()

    def compose(steps):
        steps.call("fchdir", here, label="enter")
        steps.step(CHECK_CWD, 0, (), "/proc/self/fd/8")

    error = carry_out(compose, (here,)).error()
    os.close(here)
    assert "`/proc/self/fd/8` is outside the container's root" in str(error)


def hook(steps: StepList, command: str, state: int, output: int = -1, milliseconds: int = 0) -> None:
    args = steps.strings(["sh", "-c", command])
    words = (steps.string("/bin/sh"), args, steps.strings(["A=b"]), state, output, milliseconds)
    steps.step(HOOK, output, words, "startContainer hook #0")


@pytest.fixture
def state():
    fd = sealed.data("state", b"state\n")
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("cat >&2; echo $A >&2; exit 3", "error running startContainer hook #0: exit status 3, stderr: state\\nb"),
        ("kill -9 $$", "error running startContainer hook #0: signal 9"),
        ("exit 1", "error running startContainer hook #0: exit status 1"),
        (
            "exit 127",
            "error running startContainer hook #0: exit status 127, " + NO_PROGRAM,
        ),
        ("yes | head -c 3000000; echo end; exit 1", "error running startContainer hook #0: exit status 1, stderr: y"),
        ("(sleep 0.1; yes) & echo left; exit 1", "error running startContainer hook #0: exit status 1, stderr: left"),
    ],
)
def test_failed_hook(carry_out, state, command, text):
    error = carry_out(lambda steps: hook(steps, command, state), (state,)).error()
    assert str(error).startswith(text)
    assert (str(error) == text) is ("3000000" not in command)
    assert ("end" in str(error)) is ("echo end" in command)


def test_hook_past_its_deadline_is_killed_with_its_children(carry_out, state):
    error = carry_out(lambda steps: hook(steps, "yes & sleep 100", state, milliseconds=100), (state,)).error()
    assert str(error) == "error running startContainer hook #0: it timed out"


@pytest.mark.parametrize("closed", ["state", "output"])
def test_hook_is_not_run_without_its_streams(carry_out, state, closed):
    streams = {"state": state, "output": -1, closed: 999}
    error = carry_out(lambda steps: hook(steps, "exit 0", **streams), (state,)).error()
    assert str(error) == "error running startContainer hook #0: exit status 126"


def test_good_hook_reads_the_state_each_time(carry_out, state):
    output = os.memfd_create("output")

    def compose(steps):
        for _ in range(2):
            hook(steps, "cat", state, output)
        execute(steps, "/bin/true")

    assert carry_out(compose, (state, output)).status == 0
    assert os.pread(output, 100, 0) == b"state\nstate\n"
    os.close(output)


def test_without_a_listener_the_error_goes_to_stderr(carry_out):
    def compose(steps):
        steps.step(REPORT_TO, 0, (-1 & 0xFFFFFFFF,), "nobody")
        steps.call("chdir", steps.string("/no/such"), label="chdir to `/no/such`")

    assert carry_out(compose).output == "pyrunc: chdir to `/no/such`: errno 2\n"


def test_damaged_lists_are_refused(carry_out):
    """Truncated or altered in the header, in counts and in relocations: never executed, never a crash."""
    steps = StepList()
    execute(steps, "/bin/echo", "executed")
    good = steps.data()
    word = struct.calcsize("N")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    damaged = [good[:size] for size in (0, 1, word * 4 - 1, word * 4, len(good) - 1)]
    chance = random.Random(1)
    relocations = 4 * word + 2 * 14 * word
    for _ in range(40):
        where = chance.choice([0, word, 2 * word, 3 * word, relocations, relocations + word])
        damaged.append(good[:where] + chance.randbytes(word) + good[where + word :])
    for content in damaged:
        run = Run(content, ours, theirs.fileno())
        assert run.output.startswith("pyrunc: read the list of last steps: errno "), (content[: 4 * word], run.output)
        assert run.status == 126
    ours.close(), theirs.close()


WORD = struct.calcsize("N")
HEADER, STEP = 4, 14  # words of the header and of a step
KIND, LABEL = 0, 13  # words of a step


def patched(position: int, value: int, *, table: bool = False) -> bytes:
    """A list that says "executed", with another value in its word `position`, or in that of the table of relocations.

    Three steps; the label of the first comes first in the table.
    """
    steps = StepList()
    steps.call("umask", 0o22, label="umask")
    execute(steps, "/bin/echo", "executed")
    content = bytearray(steps.data())
    count = struct.unpack_from("@N", content, 2 * WORD)[0]
    where = (HEADER + count * STEP if table else 0) + position
    struct.pack_into("@N", content, where % (len(content) // WORD) * WORD, value)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        *(patched(0, place * WORD, table=True) for place in range(HEADER)),  # into the header: more steps than checked
        *(patched(0, (HEADER + word) * WORD, table=True) for word in (KIND, 1, 2, 9, 10, 11, 12)),
        patched(0, (HEADER + 3 * STEP) * WORD, table=True),  # into the table itself
        patched(0, (HEADER + 3) * WORD + 1, table=True),
        patched(0, (HEADER + 3) * WORD, table=True),  # an argument that is no offset in the data
        patched(1, (HEADER + LABEL) * WORD, table=True),  # one word twice
        patched(-1, 1),  # the last word, which ends strings
        patched(HEADER + KIND, LISTEN + 1),
        patched(HEADER + KIND, -1 & 2 ** (8 * WORD) - 1),
    ],
)
def test_hostile_list_is_refused_as_a_whole(content):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    run = Run(content, ours, theirs.fileno())
    ours.close(), theirs.close()
    assert (run.status, run.output) == (126, "pyrunc: read the list of last steps: errno 74\n")


KINDS = ["candidates", "argv", "envp", "hook", "hook's argv", "hook's envp"]


@pytest.mark.parametrize(
    ("kind", "inner", "pointer"),
    [
        *itertools.product(KINDS, [False], [0, 8, 2 ** (8 * WORD - 1)]),
        # In an array, 0 would be its end; a hook's path is none.
        *itertools.product([kind for kind in KINDS if kind != "hook"], [True], [8, 2 ** (8 * WORD - 1)]),
    ],
)
def test_what_is_no_address_in_the_data_is_refused_where_it_is_used(carry_out, kind, inner, pointer):
    """A number, or an array of one, in the place of each pointer that pyrunc-init follows or gives to execve(2)."""

    def compose(steps):
        bad = steps.blob(struct.pack("@NN", pointer, 0)) if inner else pointer
        good, texts = steps.string("/bin/true"), steps.strings(["/bin/true"])
        choose = {name: bad if name == kind else texts for name in ("candidates", "argv", "envp")}
        hook = {name: bad if name == kind else texts for name in ("hook's argv", "hook's envp")}
        if kind.startswith("hook"):
            steps.step(HOOK, 2, (bad if kind == "hook" else good, *hook.values(), 0, 1, 0), "the hook")
        steps.step(FIND, 0, (choose["candidates"],), "true")
        steps.step(EXEC, 0, (choose["argv"], choose["envp"]), "exec true")

    run = carry_out(compose)
    assert run.status == 126
    assert run.error().errno == EBADMSG


@pytest.mark.parametrize("wrong", ["path", "how", "content", "size"])
def test_write_with_what_does_not_lie_in_the_data_is_refused(carry_out, tmp_path, wrong):
    """And one with what does is carried out."""
    (tmp_path / "file").touch()

    def compose(steps):
        good = {"path": steps.string("file"), "how": steps.blob(struct.pack("=QQQ", os.O_WRONLY, 0, 0))}
        good |= {"content": steps.blob(b"content"), "size": 7}
        steps.step(WRITE, 0, (directory, *good.values()), "write")
        steps.step(WRITE, 0, (directory, *(good | {wrong: 1 << 40}).values()), "write wrongly")

    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(directory, True)
    error = carry_out(compose).error()
    os.close(directory)
    assert (error.errno, (tmp_path / "file").read_text()) == (EBADMSG, "content")
    assert "write wrongly" in str(error)


def test_child_on_the_same_stack_is_refused(carry_out):
    assert carry_out(lambda steps: steps.step(SPLIT, 0, (CLONE_VM,), "split")).error().errno == EINVAL


def test_helper_cannot_be_written(tmp_path):
    """CVE-2019-5736: the file that a container sees as /proc/PID/exe."""
    helper = sealed.helper()
    with pytest.raises(OSError, match=r"not permitted|busy"):
        os.write(os.open(f"/proc/self/fd/{helper}", os.O_RDWR), b"x")
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(helper, 0)
    os.close(helper)


def test_layout_is_the_machines():
    assert struct.calcsize("N") == (8 if sys.maxsize > 2**32 else 4)


def test_result_that_is_reported(carry_out):
    """As seccomp(2)'s with a listener; here umask(2) stands in for it."""

    def compose(steps):
        steps.step(LISTEN, number("umask"), (0,), "umask")
        execute(steps, "/bin/true")

    before = os.umask(0o1)
    run = carry_out(compose)
    os.umask(before)
    assert run.report == b"listens " + struct.pack("@N", 0o1)
    assert Ending().take(run.report) == 0o1


def test_result_that_nobody_reads_is_an_error():
    steps = StepList()
    steps.step(REPORT_TO, 0, (-1 & 0xFFFFFFFF,), "nobody")
    steps.step(LISTEN, number("umask"), (0o22,), "load")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    assert Run(steps.data(), ours, theirs.fileno()).output == "pyrunc: load: errno 9\n"
    ours.close(), theirs.close()


def test_a_list_that_cannot_be_read_is_reported_where_the_command_line_says():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    run = Run(b"", ours, theirs.fileno(), more=(str(theirs.fileno()),))
    ours.close(), theirs.close()
    assert (run.status, run.output) == (126, "")
    assert str(run.error()) == "read the list of last steps: Invalid argument"
