"""What goes over HTTP, whichever wire the model speaks. The server is real, and mostly ill-behaved."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest
from pydantic import SecretStr

from astrasim.gateway import ModelSpec
from astrasim.gateway.http import MAX_BODY_BYTES, error_message, measured
from astrasim.gateway.models import Model, ModelError, is_chooser, open_model
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

Kind = Literal["openai", "ollama"]

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object"}
KEY = "sk-very-secret"
RUN = {
    "openai": b'{"choices": [{"finish_reason": "stop", "message": {"content": "run"}}]}',
    "ollama": b'{"message": {"role": "assistant", "content": "run"}, "done_reason": "stop", "done": true}',
}


async def model_at(kind: Kind, url: str, key: str | None = None, max_in_flight: int = 1) -> Model:
    spec = ModelSpec(kind=kind, name="sheep-1", base_url=url, api_key=SecretStr(key) if key else None)
    model = await open_model(spec, max_in_flight, print)
    assert not is_chooser(model)
    return model


async def ask(kind: Kind, url: str, key: str | None = None) -> str:
    return (await (await model_at(kind, url, key)).complete(PROMPT, SCHEMA, 64)).text


def answer(kind: Kind, server: StubServer, key: str | None = None) -> str:
    return anyio.run(partial(ask, kind, server.url, key))


def error(kind: Kind, server: StubServer, key: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        answer(kind, server, key)
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "model x not found", "type": "invalid"}}', "model x not found"),
        (b'{"error": "model x not found"}', "model x not found"),
        (b'{"message": "model x\\n not found"}', "model x not found"),
        (b'{"detail": "model x not found"}', "model x not found"),
        (b"model x\r\nnot found", "model x not found"),
        (b'{"detail": [{"loc": 1}]}', '{"detail": [{"loc": 1}]}'),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_servers_own_words_about_an_error(kind: Kind, server: StubServer, body: bytes, said: str) -> None:
    server.says(body, status=410)
    caught = error(kind, server)
    assert (caught.reason, caught.detail) == ("http_410", said)


def test_an_error_is_short_and_does_not_repeat_the_key(kind: Kind, server: StubServer) -> None:
    server.says(json.dumps({"error": {"message": f"wrong key {KEY} " + "x" * 1000}}).encode(), status=401)
    caught = error(kind, server, KEY)
    assert caught.reason == "http_401"
    assert caught.detail.startswith("wrong key *** xxx")
    assert len(caught.detail) == 300


def test_redirects_are_not_followed(kind: Kind, server: StubServer) -> None:
    server.says(b"", status=307, location=server.url + "/elsewhere")
    assert error(kind, server).reason == "http_307"
    assert len(server.paths) == 1


def test_a_body_announced_too_large_is_refused_unread(kind: Kind, server: StubServer) -> None:
    sent = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(100 * 2**20))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" " * 2**20)
            sent.append(2**20)

    server.reply = reply
    caught = error(kind, server)
    assert caught.reason == "too_large"
    assert "announced 104857600 bytes" in caught.detail
    assert server.client_gone.wait(10)
    assert sum(sent) < 50 * 2**20  # what the system's buffers take, not the 100 MiB


def test_a_body_that_never_ends_is_refused_at_the_limit(kind: Kind, server: StubServer) -> None:
    sent = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" " * 2**20)
            sent.append(2**20)

    server.reply = reply
    assert error(kind, server).reason == "too_large"
    assert server.client_gone.wait(10)
    assert sum(sent) < 100 * 2**20


def test_a_body_of_the_limit_is_read(kind: Kind, server: StubServer) -> None:
    body = RUN[kind]
    server.says(body + b" " * (MAX_BODY_BYTES - len(body)))
    assert answer(kind, server) == "run"
    server.says(body + b" " * (MAX_BODY_BYTES + 1 - len(body)))
    assert error(kind, server).reason == "too_large"


def test_a_compressed_body_is_read_though_not_asked_for(kind: Kind, server: StubServer) -> None:
    server.says(gzip.compress(RUN[kind]), content_encoding="gzip")
    assert answer(kind, server) == "run"
    server.says(zlib.compress(RUN[kind]), content_encoding="deflate")
    assert answer(kind, server) == "run"


def test_a_gzip_bomb_is_refused(kind: Kind, server: StubServer) -> None:
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=9)
    assert len(bomb) < MAX_BODY_BYTES
    server.says(bomb, content_encoding="gzip")
    tracemalloc.start()
    try:
        assert error(kind, server).reason == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20  # it was never unpacked
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("body", "encoding"), [(b"no gzip", "gzip"), (b"x", "br"), (b"x", "gzip, gzip")])
def test_a_compression_that_cannot_be_read(kind: Kind, server: StubServer, body: bytes, encoding: str) -> None:
    server.says(body, content_encoding=encoding)
    assert error(kind, server).reason == "bad_response"


def test_a_connection_lost_half_way(kind: Kind, server: StubServer) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices"')
        handler.close_connection = True

    server.reply = reply
    assert error(kind, server).reason == "connection_lost"


@pytest.mark.parametrize("again", [True, False])
def test_a_kept_connection_that_the_server_closes_is_tried_again_once(
    kind: Kind, server: StubServer, again: bool
) -> None:
    """A server that ends idle connections may do so just as a request is on its way."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if len(server.bodies) == 2 or (len(server.bodies) > 2 and not again):
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(RUN[kind])))
        handler.end_headers()
        handler.wfile.write(RUN[kind])

    async def ask_twice() -> None:
        model = await model_at(kind, server.url)
        await model.complete(PROMPT, SCHEMA, 64)
        if again:
            assert (await model.complete(PROMPT, SCHEMA, 64)).text == "run"
        else:
            with pytest.raises(ModelError, match="connection_lost"):
                await model.complete(PROMPT, SCHEMA, 64)

    server.reply = reply
    anyio.run(ask_twice)
    assert len(server.bodies) == 3


