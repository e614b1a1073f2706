"""Fixtures for all tests that call the runtime, and the summary with counts and the reasons of skips."""

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import leftovers, ordinaryuser, peers, privatehost
from tests.bundle import Bundle, build_rootfs
from tests.ordinaryuser import OrdinaryUser
from tests.removal import remove_tree
from tests.runtime import Runtime, executable, new_id, runtime_name


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks. Signals that a shell's `&` or nohup(1) ignores are not ignored by what the tests call."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    config.addinivalue_line("markers", "differs(NAME=REASON): counted as skipped on the named runtimes")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how often a race is tried, and what shows whether a differs mark is still true."""
    parser.addoption("--rounds", type=int, default=10, help="tries of each attack that is a race (default: 10)")
    parser.addoption("--ignore-differs", action="store_true", help="run tests that are marked as differing on a peer")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Turn differs marks into skips. What talks to systemd comes first: the private host has no bus in its /run."""
    items.sort(key=lambda item: item.path.parent.name != "systemd")
    if config.getoption("--ignore-differs"):
        return
    for item in items:
        reason = peers.reason_to_skip(item)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List how races ended and why tests were skipped, and end with the counts."""
    stats = terminalreporter.stats
    for report in (*stats.get("passed", []), *stats.get("failed", [])):
        for _, line in report.user_properties:
            terminalreporter.write_line(line)
    skipped = stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count:3d}: {reason}")
    counts = [f"{len(stats.get(kind, []))} {kind}" for kind in ("passed", "failed", "error", "skipped")]
    terminalreporter.write_line(f"runtime {runtime_name()}: {', '.join(counts)}")


@pytest.fixture(scope="session")
def private_host() -> Iterator[None]:
    """The session's private view of the host; skips as an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not executable().exists():
        pytest.fail(f"there is no runtime at {executable()}: set RUNTIME, or build it")
    privatehost.enter()
    yield
    privatehost.remove_cgroup_parent()


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """A directory for bundles that users other than root can walk through, as user namespaces need it."""
    directory = Path(tempfile.mkdtemp(prefix="runtime-tests-"))
    directory.chmod(0o711)
    yield directory
    remove_tree(directory)


@pytest.fixture(scope="session")
def rootfs_template(session_directory: Path) -> Path:
    """The root filesystem that bundles copy."""
    template = session_directory / "template"
    build_rootfs(template)
    return template


@pytest.fixture
def area(session_directory: Path) -> Iterator[Path]:
    """A directory for one test's bundles and state, removed afterwards."""
    directory = session_directory / new_id()
    directory.mkdir(mode=0o711)
    yield directory
    remove_tree(directory)


@pytest.fixture
def runtime(private_host: None, area: Path) -> Iterator[Runtime]:
    """The runtime under test with a state directory of its own; fails the test if anything is left on the host."""
    runtime = Runtime(area / "state")
    before = leftovers.observe(runtime.root)
    yield runtime
    left = leftovers.check(before, runtime.root)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def make_bundle(area: Path, rootfs_template: Path) -> Callable[[], Bundle]:
    """A function that makes one more bundle."""

    def make() -> Bundle:
        return Bundle(area / f"bundle-{new_id()}", rootfs_template)

    return make


@pytest.fixture
def bundle(make_bundle: Callable[[], Bundle]) -> Bundle:
    """A bundle."""
    return make_bundle()


@pytest.fixture
def user(runtime: Runtime, area: Path) -> Iterator[OrdinaryUser]:
    """An ordinary user, who calls the runtime and has its state directory."""
    if reason := ordinaryuser.impossible():
        pytest.skip(reason)
    user = ordinaryuser.make(area)
    runtime.root, runtime.options = user.home / "state", user.caller()
    with user.known():
        yield user
