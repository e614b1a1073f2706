"""Makes every broken host of the table, and says whether `pyrunc doctor` and `create` name the cause.

Some of the hosts change the whole machine for a moment (sysctls, systemd's drop-ins): it is meant for the test VM.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.broken_hosts.hosts import HOSTS, Host
from conformance.broken_hosts.making import Workshop, installed_init
from conformance.harness.checks import Failed, check
from tests.bundle import Bundle, build_rootfs
from tests.removal import remove_tree

VM_USER = 1000  # tester, who has a user manager


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("conformance").addoption
    add("--init", metavar="PATH", help="the runtime's pyrunc-init (default: as installed)")


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A folder that every user can walk through."""
    if os.geteuid() != 0:
        raise Failed("call this as root of the test VM")
    folder = Path(tempfile.mkdtemp(prefix="broken-hosts-"))
    folder.chmod(0o755)
    build_rootfs(folder / "template")
    yield folder
    remove_tree(folder)


@check("broken hosts", "{host.name} ({host.check})")
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_doctor_and_create_name_the_cause(host: Host, base: Path, pytestconfig: pytest.Config) -> None:
    if reason := host.needs():
        pytest.skip(reason)
    place = base / str(HOSTS.index(host))
    place.mkdir()
    place.chmod(0o755)
    runtime = Path(pytestconfig.option.runtime)
    init = pytestconfig.option.init or installed_init(runtime)
    bundle = Bundle(place.with_name(f"{place.name}-bundle"), base / "template")
    Workshop(runtime, place, VM_USER, init).examine(host, bundle)
