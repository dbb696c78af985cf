"""The gateway process, played to by hand: the test is the game, on plain sockets."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from astrasim.gateway import process
from astrasim.gateway.framing import FrameReader, Message, pack

if TYPE_CHECKING:
    from tests.gateway.conftest import Meadow

HERE = Path(__file__).parent
SECRET = "open sesame"


class HandMade:
    """A game made of a process, a listening socket and a connection."""

    def __init__(self, meadow: Meadow, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        monkeypatch.syspath_prepend(str(HERE))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        told = {
            "port": self.listener.getsockname()[1],
            "secret": SECRET,
            "model": {"kind": "function", "name": "minds:play", "base_url": "", "api_key": None},
            "log": None,
            "policy": {"max_in_flight": 2},
            **settings,
        }
        self.child = process.Child(told)
        self.meadow = meadow
        self.reader = FrameReader(100_000)

    def welcome(self) -> None:
        self.stream, _ = self.listener.accept()
        self.stream.settimeout(20)
        assert self.read() == {"t": "hello", "secret": SECRET}

    def begin(self) -> None:
        self.welcome()
        self.tell({"t": "setup", "vocabulary": self.meadow.vocabulary.model_dump(mode="json")})
        assert self.read() == {"t": "ready"}

    def tell(self, *messages: Message) -> None:
        self.stream.sendall(b"".join(pack(message, 1_000_000) for message in messages))

    def scope(self, persona: str = "") -> Message:
        return {"t": "scope", "id": 1, "scope": self.meadow.scope(persona).model_dump(mode="json")}

    def read(self) -> Message:
        while (message := self.reader.take()) is None:
            data = self.stream.recv(65536)
            assert data, "the gateway closed the connection"
            self.reader.feed(data)
        return message

    def ended(self) -> bool:
        end = time.monotonic() + 20
        while not self.child.ended and time.monotonic() < end:
            time.sleep(0.01)
        return self.child.ended


@pytest.fixture
def game(meadow: Meadow, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandMade]:
    made = HandMade(meadow, monkeypatch)
    yield made
    made.child.kill()
    made.child.close()
    made.listener.close()
    if hasattr(made, "stream"):
        made.stream.close()


def ask(number: int, scope: int = 1, seconds: float = 20.0) -> Message:
    return {"t": "ask", "id": number, "scope": scope, "key": 0, "s": seconds}


def test_it_comes_again_if_it_was_pushed_out_at_the_door(game: HandMade) -> None:
    for _ in range(3):
        game.welcome()
        game.stream.close()
    game.begin()
    game.tell({"t": "ping"})
    assert game.read() == {"t": "pong"}


def test_the_end_of_the_connection_ends_it(game: HandMade) -> None:
    game.begin()
    game.tell(game.scope("play sleep 60"), ask(1))
    game.stream.close()
    assert game.ended()
    assert game.child.exit_code == 0


def test_the_end_of_standard_input_ends_it(game: HandMade) -> None:
    game.begin()
    game.tell(game.scope("play sleep 60"), ask(1))
    running = game.child._process
    assert isinstance(running, subprocess.Popen) and running.stdin is not None
    running.stdin.close()
    assert game.ended()
    assert game.child.exit_code == 0


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", pack({"t": "dance"}, 100)])
def test_a_game_gone_mad_ends_it(game: HandMade, data: bytes) -> None:
    game.begin()
    game.stream.sendall(data)
    assert game.ended()
    assert game.child.exit_code == 1


def test_what_is_over_the_bound_is_refused_at_once(game: HandMade) -> None:
    game.begin()
    game.tell(game.scope("play sleep 0.3"), *(ask(number) for number in range(12)))
    refused = [game.read() for _ in range(2)]
    assert [(m["id"], m["reason"]) for m in refused] == [(10, "queue_full"), (11, "queue_full")]
    game.tell({"t": "cancel", "id": 9}, ask(12))
    answered = sorted(game.read()["id"] for _ in range(4))
    assert answered == [0, 1, 2, 3]


def test_an_unknown_scope_and_a_kind_that_does_not_exist(game: HandMade) -> None:
    game.begin()
    scope = game.scope()
    scope["scope"]["kind"] = "unicorn"
    game.tell(scope, ask(1, scope=5), ask(2))
    failures = [game.read() for _ in range(2)]
    assert [(m["id"], m["reason"]) for m in failures] == [(1, "bad_request"), (2, "gateway_error")]
    game.tell({"t": "ping"})
    assert game.read() == {"t": "pong"}


def test_while_the_game_does_not_read_nothing_piles_up(game: HandMade) -> None:
    game.begin()
    memory = psutil.Process(game.child.pid)
    before = memory.memory_info().rss
    batch = b"".join(pack(ask(number, scope=99), 1000) for number in range(1000))
    game.stream.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):  # it does not read either, in the end
        while sent < 400 * len(batch):
            sent += game.stream.send(batch[sent % len(batch) :])
    assert memory.memory_info().rss - before < 30 * 2**20
    game.stream.settimeout(20)
    for _ in range(sent // len(batch)):
        assert [game.read()["id"] for _ in range(1000)] == list(range(1000))  # all are answered, in their order
