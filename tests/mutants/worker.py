"""Unit tests in a forked process that has pytest, but nothing of the package, and in which the import of one module
gives a mutant. No file is changed.
"""

import contextlib
import functools
import gc
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, FunctionType

import pytest

from tests import kernelcalls
from tests.mutants.coverage import PACKAGE, TOP, Coverage, Recorder

TESTS = "tests/unit"
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1", f"--rootdir={TOP}"]
OPTIONS += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]  # it is, which saves time
MEMORY = 4 << 30  # bytes of address space: a mutant may ask for more and more
SLOWER, LEAST = 10, 30  # a mutant may take ten times as long as its tests, and half a minute anyway
KILLED = 255  # the status of who was ended by a signal, as _alone hands it on
COLLECTING = 600  # seconds, on a busy machine


class _Mutated(MetaPathFinder, SourceFileLoader):
    """Finds one module, whose code is the mutant's."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Of that module only."""
        return spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        """Instead of the file's."""
        return self._code


class _Only:
    """A pytest plugin that leaves these tests, in their order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Called after the one in conftest.py."""
        items[:] = sorted((one for one in items if one.nodeid in self._order), key=lambda one: self._order[one.nodeid])


def _alone() -> None:
    """Root's mutants run in a pid namespace of their own: one that lost a check of a pid has sent SIGKILL to -1, which
    is every process of the machine. Returns in the child that is to work; its parent only hands on the status."""
    if os.geteuid() != 0:
        return
    kernelcalls.unshare(kernelcalls.CLONE_NEWPID | kernelcalls.CLONE_NEWNS)
    if child := os.fork():
        os._exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), -1) & 0xFF)  # KILLED for a signal
    worker = os.fork()  # not the first process there, for which signals have no default actions
    if worker == 0:
        kernelcalls.mount("", "/", "", kernelcalls.MS_REC | kernelcalls.MS_PRIVATE)
        kernelcalls.mount("proc", "/proc", "proc")
        return
    ended, status = os.wait()
    while ended != worker:  # what tests have left comes to the first process
        ended, status = os.wait()
    os._exit(max(os.waitstatus_to_exitcode(status), -1) & 0xFF)


def _forked(work: Callable[[], int], seconds: float) -> int:
    """What `work` returned in a child of its own; -SIGKILL if it was not through in time."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setpgid(0, 0)
            _alone()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            status = work()
        finally:
            os._exit(status)
    fd = os.pidfd_open(child)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(seconds * 1000)
    os.close(fd)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def record(modules: Sequence[str]) -> Coverage:
    """What the unit tests execute, all of which must pass."""
    with tempfile.NamedTemporaryFile() as file:

        def work() -> int:
            recorder = Recorder()
            recorder.import_modules(modules)
            status = int(pytest.main([*OPTIONS, TESTS], plugins=[recorder]))
            with open(file.name, "wb") as out:
                pickle.dump((recorder.coverage, sorted(sys.modules)), out)
            return status

        status = _forked(work, 3600)
        if status:
            sys.exit(f"the unit tests do not pass as they are, with `pytest {' '.join(OPTIONS)}`: {status}")
        coverage, loaded = pickle.load(file)
    assert isinstance(coverage, Coverage)
    _load(loaded)
    return coverage


def _load(names: Sequence[str]) -> None:
    """Import what the tests use of other people, so that no child has to."""
    for name in names:
        if name.partition(".")[0] not in ("pyrunc", "tests", "conftest", "conformance", "__main__"):
            try:
                __import__(name)
            except ImportError:  # it was no module, but something that a test put there
                continue
    gc.freeze()


class Case:
    """A mutant, and the tests (file -> ids) that may notice it. reload: it shows only where the module is imported."""

    def __init__(self, code: CodeType, tests: "dict[str, list[str]]", *, reload: bool) -> None:
        self.code, self.tests, self.reload = code, tests, reload


def notices(path: str, cases: Sequence[Case], coverage: Coverage) -> list[bool]:
    """For each case, whether one of its tests fails, or does not end, if the module at `path` has its code."""
    quick = [case for case in cases if case.tests and not case.reload]
    answers = dict(zip(quick, _in_one_session(path, quick, coverage), strict=True)) if quick else {}
    slow = (case for case in cases if case.tests and case.reload)
    answers |= {case: _imported(path, case, coverage) for case in slow}
    return [answers.get(case, False) for case in cases]


def _patience(case: Case, coverage: Coverage) -> float:
    return LEAST + SLOWER * sum(map(coverage.cost, case.tests.values()))


def _imported(path: str, case: Case, coverage: Coverage) -> bool:
    """One case, in a process whose import of the module gives the mutant."""
    name = "pyrunc." + path.removeprefix(f"{PACKAGE}/").removesuffix(".py").replace("/", ".")

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.meta_path.insert(0, _Mutated(name, path, case.code))
        for file, tests in case.tests.items():
            status = pytest.main([*OPTIONS, file], plugins=[_Only(tests)])
            if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):  # the mutant renamed them
                return int(status)
        return 0

    status = _forked(work, _patience(case, coverage))
    # 1: a test failed, 2: a file, -9: time
    assert status <= pytest.ExitCode.INTERRUPTED or status == KILLED, f"pytest ended with {status}"
    return status != 0


def _in_one_session(path: str, cases: Sequence[Case], coverage: Coverage) -> list[bool]:
    """Cases whose code can be put in place of what was imported: the tests are collected once for all of them."""
    with tempfile.NamedTemporaryFile() as file:

        def work() -> int:
            return int(pytest.main([*OPTIONS, *files], plugins=[_Session(path, cases, coverage, file.name)]))

        files = list(dict.fromkeys(name for case in cases for name in case.tests))
        status = _forked(work, COLLECTING + sum(_patience(case, coverage) for case in cases))
        answers = [bool(answer) for answer in file.read()]
    assert len(answers) == len(cases), f"pytest ended with {status}"
    return answers


class _Session:
    """A pytest plugin that instead of running the tests once runs those of each case in a fork, with its code."""

    def __init__(self, path: str, cases: Sequence[Case], coverage: Coverage, answers: str) -> None:
        self._path, self._cases, self._coverage, self._answers = path, cases, coverage, answers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The first plugin that answers is the only one."""
        items = {item.nodeid: item for item in session.items}
        for case in self._cases:
            tests = [items[name] for names in case.tests.values() for name in names]
            work = functools.partial(self._run, session, case, tests)
            status = _forked(work, _patience(case, self._coverage))
            assert status <= 1 or status == KILLED
            with open(self._answers, "ab") as file:
                file.write(bytes([status != 0]))
        return True

    def _run(self, session: pytest.Session, case: Case, tests: list[pytest.Item]) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        _put(self._path, case.code)
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if session.testsfailed:
                return 1
        return 0


def _put(path: str, module: CodeType) -> None:
    """Give all functions of the module at `path` the code that they have in another version of it."""
    codes, left = {}, [module]
    while left:
        code = left.pop()
        codes[code.co_qualname, code.co_firstlineno] = code
        left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == path:
            function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
