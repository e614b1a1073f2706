"""Whether a restored process has the label that was asked for, by what the kernel says of it."""

import pytest
from pyrunc.errors import PyruncError
from pyrunc.kernel.process import lsm


@pytest.mark.parametrize(("asked", "path", "found"), [
    ("apparmor:mine", "/proc/77/attr/apparmor/current", b"mine (enforce)\n"),
    ("apparmor:mine//child", "/proc/77/attr/apparmor/current", b"mine//child (complain)\n"),
    ("selinux:u:r:t_t:s0:c1,c2", "/proc/77/attr/current", b"u:r:t_t:s0:c1,c2\0"),
])  # fmt: skip
def test_label_is_there(monkeypatch, asked, path, found):
    monkeypatch.setattr(lsm, "_read", {path: found}.__getitem__)
    lsm.check_restored(77, asked)


@pytest.mark.parametrize(("asked", "found"), [
    ("apparmor:mine", b"unconfined\n"),
    ("apparmor:mine", b"mine2 (enforce)\n"),
    ("selinux:u:r:t_t:s0:c1,c2", b"u:r:t_t:s0\0"),
    ("selinux:u:r:t_t:s0", b""),
])  # fmt: skip
def test_label_is_not_there(monkeypatch, asked, found):
    monkeypatch.setattr(lsm, "_read", lambda path: found)
    with pytest.raises(PyruncError, match=r"not `.*`, as --lsm-profile asks"):
        lsm.check_restored(77, asked)
