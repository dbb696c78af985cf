"""The door by which a gateway process comes in: a listening socket for one child, and a secret that it must say.

The port is on the loopback, but every program of every user of the machine can connect to that. So whoever connects
must first say the secret, which only the child was told (over its standard input: arguments and environment are for
all to see). A stranger who comes first, says nothing or lies is dropped, and cannot keep the child out.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import sys
from contextlib import suppress

from .framing import FrameReader, FramingError

_HELLO_BYTES = 256
_ACCEPTS_A_CALL = 8
_MAX_CANDIDATES = 16


class Door:
    """Listens on a port of its own from the moment it is made; :meth:`close` it when the child is in.

    Raises:
        OSError: when made, if the system has no socket to give.
    """

    def __init__(self) -> None:
        self.secret = secrets.token_hex(32)
        self.strangers = 0
        self._candidates: list[tuple[socket.socket, FrameReader]] = []
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "win32":  # there, another program could otherwise take over the port
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(64)
            self._listener.setblocking(False)
        except OSError:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]

    def admit(self) -> tuple[socket.socket, FrameReader] | None:
        """The child's connection, if it has come and said the secret. Never blocks; bounded work.

        The reader returned holds whatever followed the secret.
        """
        for _ in range(_ACCEPTS_A_CALL):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody there (BlockingIOError), or gone again, or no descriptor left: try next time
                break
            connection.setblocking(False)
            self._candidates.append((connection, FrameReader(_HELLO_BYTES)))
        for candidate in list(self._candidates):
            verdict = self._examine(*candidate)
            if verdict is None:
                continue
            self._candidates.remove(candidate)
            if verdict:
                return candidate
            self._drop(candidate)
        while len(self._candidates) > _MAX_CANDIDATES:
            # The oldest goes: the child says the secret in its first breath, and comes again if it is dropped.
            self._drop(self._candidates.pop(0))
        return None

    def close(self) -> None:
        """Stop listening and drop everyone who is still at the door."""
        self._listener.close()
        while self._candidates:
            self._drop(self._candidates.pop())

    def _examine(self, connection: socket.socket, reader: FrameReader) -> bool | None:
        """True: the child. False: a stranger. None: has not said enough yet."""
        try:
            data = connection.recv(4 * _HELLO_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return False
        reader.feed(data)
        try:
            message = reader.take()
        except FramingError:
            return False
        if message is None:
            return None if data else False
        said = message.get("secret")
        return isinstance(said, str) and hmac.compare_digest(said.encode("utf-8", "replace"), self.secret.encode())

    def _drop(self, candidate: tuple[socket.socket, FrameReader]) -> None:
        self.strangers += 1
        with suppress(OSError):
            candidate[0].close()
