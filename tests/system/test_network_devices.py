"""linux.netDevices: interfaces that move into the container, with their addresses, and back when create fails.

The tests run in a network namespace of their own, so that the machine's interfaces stay where they are.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import fakecriu
from tests.bundle import Bundle, Json
from tests.kernelcalls import CLONE_NEWNET, setns, unshare
from tests.peers import only_pyrunc
from tests.runtime import Result, Runtime, caller_environment, error_text, new_id
from tests.waiting import eventually


def ip(*words: str) -> list[Json]:
    """Run ip(8) in this namespace; what it prints as JSON."""
    output = subprocess.run(["ip", "-json", *words], check=True, capture_output=True, text=True).stdout
    return json.loads(output or "[]")


def names() -> set[str]:
    return {link["ifname"] for link in ip("link", "show")}


def addresses(name: str) -> set[str]:
    """The addresses of the interface that a configuration would have set: global, permanent."""
    (link,) = ip("address", "show", name)
    return {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"}


@pytest.fixture
def _network(runtime: Runtime) -> Iterator[None]:
    """A network namespace for the test, with the interfaces va and vb, which are two ends of one cable."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    try:
        ip("link", "add", "va", "type", "veth", "peer", "name", "vb")
        ip("address", "add", "192.0.2.1/24", "broadcast", "192.0.2.255", "dev", "va")
        ip("address", "add", "192.0.2.9", "peer", "192.0.2.10", "dev", "va")
        ip("address", "add", "2001:db8::1/64", "dev", "va")
        ip("link", "set", "va", "mtu", "1400", "up")
        yield
    finally:
        setns(before, CLONE_NEWNET)
        os.close(before)


pytestmark = [
    only_pyrunc("the versions that are tested, crun 1.8.1 and runc 1.1.5, do not know netDevices"),
    pytest.mark.usefixtures("_network"),
]
SHOW = "ip address show"
ALL = {"192.0.2.1/24", "192.0.2.9/32", "2001:db8::1/64"}


def move(bundle: Bundle, **devices: str | None) -> Bundle:
    """Interfaces by their names outside; inside: a new name, or None to keep it."""
    bundle.linux["netDevices"] = {name: {"name": new} if new else {} for name, new in devices.items()}
    return bundle


def test_interface_is_in_the_container_and_not_outside(runtime: Runtime, bundle: Bundle) -> None:
    with runtime.created(move(bundle, va=None).shell("ls /sys/class/net")) as container:
        assert names() == {"lo", "vb"}
        assert container.finish().split() == ["lo", "va"]


