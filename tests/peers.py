"""Marks for tests whose expectation another runtime does not meet."""

import pytest

from tests.runtime import runtime_name

PEERS = ("crun", "runc")


def differs(**reasons: str) -> pytest.MarkDecorator:
    """Skip the test on the named peers, each with the reason: @differs(crun="why", runc="why")."""
    return pytest.mark.differs(**reasons)


def only_pyrunc(reason: str) -> pytest.MarkDecorator:
    """Skip the test on every peer, for what pyrunc alone promises."""
    return pytest.mark.differs(**dict.fromkeys(PEERS, reason))


def reason_to_skip(item: pytest.Item) -> str | None:
    """The reason that a differs mark gives for the runtime under test."""
    name = runtime_name()
    for mark in item.iter_markers("differs"):
        if name in mark.kwargs:
            return f"{name}: {mark.kwargs[name]}"
    return None
