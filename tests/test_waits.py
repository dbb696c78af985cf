"""Who waits how long: what a tick's budget leaves over is done later, bounded in time, and counted."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import pytest

from astrasim import Domain, Simulation, Source, Tier

Simulate = Callable[..., Simulation]
TICK_S = 1 / 60
STAGES = 7
"""Kinds of work that take turns."""


def world(moods: int = 50, think: Callable[[Any], str | list[str]] = lambda situation: "go north") -> Domain:
    """An alarm ends everybody's plan; nothing else does within a test."""
    domain = Domain("test", ["unit"], max_seconds=1000)
    domain.column("mood")
    domain.column("alarm")
    edges = [i + 0.5 for i in range(moods - 1)]
    domain.feature("humour", column="mood", edges=edges, words=[str(i) for i in range(moods)], hysteresis=0)
    domain.feature("danger", column="alarm", edges=[0.5], words=["calm", "alarm"], interrupt=True, hysteresis=0)
    domain.place("north", 0, 1e6)
    domain.stock("approach", name="go", targets=["north"], speed=1, seconds=1000)
    domain.heuristic("unit")(think)
    return domain


def longest_wait(sim: Simulation, ticks: int) -> int:
    """Run, and watch from outside: the most ticks in a row after whose planning the same agent needed a plan still."""
    waited = np.zeros(sim.agents.count, np.int64)
    longest = 0
    for _ in range(ticks):
        sim.tick()
        waited = (waited + 1) * (sim.agents.need > 0)
        longest = max(longest, int(waited.max()))
    assert not waited.any(), "somebody waits still"
    return longest


@pytest.mark.parametrize("units", [2, 5])
def test_ten_thousand_agents_wait_no_longer_than_it_takes_to_serve_them_in_turn(
    simulate: Simulate, stand_in: Any, units: int
) -> None:
    sim = simulate(world(), settings={"budget_units": units, "strict": False, "deadline_s": 600.0})
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 10_000, mood=np.arange(10_000) % 50)
    # 50 heuristics; 79 units of 128 rows, some of them begun twice because a heuristic was called for; and in each
    # tick, or every seventh if there is less than a unit for each, one unit for another kind of work.
    bound = ceil((50 + 79 + 50) / (units - 1)) + STAGES
    assert longest_wait(sim, bound + 30) <= bound
    sim.agents.alarm[:] = 1
    longest = longest_wait(sim, bound + 30)
    assert ceil(79 / units) - 2 <= longest <= bound


def test_what_is_left_over_is_counted_with_its_age(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"budget_units": 10, "strict": False})
    sim.spawn_many("unit", 128 * 40, mood=0)
    sim.tick()
    while sim.agents.need.any():
        sim.tick()
    sim.reset_stats()
    sim.agents.alarm[:] = 1
    for _ in range(20):
        sim.tick()
    waiting = sim.stats().waiting
    # A unit of agents of whose situation nothing is known, its heuristic and 8 units; then 10, 10, 10 and 2.
    assert waiting.agents.max == 128 * 32 and waiting.mean_agents == 128 * (32 + 22 + 12 + 2) / 20
    assert waiting.wait_s.max == pytest.approx(4 * TICK_S) and waiting.wait_s.p50 == 0
    assert not sim.agents.waited.any()


def test_the_waits_that_are_counted_are_those_seen_from_outside(simulate: Simulate) -> None:
    """With agents that come, die and are alarmed at any time."""
    sim = simulate(world(), settings={"budget_units": 3, "strict": False})
    rng = np.random.default_rng(5)
    sim.spawn_many("unit", 2000, mood=rng.integers(0, 50, 2000))
    waited: dict[int, int] = {}
    longest = 0
    for tick in range(150):
        if tick % 10 == 0:
            sim.spawn_many("unit", 100, mood=rng.integers(0, 50, 100))
            for row in sorted(rng.choice(sim.agents.count, 100, replace=False).tolist(), reverse=True):
                sim.remove(sim.agents.handles[row])
        alarmed = rng.random(sim.agents.count) < 0.02
        sim.agents.alarm[alarmed] = 1 - sim.agents.alarm[alarmed]
        sim.tick()
        needs = sim.agents.need > 0
        waited = {uid: waited.get(uid, 0) + 1 for uid in sim.agents.uid[needs].tolist()}
        assert sim.agents.waited[needs].tolist() == list(waited.values()) and not sim.agents.waited[~needs].any()
        left = sim.planner.waits._agents._values[tick % 4096]
        assert left == needs.sum()
        longest = max([longest, *waited.values()])
    assert longest > 3


