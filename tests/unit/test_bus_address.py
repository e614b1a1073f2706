"""Where systemd's manager is looked for (systemd-run(1), sd_bus_open_user(3))."""

import pytest
from pyrunc.errors import PyruncError
from pyrunc.wings.systemd import scopes


@pytest.mark.parametrize(
    ("environment", "user", "address"),
    [
        ({}, False, "unix:path=/run/dbus/system_bus_socket"),
        ({b"DBUS_SYSTEM_BUS_ADDRESS": b"unix:path=/a"}, False, "unix:path=/a"),
        ({b"DBUS_SESSION_BUS_ADDRESS": b"unix:path=/a"}, False, "unix:path=/run/dbus/system_bus_socket"),
        ({b"XDG_RUNTIME_DIR": b"/run/user/7"}, True, "unix:path=/run/user/7/bus"),
        ({b"XDG_RUNTIME_DIR": b"/run/user/7", b"DBUS_SESSION_BUS_ADDRESS": b"unix:path=/b"}, True, "unix:path=/b"),
    ],
)
def test_address(environment, user, address):
    assert scopes.address(environment, user=user) == address


def test_user_without_any():
    with pytest.raises(PyruncError, match="neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR"):
        scopes.address({}, user=True)
