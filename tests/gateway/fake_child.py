"""A gateway process that misbehaves, run in place of the real one. It comes in by the same door: settings from standard
input, then the socket. It shares no code with the package, so a mistake in the wire format cannot hide on both sides.

    python fake_child.py BEHAVIOUR
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from typing import Any

FLEE = {"steps": [[0, 0, 3.0]], "raw": "flee", "ms": 1.5}
NONSENSE: list[dict[str, Any]] = [
    {"t": "answer"},
    {"t": "answer", **FLEE, "steps": None},
    {"t": "answer", **FLEE, "steps": []},
    {"t": "answer", **FLEE, "steps": [[0, 0, 3.0]] * 9},
    {"t": "answer", **FLEE, "steps": [[0, 0]]},
    {"t": "answer", **FLEE, "steps": [[2, 0, 3.0]]},
    {"t": "answer", **FLEE, "steps": [[0, 3, 3.0]]},
    {"t": "answer", **FLEE, "steps": [[-1, 0, 3.0]]},
    {"t": "answer", **FLEE, "steps": [[True, 0, 3.0]]},
    {"t": "answer", **FLEE, "steps": [["0", 0, 3.0]]},
    {"t": "answer", **FLEE, "steps": [[0, 0, 1e300]]},
    {"t": "answer", **FLEE, "steps": [[0, 0, 10**400]]},
    {"t": "answer", **FLEE, "steps": [[0, 0, None]]},
    {"t": "answer", **FLEE, "raw": 3},
    {"t": "answer", **FLEE, "ms": "fast"},
    {"t": "answer", **FLEE, "ms": -1},
    {"t": "failure"},
    {"t": "failure", "reason": 3, "detail": "", "rejected": False},
    {"t": "failure", "reason": "", "detail": "", "rejected": False},
    {"t": "failure", "reason": "x", "detail": None, "rejected": False},
    {"t": "failure", "reason": "x", "detail": "", "rejected": 1},
]
BROKEN = {
    "oversize": struct.pack("!I", 2**32 - 1),
    "not json": struct.pack("!I", 3) + b"{]}",
    "not an object": struct.pack("!I", 2) + b"[]",
    "not utf-8": struct.pack("!I", 2) + b"\xff\xfe",
    "not a number": struct.pack("!I", 11) + b'{"ms": NaN}',
    "deep": struct.pack("!I", 20_000) + b"[" * 20_000,
    "half a message": struct.pack("!I", 100) + b'{"t":"answer"',
}


def pack(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


def read(stream: socket.socket) -> dict[str, Any]:
    (size,) = struct.unpack("!I", read_exactly(stream, 4))
    message: dict[str, Any] = json.loads(read_exactly(stream, size))
    return message


def read_exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def answer(stream: socket.socket, ask: dict[str, Any], behaviour: str) -> None:
    good = pack({"t": "answer", "id": ask["id"], **FLEE})
    if behaviour == "good":
        stream.sendall(good)
    elif behaviour == "nonsense":
        stream.sendall(pack({"id": ask["id"], **NONSENSE[ask["key"]]}))
    elif behaviour == "twice":
        stream.sendall(good + good + pack({"t": "answer", "id": 10**20, **FLEE}) + pack({"t": "?"}) + pack({}))
    elif behaviour == "last words":
        stream.sendall(good + BROKEN["half a message"])
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(1000):  # ending with something unread would take back what was sent
            pass
        os._exit(3)
    elif behaviour in BROKEN:
        stream.sendall(BROKEN[behaviour])


def main(behaviour: str) -> None:
    settings = json.loads(sys.stdin.readline())
    if behaviour == "exit":
        os._exit(3)
    if behaviour == "shy":
        time.sleep(60)
    stream = socket.socket()
    if behaviour == "deaf":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    stream.connect(("127.0.0.1", settings["port"]))
    stream.sendall(pack({"t": "hello", "secret": settings["secret"]}))
    assert read(stream)["t"] == "setup"
    stream.sendall(pack({"t": "ready"}))
    if behaviour == "deaf":
        time.sleep(60)
    if behaviour == "flood":
        while True:
            stream.sendall(1000 * pack({"t": "pong"}))
    while True:
        message = read(stream)
        if message["t"] == "ping" and behaviour != "mute":
            stream.sendall(pack({"t": "pong"}))
        elif message["t"] == "ask":
            answer(stream, message, behaviour)


if __name__ == "__main__":
    main(sys.argv[1])
