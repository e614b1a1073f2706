"""Races: while a container is made or deleted, a name on its way is exchanged for a symlink, or a node, all the time.

    pytest tests/security/test_swapped_paths.py --rounds 2000

tries each attack that often, and prints how many containers were made, how many refused, and that none got out.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bundle import Bundle
from tests.kernelcalls import mount, umount, watch_opens
from tests.peers import only_pyrunc
from tests.runtime import Result, Runtime, new_id
from tests.security.test_hostile_images import UP, observe
from tests.swapping import swapping

pytestmark = only_pyrunc("has some of these flaws")


class Attack:
    """A bundle whose mount `/vol` is the volume that others share, and the host around it.

    The volume has the directory `a` and, in its place half of the time, the symlink `link` to `outside`.
    """

    def __init__(self, request: pytest.FixtureRequest, runtime: Runtime, bundle: Bundle, area: Path) -> None:
        self.request, self.runtime, self.bundle = request, runtime, bundle
        self.rounds: int = request.config.getoption("--rounds")
        self.volume, self.outside = area / "volume", area / "outside"
        (self.outside / "sub").mkdir(parents=True)
        for name in ("ptmx", "file", "sub/sentinel", "secret"):
            (self.outside / name).write_text("outside marker")
        (self.volume / "a").mkdir(parents=True)
        (self.volume / "link").symlink_to(self.outside)
        self.swapped = self.volume / "a", self.volume / "link"
        bundle.mount("/vol", self.volume, "rbind")

    def mounts(self) -> list[str]:
        """What is mounted at and below the test's directories, and on the host's files that containers see."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        ours = (str(self.outside.parent), "/dev", "/proc", "/sys", "/etc", "/run")
        return [line for line in lines if line.split()[4].startswith(ours)]

    def campaign(self, escaped: Callable[[Result], bool]) -> None:
        """Try it again and again; the host stays what it was, and `escaped` says of no container that was made yes."""
        self.bundle.save("race")
        before, there = observe(self.outside), self.mounts()
        made = refused = out = 0
        try:
            with swapping(*self.swapped):
                for _ in range(self.rounds):
                    result = self.runtime.call("run", "--bundle", self.bundle.path, new_id())
                    made += result.returncode == 0
                    refused += result.returncode != 0
                    same = observe(self.outside) == before and self.mounts() == there
                    out += not same or (result.returncode == 0 and escaped(result))
        finally:  # also if somebody has had enough of it
            line = f"rounds {made + refused}, created {made}, refused {refused}, escaped {out}"
            self.request.node.user_properties.append(("race", f"{self.request.node.name}: {line}"))
        assert out == 0, line


@pytest.fixture
def attack(request: pytest.FixtureRequest, runtime: Runtime, bundle: Bundle, area: Path) -> Iterator[Attack]:
    """An attack."""
    attack = Attack(request, runtime, bundle, area)
    yield attack
    shutil.rmtree(attack.volume)


@pytest.mark.parametrize("target", ["/", "{outside}", UP + "{outside}"], ids=["root", "absolute", "relative"])
def test_mount_destination(attack: Attack, target: str) -> None:  # CVE-2021-30465, CVE-2024-45310
    (attack.volume / "link").unlink()
    (attack.volume / "link").symlink_to(target.format(outside=attack.outside))
    for number in range(4):
        attack.bundle.mount(f"/vol/a/m{number}", "tmpfs", fstype="tmpfs")
    attack.bundle.mount("/vol/a/deep/er/file", "/etc/hostname", "bind", "ro")
    attack.bundle.shell(f"cat /vol/*/sub/sentinel /vol/*{attack.outside}/file 2> /dev/null; true")
    attack.campaign(lambda result: "outside marker" in result.stdout)


def test_mount_source(attack: Attack) -> None:
    """The source is the host's; wherever it leads, what the options say holds of what is mounted."""
    (attack.volume / "a/sub").mkdir()
    attack.bundle.mount("/mnt", attack.volume / "a/sub", "rbind", "ro", "nosuid")
    attack.bundle.shell("touch /mnt/x 2> /dev/null && echo written; grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6")
    attack.campaign(lambda result: not result.stdout.startswith("ro,nosuid"))


