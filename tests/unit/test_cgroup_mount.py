"""A mount of the unified hierarchy: its options are those of all its mounts, on the host as well."""

import pytest
from pyrunc.cgroup import cgroupfs, events, interface_files
from pyrunc.errors import PyruncError
from pyrunc.kernel import files as small_files
from pyrunc.kernel.mount import filesystems, mountoptions
from pyrunc.kernel.mount.mountoptions import Mount

MOUNTINFO = b"""\
25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
"""


@pytest.mark.parametrize(("apart", "given", "expected"), [
    ([], [], ["nsdelegate", "memory_recursiveprot"]),
    ([], ["memory_recursiveprot"], ["memory_recursiveprot", "nsdelegate"]),
    (["cgroup"], [], []),
])  # fmt: skip
def test_options_of_the_host_stay(monkeypatch, apart, given, expected):
    """A container's own namespace cannot change them."""
    done = []
    monkeypatch.setattr(small_files, "read", {"/proc/self/mountinfo": MOUNTINFO}.__getitem__)
    monkeypatch.setattr(filesystems, "_new", lambda mount, kind, words, **_: done.append((kind, words)) or 7)
    mount = Mount("cgroup", "/sys/fs/cgroup", "cgroup", mountoptions.parse(["ro", *given]))
    assert filesystems.create(mount, -1, -1, existed=True, apart=apart) == 7
    assert done == [("cgroup2", expected)]


def test_host_without_the_hierarchy(monkeypatch):
    monkeypatch.setattr(small_files, "read", lambda path: b"30 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")
    assert filesystems._options_of_the_hierarchy() == []


@pytest.mark.parametrize(("error", "there"), [(2, False), (13, False), (20, False), (24, None), (5, None), (12, None)])
def test_only_what_is_not_there_counts_as_not_mounted(monkeypatch, error, there):
    """EMFILE, say: who took that for a host without cgroup v2 would leave the container's cgroup and say nothing."""

    def fail(_):
        raise OSError(error, "")

    monkeypatch.setattr("posix.stat", fail)
    if there is False:
        assert interface_files.mount_point() is None
        return
    with pytest.raises(PyruncError, match="look for cgroup v2 in `/sys/fs/cgroup`"):
        interface_files.mount_point()


ASKS = [cgroupfs.remove, cgroupfs.kill, cgroupfs.members, events.populated, interface_files.directory]


@pytest.mark.parametrize("do", ASKS)
def test_of_a_cgroup_that_was_made_no_answer_is_not_taken_for_none(monkeypatch, do):
    """EACCES, by a security module: delete would forget the cgroup, and what runs in it."""

    def fail(_):
        raise OSError(13, "")

    monkeypatch.setattr("posix.stat", fail)
    with pytest.raises(PyruncError, match="look for cgroup v2 in `/sys/fs/cgroup`"):
        do("/a")


@pytest.mark.parametrize(("number", "frozen"), [(2, False), (19, False), (13, None), (24, None)])
def test_a_cgroup_that_cannot_be_looked_at_is_not_taken_for_running(monkeypatch, number, frozen):
    """ENOENT, ENODEV: it is gone."""

    def fail(*_):
        raise OSError(number, "")

    monkeypatch.setattr(events, "mount_point", lambda: "/sys/fs/cgroup")
    monkeypatch.setattr(small_files, "read", fail)
    if frozen is False:
        assert events.frozen("/a") is False
        return
    with pytest.raises(PyruncError, match="check whether cgroup `/a` is frozen"):
        events.frozen("/a")


def test_a_cgroup_may_have_a_name_that_is_no_text(tmp_path):
    """A container gives its cgroups what names it likes, and its processes' /proc/PID/cgroup shows them."""
    (tmp_path / "cgroup").write_bytes(b"0::/box/\xff\n")
    assert interface_files.read(str(tmp_path / "cgroup")) == "0::/box/\udcff\n"
