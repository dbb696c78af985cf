"""Servers that refuse to be asked as others are: each refusal costs one more request, once.

The refusals are as servers were seen to make them, in their public issues.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from astrasim.gateway import ModelSpec
from astrasim.gateway.models import Completion, ModelError
from astrasim.gateway.openai import OpenAIModel
from astrasim.gateway.refusals import FORMS, Manner
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object", "required": ["steps"]}
RUN = {"choices": [{"finish_reason": "stop", "message": {"content": "run"}}]}

UNSUPPORTED = "Unsupported parameter: '{}' is not supported with this model."
OPENAI_LIMIT = {
    "error": {
        "message": UNSUPPORTED.format("max_tokens") + " Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "unsupported_parameter",
    }
}
COPILOT_LIMIT = {"error": {"message": OPENAI_LIMIT["error"]["message"], "code": "invalid_request_body"}}
OPENAI_TEMPERATURE = {
    "error": {
        "message": "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value "
        "is supported.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    }
}
OPENAI_SCHEMA = {
    "error": {"message": "Invalid schema for response_format 'plan'", "param": "response_format", "code": None}
}
LM_STUDIO = {"error": "'response_format.type' must be 'json_schema' or 'text'"}
DEEPSEEK = {"error": {"message": "This response_format type is unavailable now", "param": None}}
OLDER_DEEPSEEK = "Failed to deserialize the JSON body: response_format.type `json_schema` is unavailable now at line 1"
VLLM = {"object": "error", "message": "The provided JSON schema contains features not supported by xgrammar."}
LLAMA_CPP = {"error": {"code": 400, "message": "Failed to initialize samplers: failed to parse grammar"}}
# Recorded from the server of xllamacpp.
LLAMA_CPP_SCHEMA = {
    "error": {
        "code": 400,
        "message": "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error "
        "at #: unrecognized type wizard",
        "type": "invalid_request_error",
    }
}
LLAMA_CPP_NUMBER = {
    "error": {
        "code": 400,
        "message": "Field 'max_tokens': [json.exception.type_error.302] type must be number, but is string",
        "type": "invalid_request_error",
    }
}
OPENROUTER = {"error": {"message": "No endpoints found that can handle the requested parameters.", "code": 404}}
EXTRA = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted", "input": True}
MISTRAL = {"object": "error", "message": {"detail": [{**EXTRA, "loc": ["body", "stream_options", "include_usage"]}]}}
FASTAPI_FORM = {"detail": [{**EXTRA, "loc": ["body", "response_format"]}]}

Choose = Callable[[str, Any], tuple[int, object]]


def refusing(**refusals: tuple[int, object]) -> Choose:
    """A server that refuses requests with such a parameter, or such a form of answer, and answers the others."""

    def choose(path: str, asked: Any) -> tuple[int, object]:
        form = asked.get("response_format", {}).get("type", "text")
        return next((refusals[name] for name in refusals if name in asked or name == form), (200, RUN))

    return choose


def model_at(server: StubServer) -> OpenAIModel:
    return OpenAIModel(ModelSpec(kind="openai", name="sheep-1", base_url=server.url))


async def ask(server: StubServer, times: int) -> list[Completion]:
    model = model_at(server)
    return [await model.complete(PROMPT, SCHEMA, 64) for _ in range(times)]


def asked(server: StubServer) -> list[dict[str, Any]]:
    return [json.loads(body) for body in server.bodies]


@pytest.mark.parametrize(
    ("refusal", "left_out"),
    [
        ({"max_tokens": (400, OPENAI_LIMIT)}, "max_tokens"),
        ({"max_tokens": (400, COPILOT_LIMIT)}, "max_tokens"),
        ({"temperature": (400, OPENAI_TEMPERATURE)}, "temperature"),
        ({"stream_options": (422, MISTRAL)}, "stream_options"),
        ({"stream_options": (400, {"error": "unknown field: stream_options"})}, "stream_options"),
    ],
)
def test_what_is_refused_is_left_out_from_then_on(server: StubServer, refusal: Any, left_out: str) -> None:
    server.answers(refusing(**refusal))
    assert [each.text for each in anyio.run(ask, server, 2)] == ["run", "run"]
    first, second, third = asked(server)
    assert left_out in first
    assert second == third
    instead = {"max_tokens": {"max_completion_tokens": 64}}.get(left_out, {})
    assert second == {name: value for name, value in first.items() if name != left_out} | instead


@pytest.mark.parametrize(
    "refusal",
    [
        (400, OPENAI_SCHEMA),
        (400, DEEPSEEK),
        (422, OLDER_DEEPSEEK),
        (400, VLLM),
        (400, LLAMA_CPP),
        (400, LLAMA_CPP_SCHEMA),
        (404, OPENROUTER),
        (422, FASTAPI_FORM),
    ],
)
def test_without_schemas_json_is_asked_for_and_the_schema_stands_in_the_prompt(
    server: StubServer, refusal: tuple[int, object]
) -> None:
    server.answers(refusing(json_schema=refusal))
    assert [each.text for each in anyio.run(ask, server, 2)] == ["run", "run"]
    first, second, third = asked(server)
    assert first["messages"][0]["content"] == PROMPT.system
    assert second["response_format"] == {"type": "json_object"}
    assert second["messages"][0]["content"].startswith(PROMPT.system)
    assert json.dumps(SCHEMA, separators=(",", ":")) in second["messages"][0]["content"]
    assert second["messages"][1]["content"] == PROMPT.user
    assert second == third


def test_without_any_form_plain_text_is_asked_for(server: StubServer) -> None:
    server.answers(refusing(json_schema=(400, VLLM), json_object=(400, LM_STUDIO)))
    anyio.run(ask, server, 2)
    forms = [request.get("response_format", {}).get("type", "text") for request in asked(server)]
    assert forms == [*FORMS, "text"]
    assert json.dumps(SCHEMA, separators=(",", ":")) in asked(server)[-1]["messages"][0]["content"]


def test_a_server_that_refuses_everything_is_met_step_by_step(server: StubServer) -> None:
    server.answers(
        refusing(
            max_tokens=(400, OPENAI_LIMIT),
            temperature=(400, OPENAI_TEMPERATURE),
            stream_options=(422, MISTRAL),
            json_schema=(400, DEEPSEEK),
            json_object=(400, LM_STUDIO),
        )
    )
    anyio.run(ask, server, 3)
    assert len(server.bodies) == 1 + 5 + 2
    assert set(asked(server)[-1]) == {"model", "stream", "messages", "max_completion_tokens"}


def test_a_refusal_that_nothing_helps_against_is_an_error_after_the_last_attempt(server: StubServer) -> None:
    server.answers(lambda path, asked: (400, LM_STUDIO))
    with pytest.raises(ModelError, match="must be 'json_schema' or 'text'") as caught:
        anyio.run(ask, server, 1)
    assert caught.value.reason == "http_400"
    assert len(server.bodies) == len(FORMS)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, LM_STUDIO),
        (429, OPENAI_LIMIT),
        (503, LLAMA_CPP),
        (400, {"error": {"message": "max_tokens is too large: 64. This model supports 32.", "param": "max_tokens"}}),
        (400, LLAMA_CPP_NUMBER),
        (400, {"error": {"message": "temperature must be a number", "param": "temperature"}}),
        (404, {"error": {"message": "The model `sheep-1` does not exist", "param": "model"}}),
        (400, "[" * 10_000),
        (400, {"detail": [{"loc": ["body", "seed"], "msg": "Field required", "input": {"response_format": 1}}]}),
    ],
)
def test_what_is_no_refusal_of_a_parameter_is_not_asked_again(server: StubServer, status: int, said: object) -> None:
    server.answers(lambda path, asked: (status, said))
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, server, 1)
    assert caught.value.reason == f"http_{status}"
    assert len(server.bodies) == 1


def test_requests_that_meet_the_same_refusal_at_the_same_time_step_back_once(server: StubServer) -> None:
    async def ask_many() -> None:
        model = model_at(server)
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(model.complete, PROMPT, SCHEMA, 64)

    server.answers(refusing(json_schema=(400, DEEPSEEK)))
    anyio.run(ask_many)
    assert all("response_format" in request for request in asked(server))
    assert len(server.bodies) <= 8


def test_the_second_attempt_has_what_is_left_of_the_deadline(server: StubServer) -> None:
    def choose(path: str, asked: Any) -> tuple[int, object]:
        if "temperature" in asked:
            return 400, OPENAI_TEMPERATURE
        time.sleep(1.5)
        return 200, RUN

    async def impatient() -> bool:
        with anyio.move_on_after(0.5) as scope:
            await ask(server, 1)
        return scope.cancelled_caught

    server.answers(choose)
    assert anyio.run(impatient)
    assert len(server.bodies) == 2


def test_what_two_refusals_taught_is_kept_together() -> None:
    one = Manner().after(400, json.dumps(OPENAI_LIMIT).encode())
    other = Manner().after(400, json.dumps(DEEPSEEK).encode())
    assert one.and_also(other) == other.and_also(one) == Manner(form=1, limit=1)
