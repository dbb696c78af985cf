"""Which of Ollama's models is asked, and how it comes to be loaded. What the server says is recorded from its
documentation (docs/api.md) and its source (server/routes.go)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from astrasim.gateway import ModelSpec
from astrasim.gateway import ollama as module
from astrasim.gateway.models import Completion, ModelError
from astrasim.gateway.ollama import LEAST_CONTEXT, OllamaModel
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object", "required": ["steps"]}

WHOLE = {"message": {"role": "assistant", "content": "run"}, "done_reason": "stop", "done": True}
# Recorded from Ollama's documentation: loading a model, and the models that are loaded.
LOADED = {
    "model": "llama3.2",
    "created_at": "2024-09-12T21:17:29.110811Z",
    "message": {"role": "assistant", "content": ""},
    "done_reason": "load",
    "done": True,
}
RUNNING = {
    "models": [
        {
            "name": "mistral:latest",
            "model": "mistral:latest",
            "size": 5137025024,
            "digest": "2ae6f6dd7a3dd734790bbbf58b8909a606e0e7e97e94b7604e0aa7ae4490e6d8",
            "details": {
                "parent_model": "",
                "format": "gguf",
                "family": "llama",
                "families": ["llama"],
                "parameter_size": "7.2B",
                "quantization_level": "Q4_0",
            },
            "expires_at": "2024-06-04T14:38:31.83753-07:00",
            "size_vram": 5137025024,
        }
    ]
}
# Recorded from its source.
NOT_FOUND = {"error": "model 'llama3.2' not found"}
QUEUE_FULL = {"error": "server busy, please try again.  maximum pending requests exceeded"}


def model_at(server: StubServer, name: str = "llama3.2", tell: Callable[[str], None] = print) -> OllamaModel:
    return OllamaModel(ModelSpec(kind="ollama", name=name, base_url=server.url), tell)


async def ask(server: StubServer, name: str = "llama3.2", times: int = 1) -> Completion:
    model = model_at(server, name)
    for _ in range(times - 1):
        await model.complete(PROMPT, SCHEMA, 64)
    return await model.complete(PROMPT, SCHEMA, 64)


def error(server: StubServer, name: str = "llama3.2") -> ModelError:
    with pytest.raises(ModelError) as caught:
        anyio.run(ask, server, name)
    return caught.value


def asked(server: StubServer) -> list[dict[str, Any]]:
    return [json.loads(body) for body in server.bodies if body]


def listing(tags: object, running: object) -> Callable[[str, Any], tuple[int, object]]:
    answers: dict[str, object] = {"/api/tags": tags, "/api/ps": running, "/api/chat": WHOLE}
    return lambda path, asked: (200, answers[path])


def test_without_a_name_a_running_model_is_asked(server: StubServer) -> None:
    server.answers(listing({"models": [{"name": "llama3:latest"}]}, RUNNING))
    anyio.run(partial(ask, server, name="", times=2))
    assert server.paths == ["/api/ps", "/api/chat", "/api/chat"]
    assert asked(server)[0]["model"] == "mistral:latest"


def test_without_a_name_and_a_running_model_the_first_that_can_chat_is_asked(server: StubServer) -> None:
    embeds = {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}}
    server.answers(listing({"models": [embeds, {"name": "llama3:latest"}]}, {"models": []}))
    anyio.run(partial(ask, server, name=""))
    assert asked(server)[0]["model"] == "llama3:latest"


def test_without_any_model_the_error_says_how_to_get_one(server: StubServer) -> None:
    server.answers(listing({"models": []}, {"models": []}))
    caught = error(server, name="")
    assert caught.reason == "no_model"
    assert "ollama pull llama3.2" in caught.detail


def test_a_list_that_is_none_is_a_bad_response(server: StubServer) -> None:
    server.answers(listing([], []))
    assert error(server, name="").reason == "bad_response"


def keep(server: StubServer, until: Callable[[list[str]], bool], seconds: float = 10.0) -> list[str]:
    """What is told while a model is kept loaded, until ``until`` holds of it."""
    told: list[str] = []

    async def keeping() -> None:
        model = model_at(server, tell=told.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.keep_loaded)
            with anyio.fail_after(seconds):
                while not until(told):
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    anyio.run(keeping)
    return told


def loading(tags: str, when: Callable[[], bool] = lambda: True) -> Callable[[str, Any], tuple[int, object]]:
    """A server that has the model ``tags``, and can load it, ``when`` that holds."""

    def choose(path: str, asked: Any) -> tuple[int, object]:
        if path == "/api/tags":
            return 200, {"models": [{"name": tags}] if when() else None}
        return (200, LOADED) if when() else (404, NOT_FOUND)

    return choose


@pytest.mark.parametrize("tags", ["llama3.2:latest", "Llama3.2:Latest"])
def test_the_model_is_loaded_with_the_context_of_requests_and_told_so(server: StubServer, tags: str) -> None:
    server.answers(loading(tags))
    assert keep(server, lambda told: told[-1:] == [""]) == ["loading llama3.2 ...", ""]
    (request,) = asked(server)
    assert request["messages"] == [] and request["keep_alive"] == -1
    assert request["options"] == {"num_ctx": LEAST_CONTEXT}


def test_a_model_pulled_later_is_loaded_then(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_PAUSE_S", 0.05)
    server.answers(loading("llama3.2:latest", when=lambda: len(server.paths) >= 5))  # two an attempt
    told = keep(server, lambda told: told[-1:] == [""])
    assert told == ["model 'llama3.2' is not pulled; get it: ollama pull llama3.2", "loading llama3.2 ...", ""]


def test_a_model_that_no_list_names_is_loaded_without_a_word(server: StubServer) -> None:
    server.answers(loading("llama3.2:1b"))
    assert keep(server, lambda told: len(asked(server)) == 1) == []


def test_a_model_whose_requests_are_given_up_is_loaded_again(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_PAUSE_S", 0.05)
    told: list[str] = []

    def loads(number: int) -> bool:
        return [request["messages"] for request in asked(server)].count([]) >= number

    async def keeping() -> None:
        model = model_at(server, tell=told.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.keep_loaded)
            with anyio.fail_after(10.0):
                while told[-1:] != [""]:
                    await anyio.sleep(0.01)
                await anyio.sleep(0.2)
                assert not loads(2)
                with anyio.move_on_after(0.0):
                    await model.complete(PROMPT, SCHEMA, 64)
                while not loads(2):
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    server.answers(loading("llama3.2:latest"))
    anyio.run(keeping)
    assert told == ["loading llama3.2 ...", ""]  # a check that finds the model there is nobody's concern


def test_an_answer_ends_what_was_told_about_loading(server: StubServer) -> None:
    told: list[str] = []

    async def ask_after_failing() -> None:
        model = model_at(server, tell=told.append)
        await model._load(aloud=True)
        server.says(json.dumps(WHOLE).encode())
        await model.complete(PROMPT, SCHEMA, 64)

    server.answers(lambda path, asked: (503, QUEUE_FULL))
    anyio.run(ask_after_failing)
    assert told == [QUEUE_FULL["error"].replace("  ", " "), ""]
