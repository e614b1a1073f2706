"""The pytest plug-in of all suites of checks: their options, which of them are made, and a report in the form of TAP.

A check is a test with `@check(group, sentence)`; the sentence may name its parameters, as `{kind}`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness.checks import Failed
from conformance.harness.engine import Engine, scratch_folder

LEFTOVERS = "leftovers"  # the group that is always made, and last
WORDS = {"passed": "ok", "skipped": "ok", "failed": "not ok"}


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    add("--runtime", metavar="PATH", default="/usr/bin/pyrunc", help="default: %(default)s")
    add("--runtime-flag", action="append", default=[], metavar="FLAG", help="for the runtime")
    add("--cgroup-manager", choices=("systemd", "cgroupfs"), help="default: the engine's")
    add("--group", metavar="NAME,...", help="only these groups (see --list)")
    add("--filter", default="", metavar="REGEX", help="only checks with this in `group: sentence`")
    add("--list", action="store_true", dest="only_list", help="print the checks and end")


def pytest_configure(config: pytest.Config) -> None:
    line = "check(group, sentence, rootful_only='', rootless_only=''): a check; why it cannot be made the other way"
    config.addinivalue_line("markers", line)
    config.pluginmanager.register(Report())


def mark(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("check")


def title(item: pytest.Item) -> str:
    """`group: sentence`."""
    group, sentence = mark(item).args
    return f"{group}: {sentence.format(**item.callspec.params) if hasattr(item, 'callspec') else sentence}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the checks that the options choose, sorted by group."""
    option = config.option
    groups = {item: mark(item).args[0] for item in items if mark(item)}
    items.clear()
    wanted = set(option.group.split(",") if option.group else groups.values())
    if unknown := wanted - set(groups.values()):
        there = " ".join(sorted(set(groups.values())))
        raise pytest.UsageError(f"no such group: {' '.join(sorted(unknown))}; there are {there}")
    chosen = [
        item
        for item, group in groups.items()
        if group == LEFTOVERS or (group in wanted and re.search(option.filter, title(item)))
    ]
    items += sorted(chosen, key=lambda item: (groups[item] == LEFTOVERS, groups[item]))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not session.config.option.only_list:
        return None
    print(*map(title, session.items), sep="\n")
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what only root, or only an ordinary user, can do."""
    if reason := mark(item).kwargs.get("rootless_only" if os.geteuid() == 0 else "rootful_only"):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the engine; the root of a user namespace may go through it."""
    with scratch_folder() as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


@pytest.fixture
def engine(served: Engine) -> Iterator[Engine]:
    """The engine that the suite serves; what the check makes is removed after it."""
    with contextlib.ExitStack() as served.undo:
        yield served


class Report:
    """A line for each check when it has ended, what failed in `#` lines, and the sums, if the run came to its end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.titles: dict[str, str] = {}
        self.outcome, self.texts = "passed", list[str]()  # of the check that is being made

    def pytest_report_teststatus(self) -> tuple[str, str, str]:
        """pytest's own report is empty."""
        return "", "", ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.titles = {item.nodeid: title(item) for item in session.items}
        if self.titles and not session.config.option.only_list:
            print(f"1..{len(self.titles)}", flush=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Its set-up, itself or its clearing up has ended."""
        if report.skipped:
            self.outcome, self.texts = "skipped", [report.longrepr[2].removeprefix("Skipped: ")]

    def pytest_exception_interact(
        self, node: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        if isinstance(report, pytest.CollectReport):
            return
        if self.outcome != "failed":
            self.outcome, self.texts = "failed", []
        value = call.excinfo.value
        text = str(value) if isinstance(value, Failed) else report.longreprtext
        self.texts += ["clearing up:"] * (call.when == "teardown") + text.splitlines()
        if call.when == "setup":  # that is the suite's
            node.session.shouldstop = "nothing runs"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.counts[self.outcome] += 1
        line = f"{WORDS[self.outcome]} {self.counts.total()} - {self.titles[nodeid]}"
        if self.outcome == "skipped":
            print(f"{line} # SKIP {self.texts[0]}", flush=True)
        else:
            print(line, *(f"#   {text}" for text in self.texts), sep="\n", flush=True)
        self.outcome, self.texts = "passed", []

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        yield  # to pytest's last, empty line
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.config.option.only_list:
            print(", ".join(f"{self.counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")))
