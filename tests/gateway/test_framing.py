from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.gateway.framing import FrameReader, FramingError, Message, pack

LIMIT = 4096

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
messages = st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=6)


def read_all(reader: FrameReader, pieces: list[bytes]) -> list[Message]:
    taken = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.take()) is not None:
            taken.append(message)
    return taken


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@settings(deadline=None, max_examples=50)
@given(messages, st.lists(st.integers(min_value=0), max_size=20))
def test_any_split_of_the_stream_gives_the_same_messages(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(pack(message, LIMIT) for message in sent)
    reader = FrameReader(LIMIT)
    assert read_all(reader, split(stream, cuts)) == sent
    assert reader.buffered == 0


@settings(max_examples=20)
@given(messages)
def test_byte_by_byte_too(sent: list[Message]) -> None:
    stream = b"".join(pack(message, LIMIT) for message in sent)
    assert read_all(FrameReader(LIMIT), [bytes([byte]) for byte in stream]) == sent


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=5))
def test_any_bytes_are_messages_or_a_framing_error_and_never_pile_up(data: bytes, cuts: list[int]) -> None:
    reader = FrameReader(64)
    try:
        for message in read_all(reader, split(data, cuts)):
            assert isinstance(message, dict)
    except FramingError:
        with pytest.raises(FramingError):
            reader.take()
        reader.feed(data)
        assert reader.buffered == 0
    else:
        assert reader.buffered < 4 + 64


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"null", b"\xff", b'{"a": NaN}', b'{"a": -Infinity}', b"{}{}", b"1" * 5000]
)
def test_what_is_no_json_object_breaks_the_stream(body: bytes) -> None:
    reader = FrameReader(10_000)
    reader.feed(pack({"first": 1}, LIMIT) + struct.pack("!I", len(body)) + body + pack({"last": 1}, LIMIT))
    assert reader.take() == {"first": 1}
    for _ in range(2):
        with pytest.raises(FramingError):
            reader.take()


def test_deep_nesting_breaks_the_stream_and_not_the_game() -> None:
    body = b'{"a":' + b"[" * 100_000
    reader = FrameReader(len(body))
    reader.feed(struct.pack("!I", len(body)) + body)
    with pytest.raises(FramingError):
        reader.take()


def test_too_large_is_known_from_the_header() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(struct.pack("!I", LIMIT + 1))
    with pytest.raises(FramingError, match=f"claims {LIMIT + 1} bytes; at most {LIMIT}"):
        reader.take()


def test_a_message_of_exactly_the_limit_passes() -> None:
    message = {"a": "x" * (LIMIT - len('{"a":""}'))}
    reader = FrameReader(LIMIT)
    reader.feed(pack(message, LIMIT))
    assert reader.take() == message


def test_pack_refuses_what_the_other_side_would() -> None:
    with pytest.raises(FramingError, match="too large"):
        pack({"a": "x" * LIMIT}, LIMIT)
    for value in (float("nan"), float("inf"), object()):
        with pytest.raises(FramingError, match="cannot be sent"):
            pack({"a": value}, LIMIT)
