"""pyrunc.kernel.descriptors: what is kept for the container, and the standard streams, in real processes."""

import itertools
import os
import stat
import traceback
from collections.abc import Callable

import pytest
from pyrunc.kernel import descriptors


def in_child(function: Callable[[], None]) -> None:
    """Call the function in a child; fail with its traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        report = os.dup2(writer, 100, inheritable=False)
        os.closerange(3, report)
        os.closerange(report + 1, 1024)
        try:
            function()
        except BaseException:
            os.write(report, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        problem = pipe.read().decode()
    os.waitpid(child, 0)
    assert not problem, problem


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_end_of_a_block_closes_its_descriptor() -> None:
    with descriptors.opened(os.dup(0)) as fd:
        assert is_open(fd)
    assert not is_open(fd)


def test_a_block_that_fails_closes_its_descriptor() -> None:
    with pytest.raises(OSError, match="failed"), descriptors.opened(os.dup(0)) as fd:
        raise OSError("failed")
    assert not is_open(fd)


def test_a_block_closes_its_descriptor_once() -> None:
    held = descriptors.opened(os.dup(0))
    with held as fd:
        pass
    assert os.dup2(0, fd) == fd  # another file has the number now
    with held:
        pass
    assert is_open(fd)
    os.close(fd)


def test_a_descriptor_that_is_kept_stays_open() -> None:
    held = descriptors.opened(os.dup(0))
    with held as fd:
        assert held.keep() == fd
    assert is_open(fd)
    os.close(fd)


def test_an_error_of_close_is_raised() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"), descriptors.opened(os.dup(0)) as fd:
        os.close(fd)


def test_no_descriptor_is_not_closed() -> None:
    with descriptors.opened(-1) as fd:
        assert fd == -1


@pytest.mark.parametrize(
    ("wanted", "present", "count"),
    [
        (0, {0, 1, 2, 3}, 0),
        (2, {0, 1, 2}, 0),
        (2, {0, 1, 2, 3, 4, 5}, 2),
        (5, {0, 1, 2, 3, 4}, 2),
        (38, {9, 40}, 38),
        (37, {9, 40}, 7),
        (1_000_000, {3}, 1),
    ],
)
def test_span(wanted: int, present: set[int], count: int) -> None:
    assert descriptors.span(wanted, frozenset(present)) == count


def test_kept_counts_what_the_caller_passed_and_not_our_own() -> None:
    def inside() -> None:
        for fd, inheritable in ((3, True), (4, False), (9, True), (12, False)):
            os.dup2(0, fd, inheritable=inheritable)
        present = descriptors.inherited()
        assert present == {0, 1, 2, 3, 9}
        assert [descriptors.kept(n, {}, present).count for n in (0, 1, 2, 6, 7, 1_000_000)] == [0, 1, 1, 1, 7, 7]

    in_child(inside)


@pytest.mark.parametrize(
    ("preserve", "environ", "count", "env"),
    [
        (0, {b"LISTEN_FDS": b"2", b"LISTEN_PID": b"1234567"}, 2, ["LISTEN_FDS=2", "LISTEN_PID=1"]),
        (0, {b"LISTEN_FDS": b"2"}, 2, ["LISTEN_FDS=2", "LISTEN_PID=1"]),
        (1, {b"LISTEN_FDS": b"2"}, 3, ["LISTEN_FDS=2", "LISTEN_PID=1"]),
        (1, {b"LISTEN_FDS": b"0"}, 1, []),
        (1, {b"LISTEN_FDS": b""}, 1, []),
        (1, {b"LISTEN_FDS": b"-1"}, 1, []),
        (1, {b"LISTEN_FDS": b"two"}, 1, []),
        (1, {b"LISTEN_FDS": b"9" * 5000}, 1, []),
    ],
)
def test_socket_activation(preserve: int, environ: dict[bytes, bytes], count: int, env: list[str]) -> None:
    def inside() -> None:
        for fd in range(3, 8):
            os.dup2(0, fd)
        kept = descriptors.kept(preserve, environ, descriptors.inherited())
        assert (kept.count, kept.env) == (count, env)

    in_child(inside)


CLOSED = [c for size in range(4) for c in itertools.combinations(range(3), size)]


@pytest.mark.parametrize("closed", CLOSED)
def test_standard_streams(closed: tuple[int, ...]) -> None:
    def inside() -> None:
        before = {fd: os.fstat(fd) for fd in range(3) if fd not in closed}
        for fd in closed:
            os.close(fd)
        descriptors.open_standard_streams()
        for fd, facts in before.items():
            assert os.fstat(fd) == facts
        for fd in closed:
            facts = os.fstat(fd)
            assert stat.S_ISCHR(facts.st_mode)
            assert facts.st_rdev == os.makedev(1, 3)
            assert os.get_inheritable(fd)
            assert os.write(fd, b"x") == 1
        assert descriptors.inherited() == {0, 1, 2}

    in_child(inside)
