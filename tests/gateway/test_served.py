"""Gateway processes whose models are servers: the stub on both of its wires, and a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Literal

import httpx
import pytest
from pydantic import SecretStr

from astrasim.gateway import ModelSpec
from astrasim.gateway.ollama_host import probe_ollama
from astrasim.perf.stub_server import stub_server

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, StubServer

Play = Callable[..., "Game"]


@pytest.fixture(scope="module")
def stub() -> Iterator[str]:
    with stub_server(seed=0, latency_ms=(5, 40)) as url:
        yield url


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@pytest.mark.parametrize("name", ["stub", ""])
def test_plans_come_over_either_wire_with_what_they_cost(
    play_a_game: Play, stub: str, kind: Literal["openai", "ollama"], name: str
) -> None:
    game = play_a_game(ModelSpec(kind=kind, name=name, base_url=stub), max_in_flight=8).up()
    for number in range(1, 21):
        game.ask(number, key=number % 6)
    answers = [game.answer(number) for number in range(1, 21)]
    assert all(answer.steps and json.loads(answer.raw)["steps"] for answer in answers)
    assert all(answer.usage.prompt_tokens > 0 and answer.usage.tokens > 0 for answer in answers)
    if kind == "ollama":
        assert all(answer.usage.writing_ms > 0 and answer.usage.load_ms > 0 for answer in answers)


def test_ollamas_model_is_loaded_before_anything_is_asked(play_a_game: Play, stub: str) -> None:
    with stub_server(latency_ms=(0, 0)) as url:
        game = play_a_game(ModelSpec(kind="ollama", base_url=url)).up()
        game.until(lambda: httpx.get(f"{url}/api/ps", trust_env=False).json()["models"])
        game.until(lambda: "loading" not in game.gateway.describe())


def test_a_model_that_is_not_pulled_is_told_to_people_with_the_command(play_a_game: Play, stub: str) -> None:
    game = play_a_game(ModelSpec(kind="ollama", name="llama3.2", base_url=stub)).up()
    game.until(lambda: "ollama pull llama3.2" in game.gateway.describe())
    game.ask(1)
    failure = game.failure(1)
    assert (failure.reason, failure.rejected) == ("no_model", False)
    assert "ollama pull llama3.2" in failure.detail


def test_requests_are_asked_while_the_model_loads(play_a_game: Play, server: StubServer) -> None:
    plan = '{"steps": [{"action": "flee", "target": "threat", "seconds": 3}]}'
    answer = json.dumps({"message": {"content": plan}, "done": True})

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked = server.bodies[-1]
        if not asked:
            server_lists(handler)
        elif json.loads(asked)["messages"]:
            server_says(handler)
        else:
            server_hangs(handler)

    server.says(b'{"models": [{"name": "m:latest"}]}')
    server_lists = server.reply

    server.hangs()
    server_hangs = server.reply
    server.says(answer.encode())
    server_says = server.reply
    server.reply = reply
    game = play_a_game(ModelSpec(kind="ollama", name="m", base_url=server.url), max_in_flight=1).up()
    game.until(lambda: "loading m ..." in game.gateway.describe())
    game.ask(1)
    assert game.answer(1).steps == ((0, 0, 3.0),)


def test_the_stub_is_found_as_an_ollama(stub: str) -> None:
    assert probe_ollama(stub, timeout_s=5.0) == ["stub:latest"]


@pytest.mark.slow
def test_a_real_server_fills_in_the_usage_holds_the_grammar_and_wants_its_key(play_a_game: Play) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install 'astrasim[embedded]'")
    from astrasim.perf.smollm_server import smollm_server

    with smollm_server() as address:
        key = SecretStr(address.api_key)
        game = play_a_game(ModelSpec(kind="openai", base_url=address.url, api_key=key), max_in_flight=2).up()
        for number in range(1, 5):
            game.ask(number, key=number, deadline_s=20.0)
        for number in range(1, 5):
            answer = game.answer(number)  # not rejected: the reader accepts what the grammar lets through
            assert answer.usage.prompt_tokens > 50 and answer.usage.tokens > 5 and answer.usage.writing_ms > 1.0
        wrong = ModelSpec(kind="openai", name="m", base_url=address.url, api_key=SecretStr("wrong"))
        stranger = play_a_game(wrong).up()
        stranger.ask(1)
        failure = stranger.failure(1)
        assert (failure.reason, failure.detail) == ("http_401", "Invalid API Key")
