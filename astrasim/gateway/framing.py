"""Messages on the wire between game and gateway: 4 bytes of length (big-endian), then one compact JSON object.

Our own framing over a non-blocking socket, because ``multiprocessing.connection`` blocks the reader on a half-written
message, and a reader that blocks is a frame that is missed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from ..errors import AstraSimError

Message = dict[str, Any]

_HEADER = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class FramingError(AstraSimError):
    """The other side sent what is no message, or a message is too large to send. The connection is of no more use."""


def pack(message: Mapping[str, Any], max_bytes: int) -> bytes:
    """One message as it goes on the wire.

    Raises:
        FramingError: if it is larger than ``max_bytes``, or holds something that JSON cannot (NaN, an object).
    """
    try:
        body = _encode(message).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise FramingError(f"this message cannot be sent as JSON: {error}") from None
    if len(body) > max_bytes:
        raise FramingError(f"a message of {len(body)} bytes is too large to send; at most {max_bytes} are allowed")
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Turns a stream of bytes, however it was split, back into messages.

    Messages are decoded one by one as they are taken, so the taker decides how much work it does at a time. Once the
    stream is broken it stays broken: every further :meth:`take` raises.
    """

    __slots__ = ("_broken", "_buffer", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes`` is the largest message body accepted; it may be changed between messages."""
        self.max_bytes = max_bytes
        self._buffer = bytearray()
        self._broken = ""

    @property
    def buffered(self) -> int:
        """Bytes fed but not yet taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what was received, which may be any piece of the stream."""
        if not self._broken:
            self._buffer += data

    def take(self) -> Message | None:
        """The next whole message, or None if more bytes are needed.

        Raises:
            FramingError: if the next message is larger than ``max_bytes`` (known from its header: its body is not
                waited for), or is no JSON object.
        """
        if self._broken:
            raise FramingError(self._broken)
        buffer = self._buffer
        if len(buffer) < _HEADER.size:
            return None
        (size,) = _HEADER.unpack_from(buffer)
        if size > self.max_bytes:
            raise self._break(f"a message claims {size} bytes; at most {self.max_bytes} are accepted")
        end = _HEADER.size + size
        if len(buffer) < end:
            return None
        body = bytes(buffer[_HEADER.size : end])
        del buffer[:end]
        try:
            text = body.decode("utf-8")
            message, read = _decode(text)
            if read < len(text):
                raise ValueError(f"something follows it: {text[read : read + 20]!r}")
        except (ValueError, RecursionError) as error:
            raise self._break(f"a message is no JSON: {type(error).__name__}: {error}") from None
        if not isinstance(message, dict):
            raise self._break(f"a message is a JSON object, not {type(message).__name__}")
        return message

    def _break(self, why: str) -> FramingError:
        self._broken = why
        self._buffer.clear()
        return FramingError(why)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")  # Python's own reader takes NaN and Infinity


_decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode  # decode() looks for spaces around it, twice
