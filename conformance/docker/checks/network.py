"""Networks: docker's own code sets them up, in the namespace that the runtime makes and by a hook that it runs."""

from __future__ import annotations

import socket

from conformance.docker.harness import Docker
from conformance.harness.checks import check, equal, matches, output_checks, wait_until

test_outputs = output_checks(
    "network",
    [
        (
            "--network none: only the loopback, and it is up",
            "--network none",
            "ls /sys/class/net; ip link show lo",
            "lo\n.*LOOPBACK,UP.*",
        ),
        (
            "bridge: an address, a default route",
            "--network bridge",
            "ip -4 addr show eth0; ip route",
            ".*inet 172\\..*default via 172\\..*",
        ),
        (
            "bridge: --mac-address",
            "--network bridge --mac-address 02:42:0a:00:00:09",
            "cat /sys/class/net/eth0/address",
            "02:42:0a:00:00:09",
        ),
        (
            "--dns, --add-host",
            "--network bridge --dns 10.9.8.7 --add-host there:10.1.1.1",
            "grep -c 10.9.8.7 /etc/resolv.conf; grep there /etc/hosts",
            "1\n10.1.1.1\tthere",
        ),
    ],
)


@check("network", "--network host: the host's interfaces")
def test_host(docker: Docker) -> None:
    names = {name for _, name in socket.if_nameindex()}
    equal(set(docker.sh(["--network", "host"], "ls /sys/class/net").split()) >= names - {"docker0"}, True, str(names))


@check("network", "two containers on a network of their own reach each other by address")
def test_two(docker: Docker) -> None:
    network = docker.new_network()
    docker("network", "create", network)
    name = docker.start(["--network", network], "sh", "-c", "while :; do echo hello | nc -l -p 80; done")
    address = docker.inspect(name, f'(index .NetworkSettings.Networks "{network}").IPAddress')
    matches(address, r"172\..*|192\.168\..*|10\..*", "address")
    wait_until(
        lambda: (
            docker.call(*docker.run_words([f"--network={network}"], "nc", "-w", "5", address, "80")).out == "hello\n"
        ),
        "hello",
    )
    docker("rm", "--force", name)


@check("network", "network connect and disconnect: a running container gets and loses an interface")
def test_connect(docker: Docker) -> None:
    network = docker.new_network()
    docker("network", "create", network)
    name = docker.start(["--network=bridge"], "sleep", "1000")
    docker("network", "connect", network, name)
    equal(docker("exec", name, "ls", "/sys/class/net").split(), ["eth0", "eth1", "lo"])
    docker("network", "disconnect", network, name)
    equal(docker("exec", name, "ls", "/sys/class/net").split(), ["eth0", "lo"])
    docker("rm", "--force", name)
