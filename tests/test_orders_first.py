"""Whoever gets a new order is served first, and asked about first: an order typed is an order seen to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Agent, Domain, Simulation, Source, Tier
from astrasim.kernels.columns import NEED_END

Start = Callable[..., Simulation]
MOODS = 40


def yard(*else_: str) -> Domain:
    """Cows go to the barn when they are told anything, and to the field else; each mood is a situation of its own.
    ``else_``: further ideas of theirs."""
    domain = Domain("yard", ["cow"])
    domain.column("mood")
    edges = [mood + 0.5 for mood in range(MOODS - 1)]
    domain.feature("humour", column="mood", edges=edges, words=[f"mood {n}" for n in range(MOODS)], hysteresis=0)
    domain.place("barn", 0, 100_000)
    domain.place("field", 0, -100_000)
    domain.place("brook", 100_000, 0)
    domain.stock("approach", name="go", targets=["barn", "field", "brook"], speed=1, seconds=10)
    domain.heuristic("cow")(lambda situation: ["go barn" if situation.order else "go field", *else_])
    return domain


@pytest.fixture
def start(simulate: Callable[..., Simulation], stand_in: Any) -> Start:
    def make(model: bool = True, **settings: Any) -> Simulation:
        settings = {"tick_s": 1 / 60, "requests_per_second": 1000.0, "deadline_s": 600, "strict": False, **settings}
        sim = simulate(yard(), settings=settings)
        stand_in.max_in_flight = sim.settings.max_in_flight
        if model:
            sim.planner.gateway = stand_in
        return sim

    return make


def step(sim: Simulation, agent: Agent) -> str:
    """What it does now."""
    row = agent.row
    plan = sim.planner.plans[int(sim.agents.plan[row])]
    running = plan.steps[int(sim.agents.step[row])]
    return f"{running.action} {running.target}"


def orders_asked(sim: Simulation, stand_in: Any) -> list[str]:
    return [stand_in.scopes[scope].order for scope, _ in stand_in.asked.values()]


def settle(sim: Simulation, ticks: int = 30) -> None:
    for _ in range(ticks):
        sim.tick()


# Rules


@pytest.mark.parametrize("agents", [1, 20_000])
@pytest.mark.parametrize("units", [3, 1000])
def test_the_step_changes_in_the_next_tick_however_many_wait_for_plans(start: Start, agents: int, units: int) -> None:
    sim = start(model=False, budget_units=units, capacity=agents)
    cows = sim.spawn_many("cow", agents, mood=np.arange(agents) % MOODS)
    settle(sim, 3)
    sim.order(cows[-1], "to the barn")
    sim.tick()
    assert step(sim, cows[-1]) == "go barn" and sim.agents.vy[cows[-1].row] > 0


def test_several_orders_of_one_tick_are_all_seen_to(start: Start) -> None:
    sim = start(model=False)
    cows = sim.spawn_many("cow", 400)
    settle(sim, 3)
    for number, cow in enumerate(cows[:300]):
        sim.order(cow, f"to the barn, you {number}")
    sim.tick()
    assert [step(sim, cow) for cow in cows] == ["go barn"] * 300 + ["go field"] * 100


def test_orders_in_every_tick_do_not_keep_others_waiting(start: Start) -> None:
    sim = start(model=False, budget_units=2)
    cows = sim.spawn_many("cow", 300, mood=np.arange(300) % MOODS)
    for tick in range(300):
        sim.order(cows[0], f"to the barn, {tick} times")
        sim.tick()
    assert (sim.agents.need[1:300] == 0).all(), "two units are a heuristic and the cow that it was called for"


def test_orders_and_shares_of_the_budget_together_do_not_keep_others_waiting(start: Start) -> None:
    sim = start(model=False, budget_units=2, tiers=[Tier(name="crowd"), Tier(name="chief", budget_share=0.9)])
    chief, cow = sim.spawn("cow", tier="chief"), sim.spawn("cow", tier="chief")
    sim.spawn_many("cow", 300, mood=np.arange(300) % 3)
    for tick in range(300):
        sim.agents.need[chief.row] = NEED_END
        sim.order(cow, f"to the barn, {tick} times")
        sim.tick()
    assert (sim.agents.need[2:] == 0).all()


def test_an_order_for_one_that_dies_at_once_harms_nobody(start: Start) -> None:
    sim = start(model=False, budget_ms=0.0)
    cows = sim.spawn_many("cow", 3)
    settle(sim, 2)
    for cow in cows:
        sim.order(cow, "to the barn")
        sim.order(cow, "home")
    sim.remove(cows[0])
    settle(sim, 2)
    sim.pace.budget_ms = 1000.0
    sim.tick()
    assert [step(sim, cow) for cow in cows[1:]] == ["go barn", "go barn"] and not sim.planner.serving.ordered


# The model


@pytest.mark.parametrize("latency", [0, 1, 20])
@pytest.mark.parametrize("agents", [1, 5000])
def test_the_models_step_comes_a_tick_after_its_answer(
    start: Start, stand_in: Any, agents: int, latency: int
) -> None:
    sim = start(requests_per_second=60.0, capacity=agents)
    cows = sim.spawn_many("cow", agents, mood=np.arange(agents) % MOODS)
    settle(sim)
    sim.order(cows[-1], "drink")
    sim.tick()
    [request] = [n for n, (scope, _) in stand_in.asked.items() if stand_in.scopes[scope].order]
    settle(sim, latency)
    stand_in.answer(sim, request, "go brook 5")
    sim.tick()
    assert step(sim, cows[-1]) == "go brook" and sim.agents.source[cows[-1].row] == Source.LLM.value


def test_an_order_is_asked_about_at_once_though_others_use_up_the_rate(start: Start, stand_in: Any) -> None:
    sim = start(requests_per_second=2.0)
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim, 61)
    asked = len(stand_in.asked)
    assert asked < 5 and not any(orders_asked(sim, stand_in))
    sim.order(cows[7], "to the barn")
    sim.tick()
    assert orders_asked(sim, stand_in)[asked:] == ["to the barn"]
    settle(sim, 600)
    assert len(stand_in.asked) <= 2 + (61 + 601) / 60 * 2, "what went out ahead of its time was waited for"


def test_the_last_places_are_kept_for_orders_where_orders_are_given(start: Start, stand_in: Any) -> None:
    sim = start(max_in_flight=8)
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim, 5)
    sim.order(cows[0], "to the barn")
    settle(sim)
    assert len(stand_in.asked) == 8, "others had filled the places before the first order"
    for request in list(stand_in.asked):
        stand_in.answer(sim, request, "go brook 9")
    settle(sim)
    before = len(stand_in.asked)
    sim.order(cows[1], "home")
    sim.tick()
    assert before < 8 and orders_asked(sim, stand_in)[-1] == "home"


def test_orders_are_asked_about_before_all_that_waits_and_in_any_number(start: Start, stand_in: Any) -> None:
    sim = start(requests_per_second=20.0, max_in_flight=64)
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim, 4)
    before = len(stand_in.asked)
    for number, cow in enumerate(cows[:10]):
        sim.order(cow, f"to the barn, {number}")
    settle(sim, 40)
    assert all(orders_asked(sim, stand_in)[before : before + 10])


def test_an_order_to_one_that_has_waited_long_is_asked_about_too(start: Start, stand_in: Any) -> None:
    sim = start(budget_units=0)
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim)
    assert sim.agents.need.all() and (sim.agents.waited >= 15).all(), "others now follow the style of their role"
    sim.order(cows[3], "to the barn")
    sim.pace.budget_units = 1000
    sim.tick()
    assert step(sim, cows[3]) == "go barn" and orders_asked(sim, stand_in)[0] == "to the barn"


# Between two ticks


def test_an_order_between_two_ticks_is_asked_about_before_the_next(start: Start, stand_in: Any) -> None:
    sim = start()
    cow = sim.spawn("cow")
    settle(sim, 3)
    sim.order(cow, "drink")
    [request] = stand_in.first
    assert orders_asked(sim, stand_in)[-1] == "drink" and sim.agents.vy[cow.row] < 0, "its step waits for the tick"
    stand_in.answer(sim, request, "go brook 5")
    sim.tick()
    assert step(sim, cow) == "go brook" and sim.agents.source[cow.row] == Source.LLM.value


def test_only_orders_are_asked_about_between_two_ticks(start: Start, stand_in: Any) -> None:
    sim = start(requests_per_second=0.0)
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim, 3)
    sim.pace.requests_per_second = 1000.0
    settle(sim, 1)
    asked = len(stand_in.asked)
    sim.order(cows[0], "drink")
    assert orders_asked(sim, stand_in)[asked:] == ["drink"] and asked < MOODS


@pytest.mark.parametrize("priority", [45, 35, 25, 15])
def test_an_order_in_the_middle_of_a_tick_is_asked_about_by_the_planner_alone(
    start: Start, stand_in: Any, processor_at: Callable[[int, Callable[[], object]], None], priority: int
) -> None:
    sim = start()
    cow = sim.spawn("cow")
    settle(sim, 3)
    seen: list[int] = []

    def give() -> None:
        sim.order(cow, "drink")
        seen.append(len(stand_in.first))

    processor_at(priority, give)
    settle(sim, 2)
    assert seen == [0] and len(stand_in.first) == 1 and step(sim, cow) == "go barn"


def test_orders_to_all_at_once_take_no_more_than_half_of_the_next_ticks_budget(start: Start, stand_in: Any) -> None:
    sim = start(budget_units=40, max_in_flight=1000)
    cows = sim.spawn_many("cow", 2000)
    settle(sim, 3)
    for number, cow in enumerate(cows):
        sim.order(cow, f"to the barn, you {number}")
    assert 1 < len(stand_in.first) <= 20
    for _ in range(300):
        sim.tick()
        assert sim.planner.budget.spent_units <= 40
    assert {step(sim, cow) for cow in cows} == {"go barn"}


@pytest.mark.parametrize("budget", [{"budget_ms": 0.0}, {"budget_units": 0}, {"budget_units": 7}])
def test_where_the_budget_has_no_room_for_it_an_order_waits_for_the_tick(
    start: Start, stand_in: Any, budget: dict[str, Any]
) -> None:
    sim = start(**budget)
    cow = sim.spawn("cow")
    settle(sim, 3)
    sim.order(cow, "drink")
    assert not stand_in.first
    settle(sim, 2)
    assert len(stand_in.first) == (budget == {"budget_units": 7})


def test_where_other_orders_wait_for_the_tick_another_one_waits_with_them(start: Start, stand_in: Any) -> None:
    sim = start(budget_units=0)
    cows = sim.spawn_many("cow", 3)
    settle(sim, 3)
    sim.order(cows[0], "drink")
    sim.pace.budget_units = 100
    sim.order(cows[1], "drink your fill")
    assert not stand_in.first
    settle(sim, 1)
    sim.order(cows[2], "drink on")
    assert len(stand_in.first) == 3


def test_an_order_to_one_that_has_not_looked_around_waits_until_it_has(start: Start, stand_in: Any) -> None:
    sim = start()
    settle(sim, 2)
    cow = sim.spawn("cow")
    sim.order(cow, "drink")
    assert not stand_in.asked
    settle(sim, 2)
    assert orders_asked(sim, stand_in) == ["drink"] and step(sim, cow) == "go barn"


def test_an_order_is_asked_about_for_those_that_are_left_when_others_are_gone(start: Start, stand_in: Any) -> None:
    sim = start()
    cows = sim.spawn_many("cow", 4)
    settle(sim, 3)
    sim.remove(cows[0], cows[2])
    sim.order(cows[3], "drink")
    sim.spawn_many("cow", 3)
    sim.order(cows[1], "to the barn")
    settle(sim, 1)
    assert orders_asked(sim, stand_in)[-2:] == ["drink", "to the barn"] and step(sim, cows[3]) == "go barn"


def test_counted_in_units_two_runs_with_orders_between_their_ticks_are_the_same(
    start: Start, stand_in: Any
) -> None:
    def play() -> tuple[list[tuple[int, int]], list[float]]:
        sim = start(budget_units=20)
        cows = sim.spawn_many("cow", 200, mood=np.arange(200) % MOODS)
        stand_in.asked.clear()
        for tick in range(60):
            sim.tick()
            for cow in cows[tick : tick + 3]:
                sim.order(cow, f"to the barn, {tick}")
        played = list(stand_in.asked.values()), sim.agents.y[:200].tolist()
        sim.close()
        return played

    assert play() == play()


def test_a_model_that_chooses_is_asked_about_an_order_though_it_has_its_hands_full(
    simulate: Callable[..., Simulation], stand_in: Any
) -> None:
    sim = simulate(yard("go brook"), settings={"tick_s": 1 / 60, "requests_per_second": 1000.0})
    sim.planner.gateway, stand_in.chooses, stand_in.max_in_flight = stand_in, True, 2
    cows = sim.spawn_many("cow", MOODS, mood=range(MOODS))
    settle(sim, 5)
    assert len(stand_in.asked) == 2 and not stand_in.first
    sim.order(cows[5], "drink")
    assert len(stand_in.asked) == 3 and len(stand_in.first) == 1
