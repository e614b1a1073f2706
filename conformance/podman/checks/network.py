"""Networks: none, podman's default, one of the user's own, the host's, another container's, published ports."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

from conformance.harness.checks import check, equal, matches, output_checks, wait_until
from conformance.podman.harness import Podman

SERVER = ["sh", "-c", "echo served >/tmp/page; exec httpd -f -p 8080 -h /tmp"]

test_outputs = output_checks(
    "base",
    [
        (
            "--network none: loopback alone, and it is up",
            "--network none",
            "ls /sys/class/net; ip address show lo | grep -c 'LOOPBACK,UP'",
            "lo\n1",
        ),
        (
            "default network: an interface and a default route",
            "--network= ",
            "ip route | grep -c ^default; ls /sys/class/net | wc -l",
            "1\n2",
        ),
    ],
)


@check("base", "--network pasta: an interface and a default route", rootless_only="pasta is for ordinary users")
def test_pasta(podman: Podman) -> None:
    podman.need(5, "pasta")
    script = "ip route | grep -c ^default; ls /sys/class/net | wc -l; ip address | grep -c 'inet '"
    equal(podman.sh(["--network", "pasta"], script), "1\n2\n2")
    equal(podman.sh(["--network", "pasta:-I,eth9"], "ls /sys/class/net"), "eth9\nlo", "with pasta's own options")


@check("base", "--ip: podman's own error without a bridge", rootless_only="root's default network is a bridge")
def test_address_refused(podman: Podman) -> None:
    result = podman.fails(125, *podman.run_words(["--network=", "--ip", "10.88.0.77"], "true"))
    matches(result.err, ".*--ip can only be set when the network mode is bridge.*", "error")


def fetch(podman: Podman, options: list[str], address: str) -> str:
    """What a container on the same network gets from the server (which may still be starting)."""
    script = f"for i in $(seq 100); do wget -qO- http://{address}:8080/page && exit; sleep 0.2; done 2>&1; exit 1"
    return podman.sh(options, script)


@check("base", "user-defined network: two containers meet by name and by address")
def test_user_defined(podman: Podman) -> None:
    network = podman.new_network()
    podman("network", "create", network)
    server = podman.start(["--network", network], *SERVER)
    address = podman.inspect(server, f'(index .NetworkSettings.Networks "{network}").IPAddress')
    matches(address, r"\d+\.\d+\.\d+\.\d+", "address")
    options = ["--network", network]
    equal(fetch(podman, options, address), "served", "by address")
    equal(fetch(podman, options, server), "served", "by name")
    matches(
        podman.run([*options, "--cap-add", "net_raw"], "ping", "-c", "1", "-W", "10", address), ".*1 packets received.*"
    )
    podman("rm", "--force", "--time", "0", server)


@check("base", "--network host: the host's network namespace")
def test_host(podman: Podman) -> None:
    equal(podman.run(["--network", "host"], "readlink", "/proc/self/ns/net"), os.readlink("/proc/self/ns/net"))
    equal(podman.sh(["--network", "host"], "ls /sys/class/net | wc -l"), str(len(os.listdir("/sys/class/net"))), "/sys")


@check("base", "--network container:NAME: the other container's")
def test_of_container(podman: Podman) -> None:
    server = podman.start([], *SERVER)
    options = ["--network", f"container:{server}"]
    equal(fetch(podman, options, "127.0.0.1"), "served")


@check("base", "--publish: the host reaches the container's port")
def test_publish(podman: Podman) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    podman.start(["-p", f"127.0.0.1:{port}:8080"], *SERVER)
    answers: list[bytes] = []

    def answered() -> bool:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"http://127.0.0.1:{port}/page", timeout=10
            ) as reply:
                answers.append(reply.read())
        except OSError:
            return False
        return True

    wait_until(answered, "an answer from the published port")
    equal(answers, [b"served\n"])


@check("base", "network files: /etc/hosts and /etc/resolv.conf are podman's")
def test_network_files(podman: Podman) -> None:
    options = ["--network=", "--hostname", "box", "--add-host", "other:10.9.8.7", "--dns", "10.9.8.6"]
    output = podman.sh(options, "cat /etc/hosts /etc/resolv.conf /etc/hostname")
    for pattern in (r"10\.9\.8\.7\s+other", r"\bbox\b", r"nameserver 10\.9\.8\.6"):
        if not re.search(pattern, output):
            matches(output, f".*{pattern}.*")


@check("base", "--network ns:PATH: a process's namespace")
def test_of_process(podman: Podman) -> None:
    server = podman.start([], *SERVER)
    path = f"/proc/{podman.inspect(server, '.State.Pid')}/ns/net"
    equal(fetch(podman, ["--network", f"ns:{path}"], "127.0.0.1"), "served")


@check(
    "base", "--network ns:PATH: a namespace that is there already", rootful_only="only root may make one on the host"
)
def test_of_path(podman: Podman) -> None:
    name = f"{podman.prefix}-ns"
    subprocess.run(["ip", "netns", "add", name], check=True)
    podman.undo.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
    path = Path("/run/netns") / name
    inode = podman.run(["--network", f"ns:{path}"], "readlink", "/proc/self/ns/net")
    equal(inode, f"net:[{path.stat().st_ino}]")
