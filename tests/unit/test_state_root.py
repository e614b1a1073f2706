"""Where the state of containers is without --root."""

import pytest
from pyrunc import host


@pytest.mark.parametrize(
    ("euid", "inside", "runtime_dir", "root"),
    [
        (0, False, None, "/run/pyrunc"),
        (0, False, b"", "/run/pyrunc"),  # as podman gives it to root
        (0, False, b"/run/user/7", "/run/pyrunc"),
        (0, True, b"/run/user/7", "/run/user/7/pyrunc"),  # rootless podman
        (0, True, b"", "/run/pyrunc"),
        (7, False, b"/run/user/7", "/run/user/7/pyrunc"),
        (7, False, b"", "/run/user/7/pyrunc"),
        (7, False, None, "/run/user/7/pyrunc"),
    ],
)
def test_default(monkeypatch, euid, inside, runtime_dir, root):
    monkeypatch.setattr(host.posix, "geteuid", lambda: euid)
    monkeypatch.setattr(host, "in_user_namespace", lambda: inside)
    assert host.state_root({} if runtime_dir is None else {b"XDG_RUNTIME_DIR": runtime_dir}) == root
