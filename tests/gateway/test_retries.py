"""What is asked again, when, and never past the deadline."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from astrasim.gateway import ModelSpec
from astrasim.gateway.http import seconds_to_wait

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, StubServer

Play = Callable[..., "Game"]

PLAN = '{"steps": [{"action": "flee", "target": "threat", "seconds": 3}]}'
GOOD = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": PLAN}}]}).encode()


def fails_first(server: StubServer, times: int, fail: Callable[[BaseHTTPRequestHandler], None]) -> list[float]:
    """The server fails so often, then answers. Returns when it was asked, by ``monotonic``."""
    asked: list[float] = []
    server.says(GOOD)
    well = server.reply

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(time.monotonic())
        (fail if len(asked) <= times else well)(handler)

    server.reply = reply
    return asked


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.close_connection = True


def error_in_the_stream(handler: BaseHTTPRequestHandler) -> None:
    body = b'data: {"error": {"message": "the model runner stopped"}}\n\n'
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


FAULTS = [status(408), status(429), status(500), status(503), hang_up, break_off, error_in_the_stream]


def test_a_fault_that_may_pass_costs_retries_and_no_plan(same_game: Game, same_server: StubServer) -> None:
    for number, fault in enumerate(FAULTS):
        asked = fails_first(same_server, 3, fault)
        same_game.ask(number)
        assert same_game.answer(number).steps == ((0, 0, 3.0),)
        assert len(asked) == 4, fault


def test_a_fault_that_will_not_pass_is_reported_at_once(same_game: Game, same_server: StubServer) -> None:
    for code in (301, 400, 401, 403, 404, 418):
        asked = fails_first(same_server, 1, status(code))
        same_game.ask(code)
        failure = same_game.failure(code)
        assert (failure.reason, failure.tries, len(asked)) == (f"http_{code}", 1, 1)


def test_pauses_double_and_end_after_the_retries(same_game: Game, same_server: StubServer) -> None:
    asked = fails_first(same_server, 99, status(500))
    same_game.ask(1)
    assert (same_game.failure(1).reason, same_game.failure(1).tries) == ("http_500", 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert all(pause >= least for pause, least in zip(pauses, (0.01, 0.02, 0.04), strict=True))


def test_no_retries_are_none(play_a_game: Play, server: StubServer) -> None:
    asked = fails_first(server, 1, status(500))
    game = play_a_game(ModelSpec(kind="openai", name="m", base_url=server.url), retries=0).up()
    game.ask(1)
    assert game.failure(1).reason == "http_500" and len(asked) == 1


def test_the_server_says_how_long_to_wait(same_game: Game, same_server: StubServer) -> None:
    asked = fails_first(same_server, 1, status(429, retry_after="1"))
    same_game.ask(1)
    assert same_game.answer(1).tries == 2
    assert asked[1] - asked[0] >= 1.0


def test_a_wait_past_the_deadline_is_not_begun_and_the_server_is_left_alone_for_so_long(
    same_game: Game, same_server: StubServer
) -> None:
    asked = fails_first(same_server, 1, status(429, retry_after="60"))
    same_game.ask(1, deadline_s=5.0)
    failure = same_game.failure(1)
    assert (failure.reason, failure.tries, failure.wait_s) == ("http_429", 1, 60.0)
    assert "model unavailable, heuristics in charge, next try in 60 s" in same_game.gateway.describe()
    same_game.clock.skip(59)
    assert not same_game.gateway.is_ready
    same_game.clock.skip(1)
    same_game.ask(2)
    same_game.answer(2)
    assert len(asked) == 2 and same_game.gateway.unavailable == ""


def test_what_is_wrong_is_said_rather_than_that_the_deadline_passed_in_a_pause(
    play_a_game: Play, server: StubServer
) -> None:
    asked = fails_first(server, 99, status(503))
    game = play_a_game(ModelSpec(kind="openai", name="m", base_url=server.url), retry_pause_ms=60_000).up()
    game.ask(1, deadline_s=10.0)
    assert (game.failure(1).reason, len(asked)) == ("http_503", 1)


def test_the_deadline_ends_a_retry_that_hangs(same_game: Game, same_server: StubServer) -> None:
    same_server.hangs()
    hangs = same_server.reply
    replies = iter([status(500), hangs])

    def fail(handler: BaseHTTPRequestHandler) -> None:
        next(replies)(handler)

    asked = fails_first(same_server, 99, fail)
    same_game.ask(1, deadline_s=0.5)
    failure = same_game.failure(1)
    assert (failure.reason, failure.tries, len(asked)) == ("deadline", 2, 2)
    assert same_server.client_gone.wait(10), "the connection is closed, so the server can stop"


def test_a_request_that_is_cancelled_in_a_pause_is_not_asked_again(play_a_game: Play, server: StubServer) -> None:
    asked = fails_first(server, 99, status(500))
    game = play_a_game(ModelSpec(kind="openai", name="m", base_url=server.url), retries=1, retry_pause_ms=300).up()
    game.ask(1)
    game.until(lambda: asked)
    game.gateway.cancel(1)
    game.ask(2)
    assert game.failure(2).tries == 2, "its pause ends after the first one's would have"
    assert len(asked) == 1 + 2


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("", 0, 0),
        ("0", 0, 0),
        ("7", 7, 7),
        (" 7 ", 7, 7),
        ("-1", 0, 0),
        ("soon", 0, 0),
        ("9" * 400, 1e8, 1e9),
        pytest.param(formatdate(time.time() + 9000, usegmt=True), 1, 9000, id="a date"),
        pytest.param(formatdate(time.time() + 2e9, usegmt=True), 1e8, 1e8, id="a distant date"),
        (formatdate(0, usegmt=True), 0, 0),
        ("Wed, 99 Foo 2015 07:28:00 GMT", 0, 0),
    ],
)
def test_retry_after_in_all_its_forms(header: str, least: float, most: float) -> None:
    assert least <= seconds_to_wait(header) <= most
