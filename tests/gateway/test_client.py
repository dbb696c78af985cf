"""The game's side against gateway processes that misbehave (fake_child.py), which come in by the same door as the real
one. Waiting is shortened by putting the game's clock forward."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from astrasim.gateway import Answer, GatewayState, link, process
from astrasim.gateway.messages import MAX_TO_GAME

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, Meadow

Fake = Callable[[str], None]
Play = Callable[..., "Game"]
NONSENSE = 21  # how many kinds of it fake_child.py has


def test_a_good_child(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("good")
    game = play_a_game().up()
    game.ask(1)
    assert game.answer(1) == Answer(1, ((0, 0, 3.0),), "flee", 1.5)
    figures = game.gateway.statistics()
    assert (figures.sent, figures.answered, figures.in_flight, figures.restarts) == (1, 1, 0, 0)
    assert figures.bytes_sent > 0 and figures.bytes_received > 0


@pytest.mark.parametrize(
    "behaviour", ["oversize", "not json", "not an object", "not utf-8", "not a number", "deep", "last words"]
)
def test_what_is_no_message_ends_the_process_and_another_comes(
    play_a_game: Play, fake_child: Fake, behaviour: str
) -> None:
    fake_child(behaviour)
    game = play_a_game().up()
    game.ask(1)
    game.ask(2)
    last_words = behaviour == "last words"  # a whole answer, half a message, and death: the answer counts
    if last_words:
        assert game.answer(1).raw == "flee"
    for request_id in (2,) if last_words else (1, 2):
        assert game.failure(request_id).reason == "gateway_lost"
    game.until_state(GatewayState.DOWN, GatewayState.STARTING)
    fake_child("good")
    game.until_state(GatewayState.READY, skip_s=0.05)
    game.ask(3)
    assert game.answer(3).raw == "flee"
    assert game.gateway.statistics().restarts >= 1
    assert [r.request_id for r in game.results] == [1, 2, 3]


def test_half_a_message_and_then_silence_blocks_nothing(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("half a message")
    game = play_a_game().up()
    game.ask(1, deadline_s=0.2)
    assert game.failure(1).reason in ("deadline", "gateway_lost")


def test_nonsense_ends_the_request_and_nothing_else(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("nonsense")
    game = play_a_game().up()
    for number in range(NONSENSE):
        game.ask(number, key=number)
    for number in range(NONSENSE):
        assert game.failure(number).reason == "bad_message", number
    assert game.gateway.state is GatewayState.READY
    assert game.gateway.statistics().dropped == NONSENSE


def test_duplicates_and_unknown_messages_are_dropped_and_counted(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("twice")
    game = play_a_game().up()
    game.ask(1)
    game.until(lambda: game.gateway.statistics().dropped == 4)
    assert [r.request_id for r in game.results] == [1]


def test_an_answer_after_the_cancellation_is_dropped(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("good")
    game = play_a_game().up()
    game.ask(1)
    game.gateway.flush()
    game.gateway.cancel(1)
    game.gateway.cancel(1)
    game.until(lambda: game.gateway.statistics().dropped == 1)
    assert game.results == []
    assert game.gateway.statistics().cancelled == 1


def test_a_flood_does_not_make_a_poll_long(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("flood")
    game = play_a_game().up()
    for _ in range(200):
        game.gateway.poll(8)
        connection = game.gateway._life.link
        assert connection is not None
        assert connection._reader.buffered <= 3 * MAX_TO_GAME
    assert game.gateway.state is GatewayState.READY


def test_poll_returns_no_more_than_it_was_asked_for(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("good")
    game = play_a_game().up()
    for number in range(10):
        game.ask(number)
    for _ in range(1000):
        time.sleep(0.01)  # so that more than three wait
        batch = game.gateway.poll(3)
        assert len(batch) <= 3
        game.results += batch
        if len(game.results) == 10:
            break
    assert [r.request_id for r in game.results] == list(range(10))


def test_no_sign_of_life(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("mute")
    game = play_a_game().up()
    game.ask(1, deadline_s=60)
    first = game.gateway.pid
    game.until_state(GatewayState.STALLED, skip_s=0.1)
    assert not game.gateway.ask(2, 1, 0, 10)
    assert "no sign of life" in game.gateway.describe()
    assert game.results == []
    fake_child("good")
    game.until_state(GatewayState.READY, skip_s=0.1)
    assert game.failure(1).reason == "gateway_lost"
    assert game.gateway.pid != first


def test_a_game_that_was_paused_does_not_blame_the_gateway(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("good")
    game = play_a_game().up()
    for _ in range(5):
        game.clock.skip(60.0)
        game.gateway.poll()
        assert game.gateway.state is GatewayState.READY
        game.until(lambda: game.gateway._life._silent_s == 0.0)


def test_a_request_ends_at_its_deadline_even_if_the_gateway_says_nothing(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("silent about asks")
    game = play_a_game().up()
    game.ask(1, deadline_s=5.0)
    game.clock.skip(5.2)
    game.gateway.poll()
    assert game.gateway.statistics().in_flight == 1
    game.clock.skip(0.6)
    assert game.failure(1).reason == "deadline"


def test_a_child_that_cannot_stay_up_is_tried_ever_less_often(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("exit")
    game = play_a_game()
    game.gateway.start()
    for pause in (0.25, 0.5, 1.0, 2.0, 4.0, 4.0):
        game.until_state(GatewayState.DOWN)
        assert f"gateway stopped (exit code 3), next try in {pause:.1f} s" in game.gateway.describe()
        assert not game.gateway.ask(1, 1, 0, 10)
        game.clock.skip(pause - 0.2)
        game.gateway.poll()
        assert game.gateway.state is GatewayState.DOWN
        game.clock.skip(0.2)
        game.until_state(GatewayState.STARTING)
    assert game.gateway.statistics().restarts == 6


def test_thirty_seconds_of_health_forgive_everything(play_a_game: Play, fake_child: Fake) -> None:
    game = play_a_game()
    fake_child("exit")
    game.gateway.start()
    game.until(lambda: game.gateway.statistics().restarts == 4, skip_s=0.1)
    game.until_state(GatewayState.DOWN)
    fake_child("oversize")
    game.until_state(GatewayState.READY, skip_s=0.2)
    for _ in range(130):
        game.clock.skip(0.25)
        game.until(lambda: game.gateway._life._silent_s < 0.25)
    game.ask(1)
    game.failure(1)
    assert "next try in 0.2 s" in game.gateway.describe() or "next try in 0.3 s" in game.gateway.describe()


def test_a_child_that_never_knocks_is_given_up(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("shy")
    game = play_a_game()
    game.gateway.start()
    game.until_state(GatewayState.DOWN, skip_s=0.2)
    assert "did not come up within 30 s" in game.gateway.describe()


def test_a_process_that_cannot_be_started(play_a_game: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "command", lambda: ["/no/such/python"])
    game = play_a_game()
    game.gateway.start()
    game.until_state(GatewayState.DOWN)
    assert "gateway not started: FileNotFoundError" in game.gateway.describe()


def test_a_full_outbox_refuses_and_loses_nothing(
    play_a_game: Play, fake_child: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_child("good")
    monkeypatch.setattr(link, "OUTBOX_MESSAGES", 20)
    game = play_a_game().up()
    game.until(lambda: game.gateway._life.link and not game.gateway._life.link._outbox)
    taken = [number for number in range(50) if game.gateway.ask(number, 1, 0, 20)]
    assert taken == list(range(20))
    assert game.gateway.statistics().refused == 30
    game.until(lambda: len(game.results) == 20)
    assert game.gateway.ask(50, 1, 0, 20)
    assert sorted(r.request_id for r in game.results if isinstance(r, Answer)) == taken


def test_more_than_may_be_in_flight_is_refused(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("silent about asks")
    game = play_a_game(max_in_flight=2).up()
    assert [game.gateway.ask(number, 1, 0, 20) for number in range(12)] == [True] * 10 + [False] * 2
    game.gateway.cancel(3)
    assert game.gateway.ask(12, 1, 0, 20)
    assert not game.gateway.ask(13, 1, 0, 20)


def test_scopes_are_told_again_however_many(play_a_game: Play, fake_child: Fake, meadow: Meadow) -> None:
    fake_child("good")
    game = play_a_game()
    for number in range(2, 500):
        game.gateway.declare_scope(number, meadow.scope(f"number {number}"))
    game.up()
    game.ask(1, scope_id=499)
    game.answer(1)
    game.until(lambda: not game.gateway._telling._untold)


def test_mistakes_in_the_game_are_named(play_a_game: Play, fake_child: Fake, meadow: Meadow) -> None:
    fake_child("good")
    game = play_a_game()
    gateway = game.gateway
    assert not gateway.ask(1, 1, 0, 5)  # not started
    gateway.cancel(1)
    assert gateway.poll() == []
    assert gateway.describe() == "function minds:play: closed"
    gateway.close()
    game.up()
    with pytest.raises(ValueError, match="scope 7 is not declared; call declare_scope first"):
        gateway.ask(1, 7, 0, 5)
    game.ask(1)
    with pytest.raises(ValueError, match="request 1 is in flight already"):
        gateway.ask(1, 1, 0, 5)
    gateway.declare_scope(1, meadow.scope())
    with pytest.raises(ValueError, match="scope 1 is declared already"):
        gateway.declare_scope(1, meadow.scope("another"))


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf")])
def test_any_deadline_is_survived(play_a_game: Play, fake_child: Fake, deadline_s: float) -> None:
    fake_child("good")
    game = play_a_game().up()
    game.ask(1, deadline_s=deadline_s)
    game.result(1)


def test_close_ends_requests_and_process_and_start_begins_anew(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("silent about asks")
    game = play_a_game().up()
    game.ask(1)
    game.gateway.close()
    game.gateway.close()
    assert game.gateway.state is GatewayState.CLOSED
    assert game.gateway.pid is None
    assert [r.request_id for r in game.gateway.poll()] == [1]
    assert not game.gateway.ask(2, 1, 0, 5)
    fake_child("good")
    game.up()
    game.ask(2)
    game.answer(2)


def test_close_right_after_start(play_a_game: Play, fake_child: Fake) -> None:
    fake_child("shy")
    game = play_a_game()
    for _ in range(2):
        game.gateway.start()
        game.gateway.close()
    assert game.gateway.state is GatewayState.CLOSED


def test_a_frozen_game_starts_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert process.command() == [sys.executable, process.FLAG]
