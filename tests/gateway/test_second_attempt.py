"""A model whose answer is no plan gets one more chance, with the shortest prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from astrasim.gateway import ModelSpec
from astrasim.prompts import json_prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, Meadow, StubServer

Play = Callable[..., "Game"]

PLAN = '{"steps": [{"action": "flee", "target": "threat", "seconds": 3}]}'
FLY = PLAN.replace("flee", "fly")


def says(text: str, finish: str = "stop", usage: dict[str, int] | None = None) -> tuple[int, Any]:
    return 200, {"choices": [{"finish_reason": finish, "message": {"content": text}}], "usage": usage}


def systems(server: StubServer) -> list[str]:
    return [json.loads(body)["messages"][0]["content"] for body in server.bodies]


@pytest.mark.parametrize("first", [says("I would flee"), says(FLY), says(PLAN[:-9], "length")], ids=str)
def test_an_answer_that_is_no_plan_is_asked_for_again_in_fewer_words(
    same_game: Game, same_server: StubServer, meadow: Meadow, first: tuple[int, Any]
) -> None:
    replies = iter([first, says(PLAN)])
    same_server.answers(lambda path, asked: next(replies))
    same_game.ask(1, key=4)
    assert same_game.answer(1).steps == ((0, 0, 3.0),)
    lengths = [json_prompt(meadow.vocabulary, meadow.scope(), 4, length) for length in ("full", "simplified")]
    assert systems(same_server) == [prompt.system for prompt in lengths]
    assert json.loads(same_server.bodies[1])["messages"][1]["content"] == lengths[1].user


def test_there_is_no_third_attempt(play_a_game: Play, server: StubServer, tmp_path: Path) -> None:
    log = tmp_path / "exchanges.jsonl"
    game = play_a_game(ModelSpec(kind="openai", name="m", base_url=server.url), log_exchanges=log).up()
    replies = iter([says("no JSON"), says(FLY)])
    server.answers(lambda path, asked: next(replies))
    game.ask(1)
    failure = game.failure(1)
    assert (failure.reason, failure.rejected, failure.detail, failure.tries) == ("unknown_action", True, FLY, 2)
    game.gateway.close()
    logged = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(each["raw"], each["outcome"]) for each in logged] == [("no JSON", "not_json"), (FLY, "unknown_action")]


def test_both_attempts_share_the_deadline_and_the_first_is_what_is_told_of(
    same_game: Game, same_server: StubServer
) -> None:
    same_server.hangs()
    hangs = same_server.reply
    same_server.answers(lambda path, asked: says("I would flee"))
    answers, replies = same_server.reply, 0

    def reply(handler: Any) -> None:
        nonlocal replies
        replies += 1
        (answers if replies == 1 else hangs)(handler)

    same_server.reply = reply
    same_game.ask(1, deadline_s=0.7)
    failure = same_game.failure(1)
    assert (failure.reason, failure.rejected, failure.detail) == ("not_json", True, "I would flee")
    assert same_server.client_gone.wait(10)


def test_what_both_cost_is_told_together(same_game: Game, same_server: StubServer, meadow: Meadow) -> None:
    replies = iter([
        says("no", usage={"prompt_tokens": 100, "completion_tokens": 1}),
        says(PLAN, usage={"prompt_tokens": 40, "completion_tokens": 20}),
    ])  # fmt: skip
    same_server.answers(lambda path, asked: next(replies))
    same_game.ask(1)
    answer = same_game.answer(1)
    assert (answer.tokens, answer.usage.prompt_tokens, answer.usage.tokens) == (161, 140, 21)
    same_server.answers(lambda path, asked: says(PLAN))
    same_game.ask(2)
    prompt = json_prompt(meadow.vocabulary, meadow.scope(), 0)
    told = (prompt.characters + len(PLAN)) / 3
    assert same_game.answer(2).tokens == pytest.approx(told, abs=2), "where it does not say"
