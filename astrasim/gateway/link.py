"""The game's end of the connection to its gateway: non-blocking both ways, and bounded both ways."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress

from .framing import FrameReader, Message
from .messages import MAX_TO_GAME, Counts

OUTBOX_MESSAGES = 512
OUTBOX_BYTES = 256 * 1024
_SEND_BYTES = 64 * 1024
_SENDS_A_FLUSH = 4
_RECEIVE_BYTES = 32 * 1024


class Link:
    """Frames out through an outbox, messages in through a reader. No method blocks, and none raises OSError.

    ``closed`` becomes True when the other side is gone and everything that it sent has been received; messages that
    came can still be taken.
    """

    __slots__ = ("_abandoned", "_counts", "_outbox", "_outbox_bytes", "_reader", "_socket", "closed")

    def __init__(self, connection: socket.socket, reader: FrameReader, counts: Counts) -> None:
        self.closed = False
        self._socket = connection
        self._reader = reader
        self._counts = counts
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._abandoned = False
        reader.max_bytes = MAX_TO_GAME
        with suppress(OSError):
            # Without it, small messages wait up to 40 ms for the other side's acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def has_room(self) -> bool:
        """Whether the outbox may take one more request."""
        return len(self._outbox) < OUTBOX_MESSAGES and self._outbox_bytes < OUTBOX_BYTES

    def push(self, frame: bytes) -> None:
        """Put a frame in the outbox. Callers ask :attr:`has_room` first where what they send is not bounded anyway."""
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)

    def flush(self) -> None:
        """Send what the system takes now, at most 256 KiB."""
        for _ in range(_SENDS_A_FLUSH):
            if not self._outbox:
                return
            chunk = self._outbox.popleft()
            while self._outbox and len(chunk) + len(self._outbox[0]) <= _SEND_BYTES:
                chunk += self._outbox.popleft()
            try:
                sent = self._socket.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abandon()
                return
            self._outbox_bytes -= sent
            self._counts.bytes_sent += sent
            if sent < len(chunk):
                self._outbox.appendleft(chunk[sent:])
                return

    def receive(self) -> bool:
        """Take in what has come, at most 32 KiB. True if anything came."""
        if self.closed or self._reader.buffered > 2 * MAX_TO_GAME:
            return False
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            self.closed = self._abandoned
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self._counts.bytes_received += len(data)
        self._reader.feed(data)
        return True

    def abandon(self) -> None:
        """The other side ended: nothing is sent any more, and what it had sent is still received."""
        self._abandoned = True
        self._outbox.clear()
        self._outbox_bytes = 0

    def take(self) -> Message | None:
        """The next message that has come in whole.

        Raises:
            FramingError: if the other side sent what is no message.
        """
        return self._reader.take()

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self._socket.close()
