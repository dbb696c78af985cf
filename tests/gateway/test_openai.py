"""The client of OpenAI-compatible servers, in this process. The server is real, and mostly ill-behaved."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import SecretStr

from astrasim.gateway import ModelSpec
from astrasim.gateway.http import CONNECTIONS_A_CLIENT, MAX_BODY_BYTES, error_message
from astrasim.gateway.models import ModelError
from astrasim.gateway.openai import OpenAIModel, endpoint
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object"}
KEY = "sk-very-secret"


def completion(content: object, finish: str = "stop", **message: object) -> bytes:
    return json.dumps({"choices": [{"finish_reason": finish, "message": {"content": content, **message}}]}).encode()


def events(*chunks: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def delta(content: object = None, finish: str | None = None, **more: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}]}


async def ask(url: str, key: str | None = None, name: str = "sheep-1") -> str:
    spec = ModelSpec(kind="openai", name=name, base_url=url, api_key=SecretStr(key) if key else None)
    return (await OpenAIModel(spec, 1).complete(PROMPT, SCHEMA, 64)).text


def answer(server: StubServer, key: str | None = None) -> str:
    return anyio.run(partial(ask, server.url, key))


def error(server: StubServer, key: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        answer(server, key)
    return caught.value


def test_a_request_and_its_answer(server: StubServer) -> None:
    server.says(completion("run", finish="stop"))
    assert answer(server, KEY) == "run"
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["accept-encoding"] == "identity"
    asked = json.loads(server.bodies[0])
    assert asked["model"] == "sheep-1"
    assert asked["messages"] == [
        {"role": "system", "content": PROMPT.system},
        {"role": "user", "content": PROMPT.user},
    ]
    assert asked["max_tokens"] == 64
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["schema"] == SCHEMA
    assert asked["response_format"]["json_schema"]["strict"] is True


def test_the_answer_is_asked_for_as_a_stream_and_put_together(server: StubServer) -> None:
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    server.says(events(delta(role="assistant"), delta("ru"), delta("n"), delta(finish="stop"), usage))
    assert answer(server) == "run"
    assert json.loads(server.bodies[0])["stream"] is True


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (events(delta("run, ru"), delta(finish="length")), "cut_off"),
        (events(delta("run"), {"error": {"message": "the GPU is on fire"}}), "server_error"),
        (events(delta("ru"), done=False), "connection_lost"),
        (events(delta(refusal="I will not"), delta(finish="stop")), "refused"),
        (events(delta(7, finish="stop")), "bad_response"),
        (events([1, 2]), "bad_response"),
        (b"data: {nonsense\n\n", "bad_response"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "bad_response"),
    ],
)
def test_a_stream_that_goes_wrong_says_how(server: StubServer, body: bytes, reason: str) -> None:
    server.says(body)
    assert error(server).reason == reason


def test_without_a_name_the_first_model_that_the_server_lists_is_asked(server: StubServer) -> None:
    # The same body serves for both requests: a list of models that is an answer, too.
    both = json.loads(completion("run")) | {"data": [{"id": "ram-7"}, {"id": "ewe-1"}]}
    server.says(json.dumps(both).encode())
    assert anyio.run(partial(ask, server.url, name="")) == "run"
    assert server.paths == ["/v1/models", "/v1/chat/completions"]
    assert json.loads(server.bodies[-1])["model"] == "ram-7"


def test_without_a_name_a_server_that_lists_none_is_an_error_with_its_remedy(server: StubServer) -> None:
    server.says(b'{"data": []}')
    with pytest.raises(ModelError, match="ASTRASIM_MODEL_NAME") as caught:
        anyio.run(partial(ask, server.url, name=""))
    assert caught.value.reason == "no_model"


def test_no_key_no_header(server: StubServer) -> None:
    server.says(completion("run"))
    answer(server)
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (completion("run, ru", finish="length"), "cut_off"),
        (completion(None, refusal="I will not"), "refused"),
        (completion(None), "bad_response"),
        (completion([{"type": "text", "text": "run"}]), "bad_response"),
        (b"<html>", "bad_response"),
        (b"", "bad_response"),
        (b"[" * 100_000, "bad_response"),
        (b"[]", "bad_response"),
        (b"{}", "bad_response"),
        (b'{"choices": []}', "bad_response"),
        (b'{"choices": {"0": 1}}', "bad_response"),
        (b'{"choices": [{"message": "run"}]}', "bad_response"),
        (b'{"choices": [null]}', "bad_response"),
        (b'{"error": {"message": "overloaded"}}', "bad_response"),
    ],
)
def test_a_body_that_is_no_answer(server: StubServer, body: bytes, reason: str) -> None:
    server.says(body)
    assert error(server).reason == reason


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
def test_the_servers_own_words_about_an_error(server: StubServer, body: bytes, said: str) -> None:
    server.says(body, status=404)
    caught = error(server)
    assert (caught.reason, caught.detail) == ("http_404", said)


def test_an_error_is_short_and_does_not_repeat_the_key(server: StubServer) -> None:
    server.says(json.dumps({"error": {"message": f"wrong key {KEY} " + "x" * 1000}}).encode(), status=401)
    caught = error(server, KEY)
    assert caught.reason == "http_401"
    assert caught.detail.startswith("wrong key *** xxx")
    assert len(caught.detail) == 300


def test_redirects_are_not_followed(server: StubServer) -> None:
    server.says(b"", status=307, location=server.url + "/elsewhere")
    assert error(server).reason == "http_307"
    assert len(server.paths) == 1


def test_a_body_announced_too_large_is_refused_unread(server: StubServer) -> None:
    sent = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(100 * 2**20))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" " * 2**20)
            sent.append(2**20)

    server.reply = reply
    caught = error(server)
    assert caught.reason == "too_large"
    assert "announced 104857600 bytes" in caught.detail
    assert server.client_gone.wait(10)
    assert sum(sent) < 50 * 2**20  # what the system's buffers take, not the 100 MiB


def test_a_body_that_never_ends_is_refused_at_the_limit(server: StubServer) -> None:
    sent = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" " * 2**20)
            sent.append(2**20)

    server.reply = reply
    assert error(server).reason == "too_large"
    assert server.client_gone.wait(10)
    assert sum(sent) < 100 * 2**20


def test_a_body_of_the_limit_is_read(server: StubServer) -> None:
    body = completion("run")
    server.says(body + b" " * (MAX_BODY_BYTES - len(body)))
    assert answer(server) == "run"
    server.says(body + b" " * (MAX_BODY_BYTES + 1 - len(body)))
    assert error(server).reason == "too_large"


def test_a_compressed_body_is_read_though_not_asked_for(server: StubServer) -> None:
    server.says(gzip.compress(completion("run")), content_encoding="gzip")
    assert answer(server) == "run"
    server.says(zlib.compress(completion("run")), content_encoding="deflate")
    assert answer(server) == "run"


def test_a_gzip_bomb_is_refused(server: StubServer) -> None:
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=9)
    assert len(bomb) < MAX_BODY_BYTES
    server.says(bomb, content_encoding="gzip")
    tracemalloc.start()
    try:
        assert error(server).reason == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20  # it was never unpacked
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("body", "encoding"), [(b"no gzip", "gzip"), (b"x", "br"), (b"x", "gzip, gzip")])
def test_a_compression_that_cannot_be_read(server: StubServer, body: bytes, encoding: str) -> None:
    server.says(body, content_encoding=encoding)
    assert error(server).reason == "bad_response"


def test_a_connection_lost_half_way(server: StubServer) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices"')
        handler.close_connection = True

    server.reply = reply
    assert error(server).reason == "connection_lost"


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:{KEY}@127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ModelError, match=r"unreachable: openai at http://127\.0\.0\.1") as caught:
            anyio.run(ask, url)
    assert KEY not in str(caught.value)


def test_cancelling_closes_the_connection(server: StubServer) -> None:
    async def impatient() -> None:
        with anyio.move_on_after(0.3):
            await ask(server.url)

    server.hangs()
    anyio.run(impatient)
    assert server.client_gone.wait(10)


def test_a_proxy_is_not_asked_about_this_machine(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.says(completion("run"))
    assert answer(server) == "run"


def test_requests_are_spread_over_small_pools(server: StubServer) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    everybody = threading.Event()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            if inside == 3 * CONNECTIONS_A_CLIENT:
                everybody.set()
        everybody.wait(10)
        with lock:
            inside -= 1
        body = completion("run")
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    async def ask_many() -> None:
        model = OpenAIModel(ModelSpec(kind="openai", name="s", base_url=server.url), 3 * CONNECTIONS_A_CLIENT)
        async with anyio.create_task_group() as tasks:
            for _ in range(3 * CONNECTIONS_A_CLIENT):
                tasks.start_soon(model.complete, PROMPT, SCHEMA, 8)

    server.reply = reply
    anyio.run(ask_many)
    assert most == 3 * CONNECTIONS_A_CLIENT


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://a:1", "http://a:1/v1/chat/completions"),
        ("http://a:1/", "http://a:1/v1/chat/completions"),
        ("http://a/v1", "http://a/v1/chat/completions"),
        ("http://a/v1beta/openai/", "http://a/v1beta/openai/chat/completions"),
    ],
)
def test_where_it_asks(base: str, url: str) -> None:
    assert endpoint(base, "chat/completions") == url


def test_an_error_message_nested_too_deep_is_text() -> None:
    assert error_message(b"[" * 100_000).startswith("[[[")
