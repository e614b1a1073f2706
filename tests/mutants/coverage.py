"""Which lines of the package each unit test executes."""

import contextlib
import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "runtime/pyrunc"
IMPORT = "import"


class Coverage:
    """lines: (path, line) -> contexts; line 0 stands for any. A context is a test's id, a file of tests for what its
    collection executes, or IMPORT. seconds: test -> how long it took, in the order in which they ran."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}

    def contexts(self, path: str, lines: "tuple[int, int]", importers: Sequence[str]) -> set[str]:
        """Those that execute one of these lines. What runs at import is noticed, if at all, by what executes any line
        of the module or of its importers, or by tests that are importers."""
        hit: set[str] = set().union(*(self.lines.get((path, line), ()) for line in range(lines[0], lines[1] + 1)))
        if IMPORT not in hit:
            return hit
        return hit.union(importers, *(self.lines.get((one, 0), ()) for one in (path, *importers)))

    def tests(self, contexts: set[str]) -> dict[str, list[str]]:
        """File of tests -> its tests that these are, quick ones first; the files by what these cost."""
        found: dict[str, list[str]] = defaultdict(list)
        for test in sorted(self.seconds, key=self.seconds.__getitem__):
            file = test.partition("::")[0]
            if test in contexts or file in contexts:
                found[file].append(test)
        return dict(sorted(found.items(), key=lambda item: self.cost(item[1])))

    def cost(self, tests: Sequence[str]) -> float:
        """Seconds that these take together."""
        return sum(map(self.seconds.__getitem__, tests))


class Recorder:
    """A pytest plugin that fills a Coverage."""

    def __init__(self) -> None:
        self.coverage, self._context = Coverage(), IMPORT

    def import_modules(self, names: Sequence[str]) -> None:
        """What these execute at import is then no test's."""
        sys.path.insert(0, str(PACKAGE.parent))  # where pytest will find them, too, but only once it runs
        with self._in(IMPORT):
            for name in names:
                importlib.import_module(name)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Any:
        """A file is collected: its tables may come from the package."""
        with self._in(collector.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """A test runs."""
        begin = time.monotonic()
        with self._in(item.nodeid):
            result = yield
        self.coverage.seconds[item.nodeid] = time.monotonic() - begin
        return result

    @contextlib.contextmanager
    def _in(self, context: str) -> Iterator[None]:
        self._context = context
        sys.settrace(self._trace)
        yield
        sys.settrace(None)

    def _trace(self, frame: Any, event: str, _: object) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(str(PACKAGE)):
            return None
        self.coverage.lines[path, 0].add(self._context)
        return self._line(frame, event, None)

    def _line(self, frame: Any, _event: str, _: object) -> Any:
        self.coverage.lines[frame.f_code.co_filename, frame.f_lineno].add(self._context)
        return self._line
