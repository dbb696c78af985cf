"""The breaker: a server that fails is left alone for a while, then tried with one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from astrasim.gateway import GatewayPolicy, ModelSpec
from astrasim.gateway.breaker import LONGEST_ASKED_S, Breaker, BreakerState, breaker_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.conftest import Game, StubServer

LIMIT, FIRST_S, LONGEST_S = 3, 1.0, 4.0


class AnyHistory(RuleBasedStateMachine):
    """Requests go out whenever the breaker lets them, and end in any order, beside a model that counts by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.breaker = Breaker(
            GatewayPolicy(rest_after_failures=LIMIT, rest_s=FIRST_S, longest_rest_s=LONGEST_S)
        )
        self.out: list[bool] = []  # whether it is a probe
        self.failures = 0
        self.rested_s = 0.0
        self.next_try: float | None = None  # None: it works
        self.probing = False

    @rule(seconds=st.floats(0, 6))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.may_ask(self.now))
    @rule()
    def a_request_goes_out(self) -> None:
        probe = self.breaker.asked(self.now)
        assert probe is (self.next_try is not None), "what goes out after a rest is a probe, and nothing else is"
        if probe:
            self.probing, self.next_try = True, self.now + LONGEST_S
        self.out.append(probe)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def one_is_answered(self, data: st.DataObject) -> None:
        self._take(data)
        assert self.breaker.succeeded() is (self.next_try is not None), "only the end of a rest is news"
        self.failures, self.rested_s, self.next_try, self.probing = 0, 0.0, None, False
        assert self.breaker.state is BreakerState.WORKING and self.breaker.may_ask(self.now)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), asked_for_s=st.sampled_from([0.0, 0.0, 2.0, 1e6]))
    def one_fails(self, data: st.DataObject, asked_for_s: float) -> None:
        probe = self._take(data)
        begins = self.breaker.failed(self.now, probe=probe, asked_for_s=asked_for_s)
        self.failures += 1
        first = self.next_try is None and (self.failures >= LIMIT or asked_for_s > 0)
        assert begins is first
        if first or (self.probing and probe):
            self.rested_s = min(2 * self.rested_s, LONGEST_S) or FIRST_S
            self.next_try, self.probing = self.now + max(self.rested_s, min(asked_for_s, LONGEST_ASKED_S)), False
            assert not self.breaker.may_ask(self.now)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def one_ends_without_a_verdict(self, data: st.DataObject) -> None:
        probe = self._take(data)
        self.breaker.withdrawn(self.now, probe=probe)
        if probe and self.probing:
            self.next_try, self.probing = self.now, False
            assert self.breaker.may_ask(self.now), "the next one is the probe"

    @invariant()
    def nothing_goes_out_before_the_rest_is_over_and_then_one_at_a_time(self) -> None:
        assert self.breaker.may_ask(self.now) is (self.next_try is None or self.now >= self.next_try)
        assert (self.breaker.state is BreakerState.PROBING) is self.probing

    @invariant()
    def it_says_in_plain_words_how_it_is(self) -> None:
        said = self.breaker.describe(self.now)
        if self.next_try is None:
            assert said == ""
        else:
            assert said.startswith("model unavailable, heuristics in charge, ")
            assert ("next try in" in said) is (not self.probing and self.now < self.next_try)

    def _take(self, data: st.DataObject) -> bool:
        return self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(stateful_step_count=40)


def test_it_counts_down_to_the_next_try() -> None:
    breaker = Breaker(GatewayPolicy(rest_after_failures=1, rest_s=8.0))
    breaker.failed(0.0, probe=False)
    assert breaker.describe(0.0) == "model unavailable, heuristics in charge, next try in 8 s"
    assert breaker.describe(7.9) == "model unavailable, heuristics in charge, next try in 1 s"
    assert breaker.describe(8.0) == "model unavailable, heuristics in charge, the next request tries again"
    breaker.asked(8.0)
    assert breaker.describe(9.0) == "model unavailable, heuristics in charge, trying it now"


def test_a_probe_that_hangs_does_not_keep_a_server_waiting_that_is_back() -> None:
    breaker = Breaker(GatewayPolicy(rest_after_failures=1, rest_s=1.0, longest_rest_s=8.0))
    breaker.failed(0.0, probe=False)
    assert breaker.asked(1.0) and not breaker.may_ask(8.9)
    assert breaker.may_ask(9.0) and breaker.asked(9.0), "another one tries"
    assert breaker.succeeded() and breaker.may_ask(9.1)


def test_all_who_ask_a_server_share_its_breaker() -> None:
    policy = GatewayPolicy()
    one = breaker_of(ModelSpec(kind="openai", name="a", base_url="http://box:1/v1"), policy)
    assert breaker_of(ModelSpec(kind="openai", name="b", base_url="http://box:1/v1/"), policy) is one
    assert breaker_of(ModelSpec(kind="openai", name="a", base_url="http://box:2/v1"), policy) is not one
    other = ModelSpec.model_validate({"kind": "openai", "base_url": "http://box:1/v1", "api_key": "another's"})
    assert breaker_of(other, policy) is not one, "a key that is refused says nothing of other keys"
    function = ModelSpec(kind="function", name="minds:play")
    assert breaker_of(function, policy) is not breaker_of(function, policy)


def test_a_server_that_fails_is_left_alone_then_tried_once_and_used_again(
    play_a_game: Callable[..., Game], server: StubServer
) -> None:
    server.says(b"the model is gone", status=500)
    model = ModelSpec(kind="openai", name="sheep-1", base_url=server.url)
    game = play_a_game(model, retries=1, retry_pause_ms=1, rest_s=100, longest_rest_s=300).up()
    beside = play_a_game(model).up()
    for number in range(5):
        assert game.gateway.unavailable == ""
        game.ask(number)
        assert game.failure(number).reason == "http_500"
    assert len(server.bodies) == 10, "each is tried again once"
    for gateway in (game.gateway, beside.gateway):
        assert not gateway.is_ready and not gateway.ask(5, 1, 0, 5.0)
        assert "model unavailable, heuristics in charge, next try in 100 s" in gateway.describe()
    assert "the last request failed: http_500: the model is gone" in game.gateway.describe()

    game.clock.skip(100)
    assert game.gateway.is_ready
    game.ask(6)
    assert not game.gateway.is_ready and not game.gateway.ask(7, 1, 0, 5.0), "one request tries"
    game.failure(6)
    assert len(server.bodies) == 11, "and is not tried again"
    assert "next try in 200 s" in game.gateway.describe()

    server.says(b'{"choices": [{"message": {"content": "I would flee"}}]}')
    game.clock.skip(200)
    game.ask(8)
    assert game.failure(8).reason == "not_json"
    assert game.gateway.unavailable == "" and beside.gateway.is_ready, "a server that answers nonsense answers"


def test_a_probe_that_is_cancelled_leaves_its_place(play_a_game: Callable[..., Game], server: StubServer) -> None:
    server.says(b"", status=404)
    game = play_a_game(ModelSpec(kind="openai", name="m", base_url=server.url), rest_after_failures=1).up()
    game.ask(1)
    game.failure(1)
    game.clock.skip(1)
    game.ask(2)
    assert "trying it now" in game.gateway.describe()
    game.gateway.cancel(2)
    assert game.gateway.is_ready and "the next request tries again" in game.gateway.describe()