def test_end_of_the_container_does_not_bring_it_back(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md, "Namespace Lifecycle and Container Termination": it goes with its network namespace."""
    with runtime.running(move(bundle, va=None)):
        pass
    eventually(lambda: names() == {"lo"}, "the end of both ends of the pair")


def test_new_name(runtime: Runtime, bundle: Bundle) -> None:
    output = runtime.output(move(bundle, va="eth0", vb="lan"), "ls /sys/class/net")
    assert output.split() == ["eth0", "lan", "lo"]


def test_permanent_global_addresses_are_kept_and_it_is_up(runtime: Runtime, bundle: Bundle) -> None:
    output = runtime.output(move(bundle, va="eth0"), f"{SHOW} eth0")
    assert "mtu 1400" in output
    assert ",UP" in output.splitlines()[0]
    for text in ("inet 192.0.2.1/24 brd 192.0.2.255", "inet 192.0.2.9 peer 192.0.2.10/32", "inet6 2001:db8::1/64"):
        assert text in output


@pytest.mark.parametrize("words", ["valid_lft 1000 preferred_lft 1000", "scope link", "scope host"])
def test_temporary_or_local_address_is_not_taken_along(runtime: Runtime, bundle: Bundle, words: str) -> None:
    ip("address", "add", "198.51.100.7/24", "dev", "va", *words.split())
    output = runtime.output(move(bundle, va=None), SHOW)
    assert "192.0.2.1" in output
    assert "198.51.100.7" not in output


def test_kernel_fills_in_a_template(runtime: Runtime, bundle: Bundle) -> None:
    output = runtime.output(move(bundle, va="eth%d", vb="eth%d"), "ls /sys/class/net; " + SHOW)
    assert output.split()[:3] == ["eth0", "eth1", "lo"]
    assert "192.0.2.1/24" in output


def test_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    assert "192.0.2.1/24" in runtime.output(move(bundle.user_namespace(), va="eth0"), SHOW)


def test_joined_network_namespace(runtime: Runtime, bundle: Bundle, area: Path, rootfs_template: Path) -> None:
    with runtime.running(bundle.shell("exec sleep 1000")) as first:
        second = Bundle(area / "second", rootfs_template).namespace("network", f"/proc/{first.pid}/ns/net")
        assert "192.0.2.1/24" in runtime.output(move(second, va="eth0"), SHOW)


def test_hooks_find_it(runtime: Runtime, bundle: Bundle) -> None:
    move(bundle, va="eth0").hook("createContainer", f"cat /proc/net/dev > {bundle.path}/seen")
    runtime.output(bundle, "true")
    assert "eth0" in (bundle.path / "seen").read_text()


def test_missing_interface(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(move(bundle, nosuch="eth0"), "`nosuch` does not exist", "/linux/netDevices/nosuch")


def test_name_that_is_taken_inside(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(move(bundle, va="lo"), "already has an interface `lo`", "/linux/netDevices/va")
    assert names() == {"lo", "va", "vb"}


def test_interface_that_cannot_move(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create_fails(move(bundle, lo="other"), "cannot leave its namespace", "/linux/netDevices/lo")


@pytest.mark.parametrize("later", ["missing interface", "failing hook", "missing program"])
def test_failed_create_gives_everything_back(runtime: Runtime, bundle: Bundle, later: str) -> None:
    move(bundle, va="eth0", vb=None)
    if later == "missing interface":
        move(bundle, va="eth0", vb=None, nosuch=None)
    elif later == "failing hook":
        bundle.hook("createRuntime", "exit 3")
    else:
        bundle.process["args"] = ["/no/such/program"]
    runtime.create_fails(bundle)
    assert names() == {"lo", "va", "vb"}
    assert addresses("va") == ALL
    up = {link["ifname"]: "UP" in link["flags"] for link in ip("link", "show")}
    assert (up["va"], up["vb"]) == (True, False)


@pytest.fixture
def fake(area: Path) -> dict[str, str]:
    """A criu that restores a process which sleeps, or nothing where there is no file `restores` beside it."""
    environment = fakecriu.install(area / "fake")
    (area / "fake/restores").touch()
    (area / "images").mkdir(0o700)
    return environment


def test_restore_into_a_joined_network_namespace(
    runtime: Runtime, bundle: Bundle, make_bundle: Callable[[], Bundle], area: Path, fake: dict[str, str]
) -> None:
    """It outlives the container and keeps what has moved there, whatever the kernel has called it; the rest moves."""
    with runtime.running(bundle.shell("exec sleep 1000")) as first:
        second = move(make_bundle(), va="eth%d", vb="lan")
        second.namespace("network", f"/proc/{first.pid}/ns/net")

        def inside() -> set[str]:
            return set(runtime.call("exec", first.id, "ls", "/sys/class/net").stdout.split())

        def restore(name: str) -> Result:
            second.save(name)
            words = ("--detach", "--bundle", second.path, "--image-path", area / "images", name)
            return runtime.call("restore", *words, env=caller_environment(**fake))

        (area / "fake/restores").unlink()
        error_text(restore(new_id()), "criu could not restore")
        assert (names(), addresses("va"), inside()) == ({"lo", "va", "vb"}, ALL, {"lo"})
        (area / "fake/restores").touch()
        for name in (new_id(), new_id()):
            assert restore(name).stderr == ""
            assert runtime.delete(name, "--force").returncode == 0
            assert (names(), inside()) == ({"lo"}, {"lo", "eth0", "lan"})
        first.kill()


def test_the_runtimes_own_network_namespace_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.namespace("network", f"/proc/{os.getpid()}/ns/net")
    runtime.create_fails(move(bundle, va="eth0"), "not the runtime's own", "/linux/netDevices")
    assert addresses("va") == ALL


def test_without_a_network_namespace_it_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.share("network").drop_mounts("/sys", "/sys/fs/cgroup")
    runtime.create_fails(move(bundle, va="eth0"), "namespace of type `network`", "/linux/netDevices")