@pytest.mark.parametrize("units", [1, 2, 20])
def test_nobody_waits_for_as_many_heuristics_as_there_are_situations(simulate: Simulate, units: int) -> None:
    """However small the budget, the style of its role reaches everybody in time."""
    sim = simulate(world(250), settings={"budget_units": units, "strict": False})
    sim.spawn_many("unit", 500, mood=np.arange(500) % 250)
    # A quarter of a second, and twice what it takes to serve four units of agents and a heuristic for every third.
    bound = 15 + ceil(2 * 4 * 4 / 3 / units) + 1
    assert longest_wait(sim, bound + 10) <= bound
    assert sim.stats().waiting.stopgaps > 0


@pytest.mark.parametrize("chooses", [False, True])
def test_whoever_has_a_stopgap_waits_for_the_models_plan_like_all_others(
    simulate: Simulate, stand_in: Any, chooses: bool
) -> None:
    settings = {"budget_units": 1, "strict": False, "requests_per_second": 1000.0, "deadline_s": 600.0}
    sim = simulate(world(60, lambda situation: ["go north 900", "wait self 900"]), settings=settings)
    sim.planner.gateway, stand_in.chooses = stand_in, chooses
    agents = sim.spawn_many("unit", 300, mood=np.arange(300) % 60)
    sim.tick()
    while sim.agents.need.any():
        sim.tick()
    in_style = [agent for agent in agents if "in its role's style, because so many waited" in sim.why(agent)]
    assert len(in_style) == sim.stats().waiting.stopgaps > 30
    for _ in range(1500):
        for request in list(stand_in.asked):
            assert len(stand_in.options[request]) == (2 if chooses else 0)
            stand_in.answer(sim, request, "wait self 800")
        sim.tick()
        assert not sim.agents.need.any()
    assert sim.stats().requests.answered == 60 and (sim.agents.source == Source.LLM.value).all()


def test_where_the_models_plan_is_known_no_heuristic_is_called_for(simulate: Simulate, stand_in: Any) -> None:
    called: set[int] = set()
    answered: set[int] = set()

    def think(situation: Any) -> str:
        called.add(situation.humour)
        return "go north 900"

    settings = {"budget_units": 1, "strict": False, "requests_per_second": 1000.0, "deadline_s": 600.0}
    sim = simulate(world(250, think), settings=settings)
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 500, mood=np.arange(500) % 250)
    while not answered - called:  # somebody has a stopgap, and the model's plan for its situation came
        for request, (_, key) in list(stand_in.asked.items()):
            answered.add(sim.compiled.vocabulary.buckets("unit", key)["humour"])
            stand_in.answer(sim, request, "go north 800")
        sim.tick()
    mood = max(answered - called)
    newcomer = sim.spawn("unit", mood=mood)
    while sim.agents.source[newcomer.row] == Source.HEURISTIC.value:
        sim.tick()
    assert sim.agents.source[newcomer.row] == Source.CACHE.value and mood not in called


def test_those_whose_situation_is_known_do_not_wait_for_heuristics_of_others(simulate: Simulate) -> None:
    sim = simulate(world(250), settings={"budget_units": 2, "strict": False})
    known = sim.spawn_many("unit", 100, mood=0)
    longest_wait(sim, 10)
    sim.spawn_many("unit", 500, mood=1 + np.arange(500) % 249)
    sim.tick()
    for agent in known:
        sim.agents.need[agent.row] = 1
    for _ in range(11):  # five units of agents, and three heuristics for each of them at most
        sim.tick()
    assert not any(sim.agents.need[agent.row] for agent in known) and sim.agents.need.any()


def test_new_situations_get_their_heuristic_however_many_known_ones_there_are(simulate: Simulate) -> None:
    called: list[int] = []

    def think(situation: Any) -> str:
        called.append(situation.humour)
        return "go north"

    sim = simulate(world(250, think), settings={"budget_units": 2, "strict": False})
    sim.spawn_many("unit", 5000, mood=0)
    longest_wait(sim, 40)
    sim.spawn_many("unit", 20, mood=range(1, 21))
    called.clear()
    for _ in range(100):
        sim.agents.need[:5000] = 1  # more than can be served in a tick
        sim.tick()
    assert sorted(set(called)) == list(range(1, 21))


def test_an_order_to_everybody_keeps_nobody_waiting_and_no_tick_goes_through_them_all(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"budget_units": 10, "strict": False})
    agents = sim.spawn_many("unit", 5000, mood=np.arange(5000) % 50)
    longest_wait(sim, 40)
    for agent in agents:
        sim.order(agent, "go north, all of you")
    assert len(sim.planner.serving.ordered) <= 256
    assert longest_wait(sim, 40) <= 20
    assert not sim.planner.serving.ordered


