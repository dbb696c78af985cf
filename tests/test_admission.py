"""Who is asked about, when, how dearly, and what is dropped or cancelled instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from astrasim import Agent, GatewayPolicy, Simulation, Tier
from astrasim.admission import Admission
from astrasim.pace import Pace

if TYPE_CHECKING:
    from tests.conftest import Yard


def why_not(yard: Yard, sim: Simulation, agents: list[Agent]) -> str:
    """What is said of one whose situation was not asked about."""
    asked = yard.moods(sim)
    return sim.why(next(agent for agent in agents if int(agent.mood) not in asked))


def startle(sim: Simulation, agent: Agent, mood: float) -> None:
    """It drops its plan and is in another situation at once."""
    agent.mood, agent.alarm = mood, 1 - agent.alarm


# Who


def test_a_hero_finds_a_place_however_many_minions_ask(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(max_in_flight=8)
    hero = sim.spawn("cow", mood=0, tier="hero")
    yard.run(sim, 0.3)
    minions = sim.spawn_many("cow", 20, mood=range(1, 21))
    yard.run(sim, 1)
    assert len(stand_in.asked) == 6, "two of eight places are kept"
    assert "the last 2 of 8 places are kept for higher tiers (hero)" in why_not(yard, sim, minions)
    startle(sim, hero, 30)
    yard.run(sim, 0.3)
    assert yard.moods(sim)[6:] == [30]


def test_without_heroes_nothing_is_kept(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(max_in_flight=8)
    sim.spawn_many("cow", 20, mood=range(20))
    yard.run(sim, 1)
    assert len(stand_in.asked) == 8


def test_whoever_waits_long_is_heard_among_heroes(yard: Yard) -> None:
    sim = yard.start(requests_per_second=2.0, aging_s=1.0)
    heroes = sim.spawn_many("cow", 2, mood=[1, 2], tier="hero")
    sim.spawn("cow", mood=0)
    for turn in range(24):  # there is always something new that a hero wants, more than can be asked
        yard.run(sim, 0.5)
        for number, hero in enumerate(heroes):
            startle(sim, hero, 1 + (2 * turn + number) % (yard.MOODS - 1))
    asked = yard.moods(sim)
    assert 5 < asked.index(0) < len(asked) - 3, "after those who came with it, before those who came long after"


def test_each_tier_has_its_deadline(yard: Yard, stand_in: Any) -> None:
    deadlines_s = {"minion": None, "leader": None, "boss": 8.0, "hero": 20.0}
    tiers = [Tier(name=name, deadline_s=deadline_s) for name, deadline_s in deadlines_s.items()]
    sim = yard.start(deadline_s=7.0, tiers=tiers)
    for mood, tier in enumerate(deadlines_s):
        sim.spawn("cow", mood=mood, tier=tier)
    yard.run(sim, 0.3)
    by_mood = dict(zip(yard.moods(sim), stand_in.deadlines_s.values(), strict=True))
    assert by_mood == {0: 7.0, 1: 7.0, 2: 8.0, 3: 20.0}


# How many


def test_where_too_many_wait_the_least_worthy_are_dropped_first(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(max_waiting=8)
    stand_in.is_ready = False
    sim.spawn_many("cow", 10, mood=range(10))
    sim.spawn_many("cow", 6, mood=[11, 11, 11, 12, 12, 13])
    sim.spawn("cow", mood=14, tier="hero")
    yard.run(sim, 0.3)
    cache = sim.stats().cache
    assert cache.wanted == 4 and cache.unasked == {"stale": 0, "crowded_out": 10}
    stand_in.is_ready = True
    yard.run(sim, 0.3)
    assert yard.moods(sim)[:3] == [14, 11, 12] and len(stand_in.asked) == 4


def test_what_nobody_asks_about_any_more_is_counted_as_stale(yard: Yard, stand_in: Any) -> None:
    sim = yard.start()
    stand_in.is_ready = False
    cow = sim.spawn("cow", mood=3)
    yard.run(sim, 0.3)
    startle(sim, cow, 4)
    yard.run(sim, 11)
    startle(sim, cow, 5)
    yard.run(sim, 0.3)
    stand_in.is_ready = True
    yard.run(sim, 0.3)
    assert yard.moods(sim) == [5] and sim.stats().cache.unasked["stale"] == 2


def test_a_retry_counts_as_a_request(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(requests_per_second=2.0)
    sim.spawn_many("cow", 8, mood=range(8))
    yard.run(sim, 0.2)
    assert len(stand_in.asked) == 1
    stand_in.answer(sim, 1, "go barn", tries=4)
    yard.run(sim, 1.5)
    assert not stand_in.asked
    yard.run(sim, 0.8)
    assert len(stand_in.asked) == 1


def test_tokens_a_minute_are_kept(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(tokens_per_minute=4000)
    cows = sim.spawn_many("cow", 20, mood=range(20))
    yard.run(sim, 1)
    assert len(stand_in.asked) == 4, "while they are under way, each counts as 1000"
    assert "tokens were spent in a minute (tokens_per_minute)" in why_not(yard, sim, cows)
    for number in (1, 2, 3, 4):
        stand_in.answer(sim, number, "go barn", tokens=400)
    yard.run(sim, 1)
    assert len(stand_in.asked) == 2, "each cost 400, which leaves room for two"
    yard.run(sim, 40)
    assert len(stand_in.asked) == 2
    yard.run(sim, 20)
    for cow in cows:
        startle(sim, cow, cow.mood)
    yard.run(sim, 0.5)
    assert len(stand_in.asked) == 6, "that minute is over"


@given(
    costs=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 1000), st.integers(1, 4)), max_size=60),
    rate=st.floats(0.5, 50),
)
def test_neither_requests_nor_tokens_ever_pass_their_limits(costs: list[tuple[float, int, int]], rate: float) -> None:
    """At any pace, and costs up to what they count as beforehand."""
    admission = Admission(GatewayPolicy(tokens_per_minute=3000), Pace(requests_per_second=rate))
    now, number = 1000.0, 0
    spent: list[tuple[float, int]] = []
    tries_made: list[tuple[float, int]] = []
    admission.pass_time(now)
    for pause, cost, tries in costs:
        now += pause
        admission.pass_time(now)
        while admission.decide(True, 0, 32):
            number += 1
            admission.sent(number, now)
            admission.ended(number, tries, cost)
            spent.append((now, cost))
            tries_made.append((now, tries))
    for at, _ in spent:
        assert sum(cost for then, cost in spent if at - 60 < then <= at) <= 3000
    if tries_made:
        first, last = tries_made[0][0], tries_made[-1][0]
        # All but the last request's retries must have been paid for by then.
        paid = sum(tries for _, tries in tries_made) - tries_made[-1][1]
        assert paid <= max(1.0, rate / 10) + rate * (last - first) + 1e-6


def test_the_decision_says_why() -> None:
    tiers = [Tier(name="crowd"), Tier(name="captain", slots=1), Tier(name="hero", slots=3, requests_per_second=2)]
    admission = Admission(GatewayPolicy(), Pace(requests_per_second=50.0), tiers)
    admission.pass_time(1000.0)
    crowd, captain, hero, both = 0b001, 0b010, 0b100, 0b110

    def refused(may_ask: int, *asked: Any) -> list[str]:
        assert admission.decide(*asked) == may_ask
        return [admission.why_not(tier) for tier in range(3)]

    assert refused(0, False, 0, 16, both) == ["the model cannot be asked now"] * 3
    assert refused(0, True, 16, 16, both) == ["16 requests are with the model (max_in_flight)"] * 3
    kept = "the last 4 of 16 places are kept for higher tiers (captain, hero)"
    assert refused(captain | hero, True, 12, 16, both) == [kept, "", ""]
    assert refused(hero, True, 13, 16, both)[1] == "the last 3 of 16 places are kept for higher tiers (hero)"
    assert refused(crowd | both, True, 11, 16, both) == refused(crowd | both, True, 15, 16) == [""] * 3
    admission.sent(1, 1000.0, tier=2)
    assert refused(crowd | captain, True, 1, 16)[2] == "2 requests a second go out for the tier hero"
    for number in range(2, 6):
        admission.sent(number, 1000.0, tier=0)
    assert refused(0, True, 5, 16) == ["50 requests a second go out (requests_per_second)"] * 3


# Nobody waits any more


def test_a_request_is_cancelled_when_its_agent_went_on_and_nobody_else_waits(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(unwanted_s=2.0)
    gone, stays = sim.spawn("cow", mood=1), sim.spawn("cow", mood=2)
    yard.run(sim, 0.3)
    startle(sim, gone, 3)
    yard.run(sim, 1.5)
    assert stand_in.cancelled == []
    yard.run(sim, 1.0)
    [cancelled] = stand_in.cancelled
    assert sim.compiled.vocabulary.buckets("cow", stand_in.asked[cancelled][1])["humour"] == 1
    requests = sim.stats().requests
    assert (requests.cancelled, requests.in_flight, requests.reasons) == (1, 2, {"unwanted": 1})
    yard.run(sim, 10)
    assert len(stand_in.cancelled) == 1 and stays.alive, "whoever stays is waited for"


def test_a_request_of_the_dead_is_cancelled(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(unwanted_s=1.0)
    one, two = sim.spawn("cow", mood=1), sim.spawn("cow", mood=1)
    yard.run(sim, 0.3)
    sim.remove(one)
    yard.run(sim, 5)
    assert stand_in.cancelled == []
    sim.remove(two)
    yard.run(sim, 1)
    assert stand_in.cancelled == [1]


def test_a_situation_whose_request_was_cancelled_is_asked_about_again(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(unwanted_s=1.0)
    cow = sim.spawn("cow", mood=1)
    yard.run(sim, 0.3)
    startle(sim, cow, 2)
    yard.run(sim, 2)
    assert stand_in.cancelled == [1]
    startle(sim, cow, 1)
    cow.alarm = 0
    yard.run(sim, 0.3)
    assert yard.moods(sim).count(1) == 2
