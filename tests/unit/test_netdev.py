"""Moving network interfaces: what is asked of pyroute2 before anything is touched."""

import sys

import pytest
from pyrunc.wings import netdevices


def test_whether_pyroute2_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert netdevices.pyroute2_is_installed()
    monkeypatch.setitem(sys.modules, "pyroute2", None)  # an import of it fails
    assert not netdevices.pyroute2_is_installed()


def test_what_pyroute2_cannot_load_is_not_said_to_be_pyroute2(monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of descriptors, say: installing it again would not help."""
    monkeypatch.delitem(sys.modules, "pyroute2", raising=False)
    monkeypatch.setitem(sys.modules, "pyroute2.netlink", None)
    monkeypatch.setitem(sys.modules, "pyroute2.iproute", None)
    with pytest.raises(ModuleNotFoundError):
        netdevices.pyroute2_is_installed()


@pytest.mark.parametrize(
    ("name", "pattern", "called"),
    [
        ("eth0", "eth0", True), ("eth0", "eth1", False), ("eth10", "eth1", False),
        ("eth0", "eth%d", True), ("eth17", "eth%d", True), ("eth", "eth%d", False), ("eth0a", "eth%d", False),
        ("a3b", "a%db", True), ("ab", "a%db", False), ("aab", "a%db", False), ("beth0", "eth%d", False),
    ],
)  # fmt: skip
def test_name_that_the_kernel_has_made(name: str, pattern: str, called: bool) -> None:
    assert netdevices._is_called(name, pattern) == called