def test_a_hero_waits_less_than_a_minion_in_the_same_crowd(simulate: Simulate) -> None:
    tiers = (Tier(name="minion"), Tier(name="hero", budget_share=0.5))
    sim = simulate(world(), settings={"budget_units": 1000, "strict": False, "tiers": tiers})
    sim.spawn_many("unit", 5_000, mood=np.arange(5_000) % 50)
    heroes = sim.spawn_many("unit", 100, mood=np.arange(100) % 50, tier="hero")
    for turn in (1, 0):  # until all heuristics were called
        sim.agents.alarm[:] = turn
        sim.tick()
        while sim.agents.need.any():
            sim.tick()
    sim.pace.budget_units = 4
    sim.agents.alarm[:] = 1
    sim.tick()
    rows = [hero.row for hero in heroes]
    assert not sim.agents.need[rows].any() and (sim.agents.need > 0).sum() > 4_000


@pytest.mark.parametrize("budget_ms", [0.001, 0.05])
def test_a_tier_that_has_a_share_and_nobody_in_need_stops_nobody_else(
    simulate: Simulate, stand_in: Any, budget_ms: float
) -> None:
    sim = simulate(world(), settings={"budget_ms": budget_ms, "strict": False})
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 20)
    sim.spawn_many("unit", 5, tier="leader")  # and no hero, who would go first
    for tick in range(1200):
        sim.agents.alarm[:] = tick // 50 % 2
        sim.tick()
        assert sim.agents.waited.max() < 100
    assert stand_in.asked


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_tiers_that_always_want_their_share_and_those_left_over_leave_turns_for_requests(
    simulate: Simulate, stand_in: Any, share: float
) -> None:
    tiers = (Tier(name="minion"), Tier(name="hero", budget_share=share))
    sim = simulate(world(), settings={"budget_units": 1, "strict": False, "deadline_s": 600.0, "tiers": tiers})
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 2000, mood=np.arange(2000) % 50)
    sim.spawn_many("unit", 300, mood=np.arange(300) % 50, tier="hero")
    for tick in range(900):
        sim.agents.alarm[:] = tick % 2
        sim.tick()
    assert len(stand_in.asked) > 2


def test_where_more_want_to_be_asked_about_than_may_wait_some_are_asked_about(
    simulate: Simulate, stand_in: Any
) -> None:
    settings = {"budget_units": 3000, "strict": False, "deadline_s": 600.0, "max_waiting": 16}
    sim = simulate(world(200), settings=settings)
    sim.spawn_many("unit", 2000, mood=np.arange(2000) % 200)
    for tick in range(700):
        if tick == 20:  # all situations are known
            sim.planner.gateway, sim.pace.budget_units = stand_in, 1
        sim.agents.alarm[:] = tick % 2
        sim.tick()
    assert len(stand_in.asked) > 2


def test_every_kind_of_work_has_its_turn_and_those_that_had_none_in_a_tick_are_counted(
    simulate: Simulate, stand_in: Any
) -> None:
    sim = simulate(world(), settings={"budget_units": 1, "strict": False, "deadline_s": 600.0, "max_in_flight": 8})
    stand_in.max_in_flight = 8
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 1000, mood=np.arange(1000) % 50)
    for turn in range(900):  # somebody always needs a plan
        sim.agents.alarm[turn % 50 :: 50] = turn // 50 % 2
        for number in list(stand_in.asked)[:1]:
            stand_in.answer(sim, number, "go north 900")
        sim.tick()
    stats = sim.stats()
    assert stats.requests.answered > 50 and stats.lookups.misses > 1000
    assert stats.plans.applied + stats.plans.unchanged > 0
    assert set(stats.waiting.put_off) == {"forget", "answers", "recall", "cancel", "send", "hand out", "serve"}


# However much there is of one kind of work, no tick does more of it than its budget allows


