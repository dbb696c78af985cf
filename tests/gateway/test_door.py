"""Who gets in. The child here is a socket of the test, which knows the secret."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from astrasim.gateway.door import Door
from astrasim.gateway.framing import FrameReader, pack


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


@pytest.fixture
def visitors() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def knock(door: Door, visitors: list[socket.socket], say: bytes = b"") -> socket.socket:
    visitor = socket.create_connection(("127.0.0.1", door.port), timeout=5)
    visitors.append(visitor)
    visitor.sendall(say)
    return visitor


def hello(secret: object) -> bytes:
    return pack({"t": "hello", "secret": secret}, 1000)


def admit(door: Door, tries: int = 200) -> tuple[socket.socket, FrameReader] | None:
    for _ in range(tries):
        if (admitted := door.admit()) is not None:
            return admitted
        time.sleep(0.002)
    return None


def is_refused(visitor: socket.socket) -> bool:
    try:
        return visitor.recv(1) == b""
    except ConnectionError:
        return True


def test_the_child_is_let_in_and_what_it_said_next_is_kept(door: Door, visitors: list[socket.socket]) -> None:
    assert door.admit() is None
    child = knock(door, visitors, hello(door.secret) + pack({"t": "pong"}, 100))
    admitted = admit(door)
    assert admitted is not None
    connection, reader = admitted
    with connection:
        assert connection.getpeername() == child.getsockname()
        assert reader.take() == {"t": "pong"}
    assert door.strangers == 0


@pytest.mark.parametrize(
    "say",
    [
        hello("0" * 64),
        hello(""),
        hello("\ud800é"),
        hello(None),
        hello(["a"]),
        pack({}, 10),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x02[]",
    ],
)
def test_a_stranger_is_dropped(door: Door, visitors: list[socket.socket], say: bytes) -> None:
    stranger = knock(door, visitors, say)
    assert admit(door, tries=20) is None
    assert is_refused(stranger)
    assert door.strangers == 1
    knock(door, visitors, hello(door.secret))
    admitted = admit(door)
    assert admitted is not None
    admitted[0].close()


def test_a_crowd_that_says_nothing_cannot_keep_the_child_out(door: Door, visitors: list[socket.socket]) -> None:
    for _ in range(40):
        knock(door, visitors)
    knock(door, visitors, hello(door.secret)[:7])
    for _ in range(10):
        knock(door, visitors)
    child = knock(door, visitors)
    assert admit(door, tries=20) is None
    assert door.strangers >= 30  # the oldest had to go
    child.sendall(hello(door.secret))
    admitted = admit(door)
    assert admitted is not None
    admitted[0].close()


def test_a_stranger_who_leaves_again_is_forgotten(door: Door, visitors: list[socket.socket]) -> None:
    knock(door, visitors, b"\x00").close()
    assert admit(door, tries=20) is None
    assert door.strangers == 1


def test_a_closed_door_refuses_everyone(door: Door, visitors: list[socket.socket]) -> None:
    waiting = knock(door, visitors)
    assert door.admit() is None
    port = door.port
    door.close()
    assert is_refused(waiting)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_each_door_has_a_secret_of_its_own(door: Door) -> None:
    other = Door()
    other.close()
    assert len(door.secret) == 64
    assert other.secret != door.secret
