"""Volumes and nodes of the host in a container: neither the image nor who shares a volume leads us to others."""

import os
import stat
from pathlib import Path

import pytest
from pyrunc.kernel import paths
from pyrunc.kernel.process import credentials
from pyrunc.wings import copyup

from tests.bundle import Bundle
from tests.kernelcalls import watch_opens
from tests.peers import differs, only_pyrunc
from tests.runtime import Runtime

FLAW = differs(crun="1.8.1 has this flaw", runc="1.1.5 has this flaw")
TTY = os.makedev(5, 0)


@FLAW
@pytest.mark.parametrize("link", ["/dev", "/dev/", "../dev", "dev", "/opt/nodes", "/opt"])
@pytest.mark.parametrize("options", [("bind",), ("rbind", "rw")])
def test_volume_that_a_symlink_leads_to_where_devices_are_made(
    runtime: Runtime, bundle: Bundle, area: Path, link: str, options: tuple[str, ...]
) -> None:
    """No node, which would be the host's device there, and no symlink comes into the volume; and ptmx stays."""
    volume = area / "volume"
    (volume / "nodes").mkdir(parents=True)
    (volume / "ptmx").write_text("of the user")
    (bundle.rootfs / "opt/nodes").mkdir(parents=True)
    (bundle.rootfs / "data").symlink_to(link)
    bundle.mount("/data", volume, *options)
    bundle.linux["devices"] = [{"path": "/opt/nodes/x", "type": "b", "major": 254, "minor": 0}]
    assert "a symlink in the root filesystem" in runtime.create_fails(bundle)
    assert sorted(os.listdir(volume)) == ["nodes", "ptmx"]
    assert (volume / "ptmx").read_text() == "of the user"
    assert os.listdir(volume / "nodes") == []


@differs(crun="1.8.1 needs a /dev/null there", runc="1.1.5 needs a /dev/null there")
@pytest.mark.parametrize("destination", ["/dev", "dev/", "/x/../dev", "/opt"])
def test_volume_where_devices_are_made_by_the_configuration(
    runtime: Runtime, bundle: Bundle, area: Path, destination: str
) -> None:
    volume = area / "volume"
    (volume / "nodes").mkdir(parents=True)
    (bundle.rootfs / "x").mkdir()
    bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue").mount(destination, volume, "bind")
    bundle.linux["devices"] = [{"path": f"/{destination.rsplit('/', 2)[-1] or 'dev'}/nodes/x", "type": "p"}]
    runtime.output(bundle, "true")
    assert stat.S_ISFIFO(os.stat(volume / "nodes/x").st_mode)


@differs(crun="1.8.1 changes it")
@pytest.mark.parametrize("option", ["rw", "ro"])
@pytest.mark.parametrize("listed", [False, True])
def test_node_of_the_host_keeps_its_owner_and_mode(
    runtime: Runtime, bundle: Bundle, area: Path, option: str, listed: bool
) -> None:
    """What is bound onto the path of a default device, or of a listed one, is the host's; it may be read-only."""
    node = area / "node"
    os.mknod(node, stat.S_IFCHR | 0o600, TTY)
    os.chown(node, 3, 4)
    before = node.stat()
    bundle.mount("/dev/tty", node, "bind", option)
    if listed:
        entry = {"path": "/dev/tty", "type": "c", "major": 5, "minor": 0, "fileMode": 0o444, "uid": 7, "gid": 8}
        bundle.linux["devices"] = [entry]
    assert runtime.output(bundle, "stat -c '%t %T %a %u' /dev/tty") == "5 0 600 3\n"
    after = node.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ctime_ns == before.st_ctime_ns


@differs(runc="1.1.5 has this flaw")
def test_read_only_tmpfs_whose_path_leads_elsewhere_meanwhile(runtime: Runtime, bundle: Bundle, area: Path) -> None:
    """What is made read-only at the end is that tmpfs, not what is found under its name then."""
    volume = area / "volume"
    (volume / "a/t").mkdir(parents=True)
    bundle.mount("/mnt/t", "other", fstype="tmpfs").mount("/vol", volume, "rbind")
    bundle.mount("/vol/a/t", "secret", "ro", fstype="tmpfs")
    bundle.hook("createRuntime", f"cd {volume} && mv a b && ln -s /mnt a")
    lines = runtime.output(bundle, "cat /proc/self/mountinfo").splitlines()
    flags = {line.split()[-2]: line.split()[5].split(",")[0] for line in lines if " - tmpfs " in line}
    assert (flags["secret"], flags["other"]) == ("ro", "rw")


def exchanged(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    for old, new in ((one, aside), (other, one), (aside, other)):
        old.rename(new)


@only_pyrunc("calls a function of pyrunc's")
def test_passwd_that_becomes_a_node_after_it_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no device filter is in force: opening the node of a watchdog starts it."""
    passwd, node = tmp_path / "etc/passwd", tmp_path / "etc/node"
    passwd.parent.mkdir()
    passwd.write_text("user:x:1000:1000::/home/user:/bin/sh\n")
    os.mkfifo(node)
    opens, root = watch_opens(str(node)), os.open(tmp_path, os.O_PATH)
    looked = paths.open_in
    monkeypatch.setattr(paths, "open_in", lambda *arguments: (looked(*arguments), exchanged(passwd, node))[0])
    assert credentials.with_home([], 1000, root, before_pivot=True) == ["HOME=/home/user"]
    with pytest.raises(BlockingIOError):
        os.read(opens, 4096)
    for fd in (opens, root):
        os.close(fd)


@only_pyrunc("calls a function of pyrunc's")
@pytest.mark.parametrize("when", ["looked at", "opened"])
def test_file_to_copy_that_becomes_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """tmpcopyup, after the type of the file was looked at."""
    source, destination, node = tmp_path / "source", tmp_path / "destination", tmp_path / "node"
    for directory in (source, destination):
        directory.mkdir()
    (source / "file").write_text("text")
    os.mkfifo(node)
    opens = watch_opens(str(node))
    name = "stat" if when == "looked at" else "fstat"
    call = getattr(os, name)
    done: list[int] = []

    def swap(*arguments: object, **words: object) -> object:
        result = call(*arguments, **words)
        if not done and stat.S_ISREG(result.st_mode):
            done.append(0)
            exchanged(source / "file", node)
        return result

    monkeypatch.setattr(copyup.posix, name, swap)
    one, other = os.open(source, os.O_PATH), os.open(destination, os.O_PATH)
    copyup.copy(one, other)
    assert (destination / "file").read_text() == ("" if when == "looked at" else "text")
    with pytest.raises(BlockingIOError):
        os.read(opens, 4096)
    for fd in (opens, one, other):
        os.close(fd)
