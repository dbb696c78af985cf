"""Every port that a game's processes listen on, and what a stranger on the same machine gets there: nothing."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from astrasim.gateway import GatewayState, ModelSpec, weights

if TYPE_CHECKING:
    from tests.gateway.conftest import Game

SAYINGS = {
    "nothing": b"",
    "half a header": b"\x00\x00",
    "a guess": b'\x00\x00\x00\x23{"t": "hello", "secret": "0000000"}',
    "a huge message": b"\xff\xff\xff\xff{",
    "no JSON": b"\x00\x00\x00\x04\x80\x04]q",
    "a web page": b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
    "a question": b"POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n" + b'{"prompt": "x"}',
    "a wrong key": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n"
                   b"Content-Length: 15\r\n\r\n" + b'{"messages":[]} ',
    "its slots": b"GET /slots HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "its settings": b"GET /props HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "its models": b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
}  # fmt: skip


def listening() -> set[tuple[str, int]]:
    """The addresses at which this process and all below it can be reached."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = set()
    for process in family:
        with contextlib.suppress(psutil.Error):
            found |= {each.laddr for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    return {(ip, port) for ip, port in found}


def answer_to(address: tuple[str, int], say: bytes) -> bytes:
    """What a stranger hears within half a second; b"" for being hung up on, or for silence."""
    with contextlib.suppress(OSError), socket.create_connection(address, 0.5) as stranger:
        stranger.sendall(say)
        stranger.settimeout(0.5)
        return stranger.recv(4096)
    return b""


def needs_the_real_model() -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install 'astrasim[embedded]'")
    if weights.find() is None:
        pytest.skip(f"no weights at {weights.path()}: astrasim model install")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs to see the sockets of its processes")
@pytest.mark.parametrize("model", ["function", "embedded"])
def test_a_stranger_gets_nothing_at_any_port(play_a_game: Callable[..., Game], model: Any) -> None:
    if model == "embedded":
        needs_the_real_model()
    others = listening()
    game = play_a_game("play" if model == "function" else ModelSpec(kind="embedded"))
    game.gateway.start()
    door = listening() - others
    assert len(door) == 1
    visitors = [socket.create_connection(address, 5.0) for address in door for _ in SAYINGS]
    for visitor, say in zip(visitors, SAYINGS.values(), strict=True):
        visitor.sendall(say)
    game.until_state(GatewayState.READY)
    for visitor in visitors:  # those at the door: told nothing, and sent away
        visitor.settimeout(5.0)
        with contextlib.suppress(ConnectionError):
            assert visitor.recv(100) == b""
        visitor.close()
    assert game.gateway.statistics().strangers == len(SAYINGS)
    ports = listening() - others
    assert len(ports) == 2 * (model == "embedded"), "each llama.cpp's own, which it cannot do without"
    assert {ip for ip, _ in door | ports} <= {"127.0.0.1"}
    asked = [(name, port, say) for port in ports for name, say in SAYINGS.items()]
    with ThreadPoolExecutor(len(SAYINGS)) as strangers:
        heard = strangers.map(lambda each: (each[0], answer_to(*each[1:])), asked)
    for name, said in heard:
        assert said == b"" or said.split()[1] in (b"400", b"401", b"404"), (name, said)
        assert b"smollm" not in said.lower() and b"access-control-allow-origin: *" not in said.lower()
    if model == "function":
        game.ask(1)
        game.answer(1)
    assert game.gateway.state is GatewayState.READY
