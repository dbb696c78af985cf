"""Both sides: a real gateway process, a real model behind it (a function, or an HTTP server)."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from pydantic import SecretStr

from astrasim.gateway import GatewayState, ModelSpec
from astrasim.gateway.keeping import Keeping
from astrasim.prompts import json_prompt
from astrasim.reader import plan_schema

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, Meadow, StubServer

Play = Callable[..., "Game"]

FLEE = '{"steps": [{"action": "flee", "target": "threat", "seconds": 3}]}'
KEY = "sk-very-secret"

needs_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows cannot stop a process")


def served_by(server: StubServer) -> ModelSpec:
    return ModelSpec(kind="openai", name="sheep-1", base_url=server.url, api_key=SecretStr(KEY))


@pytest.fixture(scope="module")
def player(play_a_game: Play) -> Game:
    """One game with the function model ``play``, for all tests that do it no harm."""
    return play_a_game("play", max_in_flight=4).up()


def test_a_plan_from_an_http_server(play_a_game: Play, server: StubServer, meadow: Meadow) -> None:
    server.says(json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": FLEE}}]}).encode())
    game = play_a_game(served_by(server)).up()
    game.ask(1, key=4)
    answer = game.answer(1)
    assert answer.steps == ((0, 0, 3.0),)
    assert answer.raw == FLEE
    assert 0 < answer.latency_ms < 20_000
    asked = json.loads(server.bodies[0])
    prompt = json_prompt(meadow.vocabulary, meadow.scope(), 4)
    assert [message["content"] for message in asked["messages"]] == [prompt.system, prompt.user]
    assert asked["response_format"]["json_schema"]["schema"] == plan_schema(meadow.vocabulary, meadow.scope())
    assert game.gateway.describe() == f"openai at {server.url}: ready, 0 in flight"


def test_a_scope_asks_in_the_length_of_prompt_that_it_says(
    same_game: Game, same_server: StubServer, meadow: Meadow
) -> None:
    same_server.says(json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": FLEE}}]}).encode())
    short = meadow.scope().model_copy(update={"prompt": "simplified"})
    same_game.gateway.declare_scope(2, short)
    same_game.ask(2, scope_id=2)
    same_game.answer(2)
    prompt = json_prompt(meadow.vocabulary, meadow.scope(), 0, "simplified")
    assert [message["content"] for message in json.loads(same_server.bodies[0])["messages"]] == [*prompt]


def test_a_plan_among_thoughts_and_fences_is_found(player: Game, meadow: Meadow) -> None:
    player.gateway.declare_scope(90, meadow.scope("play thoughtful"))
    player.ask(90, scope_id=90)
    answer = player.answer(90)
    assert answer.steps == ((0, 0, 3.0),)
    assert answer.raw.startswith("<think>"), "the whole of it is there to look at"


def test_the_deadline_closes_the_connection(same_game: Game, same_server: StubServer) -> None:
    same_server.hangs()
    same_game.ask(1, deadline_s=0.5)
    failure = same_game.failure(1)
    assert failure.reason == "deadline"
    assert "no answer within 0.5 s (with the model until then)" in failure.detail
    assert same_server.client_gone.wait(10)
    assert "1 in flight" not in same_game.gateway.describe()


def test_cancelling_closes_the_connection(same_game: Game, same_server: StubServer) -> None:
    same_server.hangs()
    same_game.ask(1)
    same_game.until(lambda: same_server.bodies)
    same_game.gateway.cancel(1)
    same_game.until(same_server.client_gone.is_set)
    assert same_game.results == []
    assert same_game.gateway.statistics().in_flight == 0


def test_an_error_of_the_servers(same_game: Game, same_server: StubServer) -> None:
    same_server.says(b'{"error": {"message": "model sheep-1 not found"}}', status=404)
    same_game.ask(1)
    failure = same_game.failure(1)
    assert (failure.reason, failure.detail, failure.rejected) == ("http_404", "model sheep-1 not found", False)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("prose", "not_json"),
        ("cut", "cut_off"),
        ("no steps", "wrong_length"),
        ("wrong action", "unknown_action"),
        ("wrong target", "unknown_target"),
        ("too slow", "bad_duration"),
        ("surrogate", "wrong_shape"),
        ("a lot", "too_long"),
    ],
)
def test_an_answer_against_the_rules_is_rejected(player: Game, meadow: Meadow, what: str, reason: str) -> None:
    number = 100 + sum(what.encode())
    player.gateway.declare_scope(number, meadow.scope(f"play {what}"))
    player.ask(number, scope_id=number)
    failure = player.failure(number)
    assert (failure.reason, failure.rejected) == (reason, True)
    assert 0 < len(failure.detail) <= 1000
    failure.detail.encode()


def test_a_model_that_raises_or_returns_nonsense(player: Game, meadow: Meadow) -> None:
    player.gateway.declare_scope(2, meadow.scope("play raise"))
    player.gateway.declare_scope(3, meadow.scope("play number"))
    player.ask(2, scope_id=2)
    player.ask(3, scope_id=3)
    assert player.failure(2).reason == "function_raised"
    assert player.failure(2).detail == "RuntimeError: the mind boggles"
    assert player.failure(3).reason == "bad_response"


def test_each_situation_gets_its_own_answer(play_a_game: Play, meadow: Meadow) -> None:
    game = play_a_game("situation").up()
    for key in range(meadow.vocabulary.key_space("sheep")):
        game.ask(key, key=key)
    for key in range(meadow.vocabulary.key_space("sheep")):
        words = " ".join(meadow.vocabulary.words("sheep", key))
        assert game.answer(key).steps == ((1, 1, 1.0 + ("rested" in words) + ("no wolf" in words)),)


def test_an_async_function(play_a_game: Play) -> None:
    game = play_a_game("flee_async").up()
    game.ask(1)
    assert game.answer(1).latency_ms >= 10


def test_a_function_that_is_not_there(play_a_game: Play) -> None:
    game = play_a_game("missing").up()
    assert "cannot import 'minds:missing'" in game.gateway.describe()
    game.ask(1)
    assert game.failure(1).reason == "no_model"


def test_numbers_from_numpy_are_welcome(player: Game) -> None:
    column = np.arange(900, 902)
    assert player.gateway.ask(column[0], np.int32(1), column[1], np.float32(20.0))  # type: ignore[arg-type]
    player.answer(900)


def test_waiting_for_a_turn_counts_against_the_deadline(play_a_game: Play, meadow: Meadow) -> None:
    game = play_a_game("play", max_in_flight=1).up()
    game.gateway.declare_scope(2, meadow.scope("play sleep 0.8"))
    game.ask(1, scope_id=2)
    game.ask(2, scope_id=1, deadline_s=0.3)
    game.ask(3, scope_id=1)
    assert "waiting for its turn until then" in game.failure(2).detail
    game.answer(1)
    assert game.answer(3).latency_ms < 700  # its own time with the model, not its wait for the first


def test_many_requests_at_once(player: Game) -> None:
    asked = [number for number in range(1000, 1100) if player.gateway.ask(number, 1, number % 6, 20.0)]
    assert len(asked) == 20  # 4 with the model, 16 waiting
    for number in asked:
        player.answer(number)


@needs_stop
def test_a_killed_process_comes_back_and_knows_its_scopes(play_a_game: Play, meadow: Meadow) -> None:
    game = play_a_game("play").up()
    game.gateway.declare_scope(2, meadow.scope("play sleep 30"))
    game.ask(1, scope_id=2)
    game.ask(2, scope_id=2)
    game.until_sent()
    first = game.gateway.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    game.until_state(GatewayState.DOWN)
    game.until(lambda: "gateway stopped (exit code -9), next try in 0." in game.gateway.describe())
    for number in (1, 2):
        assert game.failure(number).reason == "gateway_lost"
    assert not game.gateway.ask(3, 1, 0, 5.0)
    game.until_state(GatewayState.READY)
    assert game.gateway.pid != first
    game.ask(4)
    game.answer(4)
    assert game.gateway.statistics().restarts == 1


@needs_stop
def test_a_stopped_process_holds_nothing_up_and_recovers(play_a_game: Play) -> None:
    game = play_a_game("play").up()
    assert game.gateway.pid is not None
    os.kill(game.gateway.pid, signal.SIGSTOP)
    try:
        game.ask(1)
        polls, costs = 0, []
        while game.gateway.state is not GatewayState.STALLED or polls <= 100:
            assert polls < 5000
            begun = time.perf_counter()
            game.gateway.ask(100 + polls, 1, 0, 60.0)
            game.results += game.gateway.poll()
            costs.append(time.perf_counter() - begun)
            polls += 1
            game.clock.skip(0.02)
            time.sleep(0.002)
        assert "no sign of life" in game.gateway.describe()
        assert not game.gateway.ask(2, 1, 0, 5.0)
        assert game.results == []
        assert sorted(costs)[len(costs) // 2] < 0.005  # no call waited for the process
    finally:
        os.kill(game.gateway.pid, signal.SIGCONT)
    game.until_state(GatewayState.READY)
    game.answer(1)
    game.ask(3)
    game.answer(3)
    assert game.gateway.statistics().restarts == 0


@needs_stop
def test_close_ends_a_stopped_process(play_a_game: Play) -> None:
    game = play_a_game("play").up()
    assert game.gateway.pid is not None
    child = psutil.Process(game.gateway.pid)
    child.suspend()
    begun = time.monotonic()
    game.gateway.close()
    assert time.monotonic() - begun < 3.0
    assert not child.is_running()


def test_close_does_not_wait_for_a_busy_function(play_a_game: Play, meadow: Meadow) -> None:
    game = play_a_game("play").up()
    game.gateway.declare_scope(2, meadow.scope("play sleep 30"))
    game.ask(1, scope_id=2)
    game.until_sent()
    assert game.gateway.pid is not None
    child = psutil.Process(game.gateway.pid)
    begun = time.monotonic()
    game.gateway.close()
    assert time.monotonic() - begun < 5.0
    assert not child.is_running()


def test_a_function_that_holds_the_interpreter_is_ended(play_a_game: Play) -> None:
    game = play_a_game("hold_the_interpreter").up()
    first = game.gateway.pid
    game.ask(1)
    game.until_state(GatewayState.STALLED, skip_s=0.1)
    game.until_state(GatewayState.DOWN, skip_s=0.1)
    assert game.failure(1).reason == "gateway_lost"
    game.until_state(GatewayState.READY, skip_s=0.05)
    assert first is not None and first != game.gateway.pid
    game.until(lambda: not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_takes_more_memory_than_it_may_is_started_again_and_that_is_told(
    play_a_game: Play, meadow: Meadow, caplog: pytest.LogCaptureFixture
) -> None:
    keeping = Keeping(entries=1, orders=False)  # nothing more for what is kept
    game = play_a_game("play", keeping=keeping, gateway_memory_mb=250, model_memory_mb=100).up()
    game.gateway.declare_scope(2, meadow.scope("play hoard"))
    game.ask(1, scope_id=2)
    failure = game.failure(1)
    assert failure.reason == "gateway_lost"
    assert re.fullmatch(r"gateway used [3-9]\d\d MB, of 350 MB that it may", failure.detail)
    assert failure.detail in game.gateway.describe() and failure.detail in caplog.text
    game.until_state(GatewayState.READY)
    game.ask(2)
    game.answer(2)
    assert game.gateway.statistics().restarts == 1


def test_exchanges_are_logged_without_the_key(play_a_game: Play, server: StubServer, tmp_path: Path) -> None:
    log = tmp_path / "exchanges.jsonl"
    server.says(json.dumps({"choices": [{"message": {"content": "I would flee"}}]}).encode())
    game = play_a_game(served_by(server), log_exchanges=log).up()
    game.ask(1)
    game.failure(1)
    server.hangs()
    game.ask(2, deadline_s=0.2)
    game.failure(2)
    game.gateway.close()
    first, simplified, second = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert (first["request"], first["raw"], first["outcome"]) == (1, "I would flee", "not_json")
    assert "a wolf is upon you" in first["user"] and first["system"] and first["latency_ms"] > 0
    assert (simplified["request"], simplified["outcome"]) == (1, "not_json") and first["system"] != simplified["system"]
    assert (second["request"], second["raw"], second["outcome"]) == (2, None, "deadline")
    assert KEY not in log.read_text(encoding="utf-8")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_ends_the_log_and_nothing_else(play_a_game: Play) -> None:
    game = play_a_game("play", log_exchanges=Path("/dev/full")).up()
    for number in range(3):
        game.ask(number)
        game.answer(number)
    game.until(lambda: "no longer logging exchanges to /dev/full" in game.gateway.describe())
    game.ask(10)
    game.answer(10)
