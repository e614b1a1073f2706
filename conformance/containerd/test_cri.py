"""The encoding of protobuf messages, by the examples of its documentation."""

from __future__ import annotations

import pytest

from conformance.containerd.cri import Message, decode, encode, varint


def test_numbers_of_more_than_seven_bits() -> None:
    assert [varint(number).hex() for number in (0, 1, 150, -1)] == ["00", "01", "9601", "ff" * 9 + "01"]


@pytest.mark.parametrize(
    ("message", "content"),
    [([(1, 150)], "089601"), ([(2, "testing")], "120774657374696e67"), ([(3, [(1, 150)])], "1a03089601")],
)
def test_messages(message: Message, content: str) -> None:
    assert encode(message).hex() == content


def test_what_is_encoded_is_decoded() -> None:
    long = "x" * 300
    assert decode(encode([(1, 7), (16, long), (2, [(1, "inner")])])) == {1: 7, 16: long.encode(), 2: b"\n\x05inner"}


def test_wire_types_that_no_answer_has() -> None:
    with pytest.raises(ValueError, match="wire type 5 of field 1"):
        decode(b"\x0d\x00\x00\x00\x00")
