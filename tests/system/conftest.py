"""Every system test is checked for leftovers; `user` is for those of ordinary users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ordinaryuser
from tests.ordinaryuser import OrdinaryUser
from tests.runtime import Runtime


@pytest.fixture(autouse=True)
def _leftovers_checked(runtime: Runtime) -> None:
    """Let even a test that does not name the runtime fixture run under its leftovers check."""


@pytest.fixture
def user(runtime: Runtime, area: Path) -> Iterator[OrdinaryUser]:
    """An ordinary user, who calls the runtime and has its state directory."""
    if reason := ordinaryuser.impossible():
        pytest.skip(reason)
    user = ordinaryuser.make(area)
    runtime.root, runtime.options = user.home / "state", user.caller()
    with user.known():
        yield user