def test_proc(attack: Attack) -> None:  # CVE-2019-19921
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    link = attack.bundle.rootfs / "link"
    link.symlink_to("/tmp")
    attack.swapped = attack.bundle.rootfs / "proc", link
    attack.bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1" if before == "0\n" else "0"}
    # The container itself finds its /proc under either name.
    attack.bundle.shell(
        "exec 2> /dev/null; for proc in /proc /link; do "
        "stat -c %t:%T $proc/timer_list; cat $proc/sys/net/ipv4/ip_forward; done; true"
    )
    wanted = {"1:3", str(1 - int(before))}
    attack.campaign(lambda result: not set(result.stdout.split()) <= wanted or forward.read_text() != before)


def test_masked_path(attack: Attack) -> None:  # CVE-2025-31133
    """What masks is swapped in a shared root file system, and so is the way to one of what is masked."""
    attack.bundle.drop_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    dev, link = attack.bundle.rootfs / "dev", attack.bundle.rootfs / "link"
    link.symlink_to(attack.outside / "file")
    os.mknod(dev / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (attack.volume / "a/secret").touch()
    attack.bundle.linux["maskedPaths"] = ["/proc/timer_list", "/proc/keys", "/vol/a/secret"]
    attack.bundle.shell("stat -c %t:%T /proc/timer_list /proc/keys")
    with swapping(dev / "null", link):
        attack.campaign(lambda result: result.stdout != "1:3\n1:3\n")


def test_directory_of_devices(attack: Attack) -> None:
    attack.bundle.linux["devices"] = [
        {"path": f"/vol/a/d{number}", "type": "c", "major": 1, "minor": 3} for number in range(3)
    ]
    attack.campaign(lambda _: False)


def test_working_directory(attack: Attack) -> None:
    attack.bundle.process["cwd"] = "/vol/a/x/y/z"
    attack.bundle.shell("pwd")
    attack.campaign(lambda result: "unreachable" in result.stdout)


def never_opened(attack: Attack, node: Path) -> None:
    """Make the rounds; one in which the node was opened has let the attacker out."""
    opens = watch_opens(str(node))

    def opened(_: Result) -> bool:
        try:
            return bool(os.read(opens, 4096))
        except BlockingIOError:
            return False

    attack.campaign(opened)
    os.close(opens)


def test_passwd_and_a_node(attack: Attack) -> None:
    """A node that was opened may have acted: there is no device filter yet."""
    node = attack.bundle.rootfs / "etc/node"
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 9))
    attack.swapped = attack.bundle.rootfs / "etc/passwd", node
    never_opened(attack, node)


def test_file_to_copy_and_a_node(attack: Attack) -> None:
    node = attack.bundle.rootfs / "node"
    (attack.bundle.rootfs / "data").mkdir()
    (attack.bundle.rootfs / "data/file").touch()
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 9))
    attack.swapped = attack.bundle.rootfs / "data/file", node
    attack.bundle.mount("/data", "tmpfs", "tmpcopyup", fstype="tmpfs")
    never_opened(attack, node)


def test_read_only_tmpfs(attack: Attack) -> None:
    (attack.volume / "a/t").mkdir()
    (attack.volume / "link").unlink()
    (attack.volume / "link").symlink_to("/data")
    (attack.bundle.rootfs / "data/t").mkdir(parents=True)
    attack.bundle.mount("/data/t", "other", fstype="tmpfs")
    attack.bundle.mount("/vol/a/t", "secret", "ro", fstype="tmpfs")
    attack.bundle.shell("grep ' - tmpfs secret ' /proc/self/mountinfo | cut -d' ' -f6")
    attack.campaign(lambda result: not result.stdout.startswith("ro"))


def test_unmounting(attack: Attack) -> None:
    """delete of a container without a mount namespace, beside mounts of the host under the same names."""
    names = [f"m{number}" for number in range(8)]
    for name in names:
        (attack.outside / name).mkdir()
        mount("hosts", str(attack.outside / name), "tmpfs")
    shared = attack.bundle.rootfs / "data"
    (shared / "a").mkdir(parents=True)
    (shared / "link").symlink_to(attack.outside)
    attack.swapped = shared / "a", shared / "link"
    attack.bundle.share("mount").config["mounts"] = [
        {"destination": f"/data/a/{name}", "type": "tmpfs", "source": "tmpfs"} for name in names
    ]
    for key in ("maskedPaths", "readonlyPaths"):
        del attack.bundle.linux[key]
    try:
        attack.campaign(lambda _: False)
    finally:
        for name in names:
            umount(str(attack.outside / name))