def test_requests_that_are_late_all_at_once_are_given_up_a_few_a_tick(simulate: Simulate, stand_in: Any) -> None:
    settings = {"budget_units": 3, "strict": False, "deadline_s": 1.0, "max_in_flight": 40, "unwanted_s": 600.0,
                "requests_per_second": 1000.0, "retry_after_s": 600.0}  # fmt: skip
    sim = simulate(world(), settings=settings)
    stand_in.max_in_flight = 40
    sim.planner.gateway = stand_in
    sim.planner.clock = lambda: clock[0]
    clock, asking = [0.0], sim.planner.asking
    asking._policy = asking._policy.model_copy(update={"deadline_s": 100.0})
    sim.spawn_many("unit", 40, mood=range(40))
    while len(sim.planner.requests) < 40:
        clock[0] += 0.1
        asking._policy = asking._policy.model_copy(update={"deadline_s": 100.0 - clock[0]})
        sim.tick()
    clock[0] = 102.0
    for _ in range(200):
        before = len(sim.planner.requests)
        sim.tick()
        assert before - len(sim.planner.requests) <= 3
    assert sim.stats().requests.reasons == {"expired": 40}


def test_what_was_picked_in_one_tick_is_asked_about_in_a_later_one_and_not_evicted_meanwhile(
    simulate: Simulate, stand_in: Any
) -> None:
    settings = {"budget_units": 1, "strict": False, "deadline_s": 600.0, "cache_entries": 8}
    sim = simulate(world(), settings=settings)
    sim.planner.gateway = stand_in
    sim.spawn("unit", mood=1)
    picked = sim.planner.asking.next_kind
    while picked() == "pick":
        sim.tick()
    assert not stand_in.asked
    sim.spawn_many("unit", 40, mood=range(2, 42))  # far more situations than there is room for
    while not stand_in.asked:
        sim.tick()
    (request,) = sim.planner.requests.values()
    entries = sim.planner.cache.entries
    assert (request.scope_id, request.key) == (entries.scope[request.entry], entries.key[request.entry])


def test_what_was_picked_is_wanted_no_more_when_the_model_is_taken_away(simulate: Simulate, stand_in: Any) -> None:
    sim = simulate(world(), settings={"budget_units": 1, "strict": False, "deadline_s": 600.0})
    sim.planner.gateway = stand_in
    agent = sim.spawn("unit", mood=1)
    while sim.planner.asking.next_kind() == "pick":
        sim.tick()
    sim.planner.change_gateway(None, sim.time)
    assert not sim.planner.cache.entries.flags.any() and sim.planner.asking.next_kind() == "pick"
    sim.planner.gateway = stand_in
    for turn in range(40):
        sim.agents.alarm[agent.row] = turn % 2
        sim.tick()
    assert stand_in.asked, "and may be asked about again"


def test_requests_that_nobody_wants_are_cancelled_a_few_a_tick(simulate: Simulate, stand_in: Any) -> None:
    settings = {"budget_units": 3, "strict": False, "deadline_s": 600.0, "max_in_flight": 40, "unwanted_s": 1.0,
                "requests_per_second": 1000.0}  # fmt: skip
    sim = simulate(world(), settings=settings)
    stand_in.max_in_flight = 40
    sim.planner.gateway = stand_in
    agents = sim.spawn_many("unit", 40, mood=range(40))
    while len(sim.planner.requests) < 40:
        sim.tick()
    sim.remove(*agents)
    for _ in range(200):
        before = len(sim.planner.requests)
        sim.tick()
        assert before - len(sim.planner.requests) <= 3
    assert sim.stats().requests.reasons == {"unwanted": 40}


def test_a_full_store_of_plans_is_looked_through_over_many_ticks_and_no_plan_in_use_is_lost(
    simulate: Simulate, stand_in: Any
) -> None:
    settings = {"budget_units": 4, "strict": False, "deadline_s": 600.0, "requests_per_second": 1000.0,
                "max_in_flight": 64}  # fmt: skip
    sim = simulate(world(200), settings=settings)
    stand_in.max_in_flight = 64
    sim.planner.gateway = stand_in
    rng = np.random.default_rng(3)
    sim.spawn_many("unit", 400, mood=np.arange(400) % 200)
    lengths, answers = {}, 0
    for tick in range(2500):
        if tick % 20 == 0:
            alarmed = rng.random(400) < 0.3
            sim.agents.alarm[alarmed] = 1 - sim.agents.alarm[alarmed]
        if tick % 400 == 399:  # the model's plans are given up: their numbers may be used again
            sim.planner.cache.entries.expires[:] = 0
        for number in list(stand_in.asked)[:3]:
            answers += 1
            lengths[number] = 1 + answers / 10
            stand_in.answer(sim, number, f"go north {lengths[number]:.1f}")
        sim.tick()
        for plan in set(sim.agents.plan.tolist()):
            steps = sim.planner.plans[plan].steps
            assert sim.planner.plans.table.seconds[plan, 0] == np.float32(steps[0].seconds)
    assert answers > 1100 and len(sim.planner.plans) < 1300
