"""Moving network interfaces: what is asked of pyroute2 before anything is touched."""

import sys

import pytest
from pyrunc.errors import ConfigError
from pyrunc.kernel.network import netdevices


def test_without_pyroute2_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)  # an import of it fails
    with pytest.raises(ConfigError, match="python3-pyroute2") as caught:
        netdevices.require()
    assert caught.value.pointer == "/linux/netDevices"


def test_what_pyroute2_cannot_load_is_not_said_to_be_pyroute2(monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of descriptors, say: installing it again would not help."""
    monkeypatch.delitem(sys.modules, "pyroute2", raising=False)
    monkeypatch.setitem(sys.modules, "pyroute2.netlink", None)
    monkeypatch.setitem(sys.modules, "pyroute2.iproute", None)
    with pytest.raises(ModuleNotFoundError):
        netdevices.require()


def test_with_pyroute2_nothing_is_said() -> None:
    netdevices.require()


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
