"""Kubernetes' Container Runtime Interface: the calls that a kubelet makes, over gRPC.

A message is a list of (field number, value); the numbers are those of cri-api's runtime/v1/api.proto, the encoding is
protobuf's (https://protobuf.dev/programming-guides/encoding): so neither a compiler nor generated code is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.checks import IMAGE, Failed

Message = list[tuple[int, Any]]  # the values: int, str, or a Message
# NamespaceOption: the host's network, as one of the pod's own would need CNI plugins; pids of the container's own
NAMESPACES: Message = [(1, 2), (2, 1)]
VARINT, BYTES = 0, 2  # wire types


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def encode(message: Message) -> bytes:
    out = b""
    for field, value in message:
        if isinstance(value, int):
            out += varint(field << 3 | VARINT) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else encode(value)
            out += varint(field << 3 | BYTES) + varint(len(content)) + content
    return out


def decode(content: bytes) -> dict[int, Any]:
    """The fields of a message, the last of each number: integers and byte strings."""
    data = iter(content)
    fields: dict[int, Any] = {}
    for first in data:
        key = _number(first, data)
        value = _number(next(data), data)
        if key & 7 == BYTES:
            fields[key >> 3] = bytes(next(data) for _ in range(value))
        elif key & 7 == VARINT:
            fields[key >> 3] = value
        else:
            raise ValueError(f"wire type {key & 7} of field {key >> 3}")
    return fields


def _number(first: int, data: Iterator[int]) -> int:
    number, shift = first & 0x7F, 7
    while first & 0x80:
        first = next(data)
        number |= (first & 0x7F) << shift
        shift += 7
    return number


class Pods:
    """The runtime service of a containerd."""

    def __init__(self, socket: Path) -> None:
        self.grpc = pytest.importorskip("grpc", reason="python3-grpcio is missing")
        self.channel = self.grpc.insecure_channel(f"unix://{socket}")

    def call(self, method: str, message: Message) -> dict[int, Any]:
        """One call; an answer that is an error fails the check."""
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        try:
            return decode(call(encode(message), timeout=100))
        except self.grpc.RpcError as error:
            raise Failed(f"{method}: {error.code()}: {error.details()}") from None

    def run_pod(self, name: str, cgroup_parent: str) -> tuple[str, Message]:
        """A sandbox by the runtime entry `checked`; returns its id, and its configuration for the containers."""
        linux = [(1, cgroup_parent), (2, [(1, NAMESPACES)])]
        config: Message = [(1, [(1, name), (2, name), (3, "default")]), (8, linux)]
        return self.call("RunPodSandbox", [(1, config), (2, "checked")])[1].decode(), config

    def create(self, pod: str, pod_config: Message, command: list[str], resources: Message) -> str:
        """A container in a pod, not yet started; returns its id."""
        linux = [(1, resources), (2, [(3, NAMESPACES)])]
        config: Message = [(1, [(1, "main")]), (2, [(1, IMAGE)]), *((3, word) for word in command), (15, linux)]
        return str(self.call("CreateContainer", [(1, pod), (2, config), (3, pod_config)])[1].decode())

    def execute(self, container: str, *command: str) -> tuple[int, str]:
        """Runs a process in a container; returns its exit status and its output."""
        answer = self.call("ExecSync", [(1, container), *((2, word) for word in command), (3, 60)])
        return answer.get(3, 0), answer.get(1, b"").decode()

    def state(self, container: str) -> dict[int, Any]:
        """ContainerStatus: 3 is the state (1 running, 2 exited), 7 the exit status."""
        return decode(self.call("ContainerStatus", [(1, container)])[1])
