"""Every security test is checked for leftovers."""

import pytest

from tests.runtime import Runtime


@pytest.fixture(autouse=True)
def _leftovers_checked(runtime: Runtime) -> None:
    """Let even a test that does not name the runtime fixture run under its leftovers check."""
