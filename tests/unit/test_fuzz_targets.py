"""The fuzzer's targets on their seeds, and on what once failed; and that they fail for parsers that are wrong."""

from pathlib import Path
from typing import Any

import pytest
from pyrunc import jsontext
from pyrunc.errors import PyruncError
from pyrunc.planning import security
from pyrunc.wings.criu import rpc
from pyrunc.wings.systemd import gvariant

from tests.fuzz.targets import SEEDS, TARGETS
from tests.runtime import CHECKOUT

FOUND = sorted((CHECKOUT / "tests/fuzz/corpus").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    for data in (*SEEDS[name], b"", b"\0", b"\xff" * 30):
        TARGETS[name](data)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_seeds() -> None:
    assert list(SEEDS) == list(TARGETS)
    assert {path.parent.name for path in FOUND} <= set(TARGETS)


def fail(*_: object) -> Any:
    raise ValueError


WRONG: list[tuple[str, object, str, Any, bytes]] = [
    ("json", jsontext, "dumps", repr, b'{"a": null}'),
    ("json", jsontext._Rules, "object_pairs_hook", staticmethod(lambda pairs: dict(pairs[:1])), b'{"a": 1, "b": 2}'),
    ("gvariant", gvariant, "_RANGES", {"i": (0, 2**40)}, b"4294967296"),
    ("protobuf", rpc, "_varint", lambda value: bytes([value & 0x7F]), b"\xff" * 9),
    ("protobuf", rpc, "_text", fail, b""),
    ("seccomp", security, "profile", fail, SEEDS["seccomp"][0]),
]


@pytest.mark.parametrize(("name", "module", "attribute", "wrong", "data"), WRONG)
def test_a_wrong_parser_is_found(
    name: str, module: object, attribute: str, wrong: Any, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    TARGETS[name](data)
    monkeypatch.setattr(module, attribute, wrong)
    with pytest.raises((AssertionError, ValueError, PyruncError, SyntaxError)):
        TARGETS[name](data)
