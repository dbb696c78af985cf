"""The client of OpenAI-compatible servers, in this process. The server is real, and mostly ill-behaved."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import SecretStr

from astrasim.gateway import ModelSpec
from astrasim.gateway.messages import NO_USAGE, Usage
from astrasim.gateway.models import Completion, ModelError
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


async def complete(url: str, key: str | None = None, name: str = "sheep-1") -> Completion:
    spec = ModelSpec(kind="openai", name=name, base_url=url, api_key=SecretStr(key) if key else None)
    return await OpenAIModel(spec).complete(PROMPT, SCHEMA, 64)


async def ask(url: str, key: str | None = None, name: str = "sheep-1") -> str:
    return (await complete(url, key, name)).text


def completed(server: StubServer) -> Completion:
    return anyio.run(complete, server.url)


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


def test_an_answer_in_parts_is_their_text_without_the_thoughts(server: StubServer) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "or hide?"}]}
    parts = [thought, {"type": "text", "text": "ru"}]
    server.says(events(delta(parts), delta([]), delta("n"), delta([{"type": "text", "text": "!"}], finish="stop")))
    assert answer(server) == "run!"
    server.says(completion(parts))
    assert answer(server) == "ru"


def test_the_answers_cost_is_what_the_server_says_at_the_end(server: StubServer) -> None:
    # OpenAI says it in a chunk of its own, without choices; before, it is null.
    usage = {"prompt_tokens": 120, "completion_tokens": 31, "total_tokens": 151}
    server.says(events({**delta("run"), "usage": None}, delta(finish="stop"), {"choices": [], "usage": usage}))
    assert completed(server).usage == Usage(prompt_tokens=120, tokens=31)
    assert json.loads(server.bodies[0])["stream_options"] == {"include_usage": True}


def test_llama_cpp_says_how_long_it_wrote(server: StubServer) -> None:
    timings = {"cache_n": 100, "prompt_n": 20, "prompt_ms": 30.5, "predicted_n": 31, "predicted_ms": 412.25}
    usage = {"prompt_tokens": 120, "completion_tokens": 31, "total_tokens": 151}
    server.says(events(delta("run"), {**delta(finish="stop"), "timings": timings}, {"choices": [], "usage": usage}))
    assert completed(server).usage == Usage(120, 31, 412.25)
    server.says(events(delta("run"), {**delta(finish="stop"), "timings": timings}))
    assert completed(server).usage == Usage(20, 31, 412.25)


@pytest.mark.parametrize("usage", [None, [], "many", {"prompt_tokens": "120"}, {"completion_tokens": -1}])
def test_an_answer_whose_cost_makes_no_sense_is_still_an_answer(server: StubServer, usage: object) -> None:
    server.says(json.dumps(json.loads(completion("run")) | {"usage": usage, "timings": usage}).encode())
    assert completed(server) == Completion("run", NO_USAGE)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (events(delta("run, ru"), delta(finish="length")), "cut_off"),
        (events(delta("run"), {"error": {"message": "the GPU is on fire"}}), "server_error"),
        (events(delta("ru"), done=False), "connection_lost"),
        (events(delta(refusal="I will not"), delta(finish="stop")), "refused"),
        (events(delta(7, finish="stop")), "bad_response"),
        (events(delta([{"type": "image", "text": "run"}], finish="stop")), "bad_response"),
        (events(delta([{"type": "text", "text": 7}], finish="stop")), "bad_response"),
        (events(delta(["run"], finish="stop")), "bad_response"),
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
        (completion(7), "bad_response"),
        (completion([]), "bad_response"),
        (completion([{"type": "image", "text": "run"}]), "bad_response"),
        (b"<html>", "bad_response"),
        (b"", "bad_response"),
        (b"[" * 100_000, "bad_response"),
        (b"[]", "bad_response"),
        (b"{}", "bad_response"),
        (b'{"choices": []}', "bad_response"),
        (b'{"choices": {"0": 1}}', "bad_response"),
        (b'{"choices": [{"message": "run"}]}', "bad_response"),
        (b'{"choices": [null]}', "bad_response"),
        (b'{"error": {"message": "overloaded"}}', "server_error"),
            (b'{"error": "overloaded"}', "server_error"),
            (b'{"error": null}', "bad_response"),
    ],
)
def test_a_body_that_is_no_answer(server: StubServer, body: bytes, reason: str) -> None:
    server.says(body)
    assert error(server).reason == reason


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