def test_a_new_connection_that_the_server_closes_is_an_error_at_once(kind: Kind, server: StubServer) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    server.reply = reply
    assert error(kind, server).reason == "connection_lost"
    assert len(server.bodies) == 1


def test_nobody_there(kind: Kind) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:{KEY}@127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ModelError, match=rf"unreachable: {kind} at http://127\.0\.0\.1") as caught:
            anyio.run(ask, kind, url)
    assert KEY not in str(caught.value)


def test_cancelling_closes_the_connection(kind: Kind, server: StubServer) -> None:
    async def impatient() -> None:
        with anyio.move_on_after(0.3):
            await ask(kind, server.url)

    server.hangs()
    anyio.run(impatient)
    assert server.client_gone.wait(10)


def test_cancelling_in_mid_answer_closes_the_connection(kind: Kind, server: StubServer) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b" ")
        begun.set()
        if not handler.connection.recv(1):
            server.client_gone.set()

    async def impatient() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, kind, server.url)
            await anyio.to_thread.run_sync(begun.wait)
            await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()

    begun = threading.Event()
    server.reply = reply
    anyio.run(impatient)
    assert server.client_gone.wait(10)


def test_many_requests_at_a_time_wait_for_no_other(kind: Kind, server: StubServer) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    everybody = threading.Event()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            if inside == 48:
                everybody.set()
        everybody.wait(10)
        with lock:
            inside -= 1
        body = RUN[kind]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    async def ask_many() -> None:
        model = await model_at(kind, server.url, max_in_flight=48)
        async with anyio.create_task_group() as tasks:
            for _ in range(48):
                tasks.start_soon(model.complete, PROMPT, SCHEMA, 8)

    server.reply = reply
    anyio.run(ask_many)
    assert most == 48


@pytest.mark.parametrize("host", ["exa%20mple", "a..b", ".example", "x" * 64])
def test_a_host_that_is_no_name_is_unreachable(kind: Kind, host: str) -> None:
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, kind, f"http://{host}:11434")
    assert caught.value.reason == "unreachable"


def test_a_password_in_the_address_is_sent_and_not_repeated(kind: Kind, server: StubServer) -> None:
    server.says(b'{"error": "no entry with p:w"}', status=403)
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, kind, server.url.replace("//", "//shepherd:p%3Aw@"))
    assert (caught.value.reason, caught.value.detail) == ("http_403", "no entry with ***")
    assert server.headers[0]["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (2.5, 2.5),
        (0, 0),
        (-1, 0),
        (True, 0),
        ("7", 0),
        (None, 0),
        (float("nan"), 0),
        (1e14, 1e8),
        pytest.param(10**400, 0, id="huge"),
    ],
)
def test_only_sensible_numbers_are_taken_from_a_server(value: object, number: float) -> None:
    assert measured(value) == number


def test_an_error_message_nested_too_deep_is_text() -> None:
    assert error_message(b"[" * 100_000).startswith("[[[")


def test_a_servers_cookies_are_not_kept(kind: Kind, server: StubServer) -> None:
    server.says(RUN[kind], set_cookie="who=you")

    async def ask_twice() -> None:
        model = await model_at(kind, server.url)
        for _ in range(2):
            await model.complete(PROMPT, SCHEMA, 64)

    anyio.run(ask_twice)
    assert len(server.headers) == 2 and not any("cookie" in headers for headers in server.headers)


@pytest.mark.parametrize(
    "said", [b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"]
)
def test_what_is_no_http_is_a_lost_connection(kind: Kind, server: StubServer, said: bytes) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(said)
        handler.close_connection = True

    server.reply = reply
    assert error(kind, server).reason == "connection_lost"


def test_connections_end_with_the_event_loop(
    kind: Kind, server: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(RUN[kind])))
        handler.end_headers()
        handler.wfile.write(RUN[kind])
        if not handler.connection.recv(1):
            server.client_gone.set()

    server.reply = reply
    assert answer(kind, server) == "run"
    assert server.client_gone.wait(10)
    gc.collect()
    assert not caplog.records
