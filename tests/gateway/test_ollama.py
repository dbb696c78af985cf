"""Ollama's own wire, in this process. No Ollama runs here: what the server says is recorded from its documentation
(docs/api.md) and its source (server/routes.go), and the rest is mischief."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from astrasim.gateway import ModelSpec
from astrasim.gateway.messages import Usage
from astrasim.gateway.models import Completion, ModelError
from astrasim.gateway.ollama import LEAST_CONTEXT, MOST_CONTEXT, OllamaModel, context_for
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object", "required": ["steps"]}

# Recorded from Ollama's documentation: a chat request, streamed; structured outputs.
THE = {
    "model": "llama3.2",
    "created_at": "2023-08-04T08:52:19.385406455-07:00",
    "message": {"role": "assistant", "content": "The", "images": None},
    "done": False,
}
FINAL = {
    "model": "llama3.2",
    "created_at": "2023-08-04T19:22:45.499127Z",
    "done": True,
    "total_duration": 4883583458,
    "load_duration": 1334875,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342546000,
    "eval_count": 282,
    "eval_duration": 4535599000,
}
WHOLE = {
    "model": "llama3.1",
    "created_at": "2024-12-06T00:46:58.265747Z",
    "message": {"role": "assistant", "content": '{"age": 22, "available": false}'},
    "done_reason": "stop",
    "done": True,
    "total_duration": 2254970291,
    "load_duration": 574751416,
    "prompt_eval_count": 34,
    "prompt_eval_duration": 1502000000,
    "eval_count": 12,
    "eval_duration": 175000000,
}
# Recorded from its source.
NOT_FOUND = {"error": "model 'llama3.2' not found"}
TRY_PULLING = {"error": 'model "llama3.2" not found, try pulling it first'}
QUEUE_FULL = {"error": "server busy, please try again.  maximum pending requests exceeded"}
NO_THINKING = {"error": '"llama3.2" does not support thinking'}
NO_SCHEMA = {"error": "json: cannot unmarshal object into Go struct field ChatRequest.format of type string"}


def lines(*said: object) -> str:
    return "".join(json.dumps(each) + "\n" for each in said)


def says(content: str = "", **more: object) -> dict[str, Any]:
    return {**THE, "message": {"role": "assistant", "content": content, **more}}


def model_at(server: StubServer) -> OllamaModel:
    return OllamaModel(ModelSpec(kind="ollama", name="llama3.2", base_url=server.url), print)


async def ask(server: StubServer, times: int = 1) -> Completion:
    model = model_at(server)
    for _ in range(times - 1):
        await model.complete(PROMPT, SCHEMA, 64)
    return await model.complete(PROMPT, SCHEMA, 64)


def error(server: StubServer) -> ModelError:
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, server)
    return caught.value


def asked(server: StubServer) -> list[dict[str, Any]]:
    return [json.loads(body) for body in server.bodies if body]


def test_a_request_and_its_answer(server: StubServer) -> None:
    server.says(lines(THE, says(" sky"), FINAL).encode())
    assert anyio.run(ask, server) == Completion("The sky", Usage(26, 282, 4535.599, 1.334875))
    assert server.paths == ["/api/chat"]
    (request,) = asked(server)
    system, user = request.pop("messages")
    assert request == {
        "model": "llama3.2",
        "format": SCHEMA,
        "stream": True,
        "think": False,
        "keep_alive": -1,
        "options": {"num_ctx": LEAST_CONTEXT, "num_predict": 64, "temperature": 0.3},
    }
    assert system["content"].startswith(PROMPT.system) and '{"type":"object"' in system["content"]
    assert (system["role"], user) == ("system", {"role": "user", "content": PROMPT.user})


def test_an_answer_that_is_not_streamed_is_read_too(server: StubServer) -> None:
    server.says(json.dumps(WHOLE).encode())
    completion = anyio.run(ask, server)
    assert completion == Completion('{"age": 22, "available": false}', Usage(34, 12, 175.0, 574.751416))


def test_a_server_behind_a_path_is_asked_there(server: StubServer) -> None:
    server.says(json.dumps(WHOLE).encode())
    model = OllamaModel(ModelSpec(kind="ollama", name="m", base_url=server.url + "/ollama/"), print)
    anyio.run(model.complete, PROMPT, SCHEMA, 64)
    assert server.paths == ["/ollama/api/chat"]


@pytest.mark.parametrize(
    ("status", "body", "reason", "detail"),
    [
        (200, lines(THE, {"error": "the GPU is on fire"}), "server_error", "the GPU is on fire"),
        (200, lines(THE, {**FINAL, "done_reason": "length"}), "cut_off", "64 tokens"),
        (200, lines(THE, THE), "connection_lost", "ended before"),
        (200, "", "connection_lost", "ended before"),
        (200, "<html>", "bad_response", "no JSON"),
        (200, "[" * 100_000, "bad_response", "no JSON"),
        (200, "[1]", "bad_response", "list"),
        (200, lines({**THE, "message": {"content": 7}}, FINAL), "bad_response", "no text"),
        (404, NOT_FOUND, "no_model", "ollama pull llama3.2"),
        (404, TRY_PULLING, "no_model", "ollama pull llama3.2"),
        (404, "404 page not found", "http_404", "404 page not found"),
        (503, QUEUE_FULL, "server_busy", "maximum pending requests exceeded"),
        (503, "", "server_busy", "queue is full"),
        (400, {"error": '"all-minilm" does not support chat'}, "http_400", "does not support chat"),
        (500, {"error": "llama runner process has terminated"}, "http_500", "has terminated"),
    ],
)
def test_what_goes_wrong_says_how(server: StubServer, status: int, body: object, reason: str, detail: str) -> None:
    server.answers(lambda path, asked: (status, body))
    caught = error(server)
    assert (caught.reason, len(server.bodies)) == (reason, 1)
    assert detail in caught.detail


def test_nobody_there_says_how_to_start_it() -> None:
    model = OllamaModel(ModelSpec(kind="ollama", name="m", base_url="http://127.0.0.1:9"), print)
    with pytest.raises(ModelError, match="ollama serve") as caught:
        anyio.run(model.complete, PROMPT, SCHEMA, 64)
    assert caught.value.reason == "unreachable"


# ---------------------------------------------------------------------------------------------------------------------
# What some models and versions refuse


def test_a_model_that_cannot_be_told_to_think_is_not_told(server: StubServer) -> None:
    server.answers(lambda path, asked: (400, NO_THINKING) if "think" in asked else (200, WHOLE))
    anyio.run(partial(ask, server, times=2))
    assert ["think" in request for request in asked(server)] == [True, False, False]


def test_a_model_that_thinks_whatever_it_is_told_is_told_to_think_little(server: StubServer) -> None:
    def choose(path: str, asked: Any) -> tuple[int, object]:
        thought = says(thinking="We need to answer")
        return 200, lines(thought, says("" if asked["think"] is False else "run"), {**FINAL, "done_reason": "length"})

    server.answers(choose)
    assert error(server).reason == "cut_off"
    assert [request["think"] for request in asked(server)] == [False, "low"]


def test_thoughts_are_no_part_of_the_answer(server: StubServer) -> None:
    server.says(lines(says(thinking="We need"), says("run"), FINAL).encode())
    assert anyio.run(ask, server).text == "run"


def test_a_version_without_schemas_is_asked_for_json_and_one_without_that_for_text(server: StubServer) -> None:
    def choose(path: str, asked: Any) -> tuple[int, object]:
        return (200, WHOLE) if "format" not in asked else (400, NO_SCHEMA)

    server.answers(choose)
    anyio.run(partial(ask, server, times=2))
    assert [request.get("format") for request in asked(server)] == [SCHEMA, "json", None, None]


@pytest.mark.parametrize(
    ("prompt_bytes", "max_tokens", "context"),
    [(0, 512, LEAST_CONTEXT), (10_000, 512, LEAST_CONTEXT), (11_000, 512, 8192), (10**7, 512, MOST_CONTEXT)],
)
def test_the_context_has_room_for_prompt_and_answer(prompt_bytes: int, max_tokens: int, context: int) -> None:
    assert context_for(prompt_bytes, max_tokens) == context


def test_the_context_never_shrinks_because_each_size_is_loaded_anew(server: StubServer) -> None:
    async def ask_twice() -> None:
        model = model_at(server)
        await model.complete(Prompt("x" * 20_000, "y"), SCHEMA, 64)
        await model.complete(PROMPT, SCHEMA, 64)

    server.says(json.dumps(WHOLE).encode())
    anyio.run(ask_twice)
    assert [request["options"]["num_ctx"] for request in asked(server)] == [8192, 8192]
