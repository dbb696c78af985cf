"""``sim.stats()``: every figure counts what it says, and the figures agree with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim import Domain, Simulation
from astrasim.gateway import Failure
from astrasim.statistics import Percentiles, Window
from tests.conftest import moods

Simulate = Callable[..., Simulation]
TICK_S = 0.1


def world() -> Domain:
    return moods(lambda situation: ["go north", "go south"] if situation.humour == 2 else "go north")


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any) -> Simulation:
    sim = simulate(world(), settings={"tick_s": TICK_S, "budget_ms": 1000.0})
    sim.planner.gateway = stand_in
    return sim


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def test_before_anything_happened_all_is_nought(sim: Simulation) -> None:
    stats = sim.stats()
    assert (stats.ticks, stats.agents, stats.agent_ticks, stats.lookups) == (0, 0, (0, 0, 0), (0, 0, 0, 0, 0))
    assert stats.tick_ms == stats.planning.ms == stats.requests.latency_ms == Percentiles(0, 0, 0, 0)
    assert (stats.plans.mean_life_s, stats.plans.second_step_share, stats.cache.top10_share) == (0, 0, 0)


def test_the_shares_of_agent_ticks_say_how_agents_spent_their_time(sim: Simulation, stand_in: Any) -> None:
    sim.spawn_many("unit", 3)
    run(sim, 0.5)
    assert sim.stats().agent_ticks == (0, 0, 1)
    stand_in.answer(sim, 1, "go south 1")
    run(sim, 1.5)
    llm, cache, heuristic = sim.stats().agent_ticks
    assert (llm, cache, heuristic) == pytest.approx((0.5, 0.25, 0.25)) and llm + cache + heuristic == pytest.approx(1)
    assert sim.stats().ticks == 20 and sim.stats().agents == 3


def test_lookups_count_who_needed_a_plan(sim: Simulation, stand_in: Any) -> None:
    sim.spawn_many("unit", 3)
    run(sim, 0.3)
    assert sim.stats().lookups == (0, 0, 0, 3, 0)
    stand_in.answer(sim, 1, "go south 5")
    run(sim, 0.3)
    sim.spawn("unit")
    sim.spawn("unit", mood=1)
    run(sim, 0.2)
    assert sim.stats().lookups == (1, 0, 0, 4, 0)
    figures = sim.stats().cache
    assert (figures.entries, figures.with_model_plan, figures.distinct_keys, figures.wanted) == (2, 1, 2, 0)
    assert figures.capacity == 131_072 and figures.top10_share == 1.0 and figures.evictions == 0


def test_plan_lives_count_how_long_plans_ran_and_whether_they_got_to_a_second_step(sim: Simulation) -> None:
    _, _, cut = sim.spawn("unit"), sim.spawn("unit", mood=2), sim.spawn("unit", mood=2)
    run(sim, 0.5)
    cut.alarm = 1
    run(sim, 0.6)
    plans = sim.stats().plans
    assert plans.ended == 2, "one is through, one was interrupted, one is at its second step"
    assert plans.second_step_share == 0 and 0.5 <= plans.mean_life_s <= 1.0
    run(sim, 1.0)
    plans = sim.stats().plans
    assert plans.ended == 5 and plans.second_step_share == pytest.approx(0.4)


def test_the_second_step_share_never_passes_one(simulate: Simulate) -> None:
    domain = world()
    domain.role("plodder", default=["go north 0.2", "go south 0.2", "go north 0.3"])
    sim = simulate(domain, settings={"tick_s": TICK_S, "budget_ms": 0.0})
    sim.spawn("unit", role="plodder")
    run(sim, 5)
    plans = sim.stats().plans
    assert (plans.ended, plans.second_step_share, plans.mean_life_s) == (0, 0, 0), "default plans are none"


def test_requests_add_up_whatever_becomes_of_them(simulate: Simulate, stand_in: Any) -> None:
    sim = simulate(
        world(), settings={"tick_s": TICK_S, "budget_ms": 1000.0, "deadline_s": 1.0, "requests_per_second": 100.0}
    )
    sim.planner.gateway = stand_in
    sim.spawn_many("unit", 6, mood=[0, 1, 2, 0, 1, 2], alarm=[0, 0, 0, 1, 1, 1])
    run(sim, 0.3)
    assert sim.stats().requests.sent == 6
    stand_in.answer(sim, 1, "go south 2", tries=2)
    stand_in._results += [Failure(2, "http_500", "", False, tries=4), Failure(3, "not_json", "", True)]
    sim.tick()
    requests = sim.stats().requests
    assert requests.retries == 1 + 3
    assert (requests.answered, requests.failed, requests.rejected, requests.in_flight) == (1, 1, 1, 3)
    assert requests.latency_ms.max > 0
    run(sim, 2)
    requests = sim.stats().requests
    assert (requests.answered, requests.failed, requests.rejected, requests.in_flight) == (1, 4, 1, 0)
    assert requests.reasons == {"http_500": 1, "not_json": 1, "expired": 3} and requests.sent == 6
    assert sim.stats().gateway == "a stand-in"


def test_requests_that_are_called_off_are_counted_and_may_be_made_again(sim: Simulation, stand_in: Any) -> None:
    sim.spawn("unit")
    run(sim, 0.2)
    sim.planner.forget_requests(sim.time)
    assert stand_in.cancelled == [1]
    requests = sim.stats().requests
    assert (requests.sent, requests.cancelled, requests.in_flight) == (1, 1, 0)
    run(sim, 2)
    assert sim.stats().requests.sent == 2


def test_reset_stats_begins_anew_and_figures_still_add_up(sim: Simulation, stand_in: Any) -> None:
    sim.spawn_many("unit", 2, mood=[0, 1])
    run(sim, 1.5)
    stand_in.answer(sim, 1, "go south 1")
    run(sim, 0.5)
    sim.reset_stats()
    stats = sim.stats()
    assert (stats.ticks, stats.agents, stats.agent_ticks, stats.lookups) == (0, 2, (0, 0, 0), (0, 0, 0, 0, 0))
    assert stats.tick_ms.max == stats.planning.ms.max == stats.requests.latency_ms.max == 0
    assert (stats.requests.sent, stats.requests.answered, stats.requests.in_flight) == (1, 0, 1)
    assert stats.cache.with_model_plan == 1, "what is known stays"
    stand_in.answer(sim, 2, "go south 1")
    run(sim, 0.1)
    assert (sim.stats().requests.sent, sim.stats().requests.answered, sim.stats().requests.in_flight) == (1, 1, 0)
    assert sum(sim.stats().agent_ticks) == pytest.approx(1)


def test_steps_that_fail_and_errors_of_the_game_are_counted(simulate: Simulate) -> None:
    domain = world()
    domain.action(name="trip", targets=["self"])(lambda me, target, dt: 1 // 0)
    domain.role("clumsy")
    domain.heuristic("clumsy")(lambda situation: ["trip self", "go north"])
    sim = simulate(domain, settings={"tick_s": TICK_S, "budget_ms": 1000.0, "strict": False})
    sim.spawn_many("unit", 2, role="clumsy")
    run(sim, 0.5)
    stats = sim.stats()
    assert stats.steps_failed == sum(stats.errors.values()) == 2


def test_a_window_keeps_the_last_values_only() -> None:
    window = Window(4)
    for value in (100.0, 1.0, 2.0, 3.0, 4.0):
        window.add(value)
    assert list(window.percentiles()) == pytest.approx([2.5, 3.85, 3.97, 4.0])
    assert window.count == 5
    window.clear()
    assert window.percentiles() == Percentiles(0, 0, 0, 0)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    window = Window(len(values))
    for value in values:
        window.add(value)
    expected = [*np.percentile(values, [50, 95, 99]), max(values)]
    assert list(window.percentiles()) == pytest.approx(expected, rel=1e-9, abs=1e-6)
